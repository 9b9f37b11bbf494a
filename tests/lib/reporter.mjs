// SPDX-License-Identifier: MIT
// A reporter for node:test that gives tests/run.mjs one line of JSON for each test, without the suites around them.
export default async function* reporter(source) {
  const names = []; // the suites and tests around the current one
  let printed = ''; // by the file, on stderr: where one that does not even load says why
  for await (const { type, data } of source) {
    if (type === 'test:start') names[data.nesting] = data.name;
    if (type === 'test:stderr') printed = (printed + data.message).slice(-4_000);
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const error = data.details?.error;
    // Suites, and tests with tests inside, fail with those, which are counted; but also by their own hooks.
    if (data.details?.type === 'suite' && error?.failureType !== 'hookFailed') continue;
    if (error?.failureType === 'subtestsFailed') continue;
    // The runner's own entry for a file: it broke outside its tests, or (passed) ended before it reported any.
    const file = data.nesting === 0 && data.name === data.file;
    const cause = error?.cause ?? error;
    yield `${JSON.stringify({
      result: data.skip !== undefined && data.skip !== false ? 'skip' : type === 'test:pass' && !file ? 'pass' : 'fail',
      name: [...names.slice(0, data.nesting), data.name].join(' > '),
      ms: Math.round(data.details?.duration_ms ?? 0),
      detail: file ? `outside its tests:\n${printed}` : error ? String(cause?.stack ?? cause?.message ?? cause) : undefined,
    })}\n`;
  }
}
