// SPDX-License-Identifier: MIT
// A reporter for node:test that gives tests/run.mjs one line of JSON for each test, without the suites around them.
export default async function* reporter(source) {
  const names = []; // the suites and tests around the current one
  for await (const { type, data } of source) {
    if (type === 'test:start') names[data.nesting] = data.name;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const suite = data.details?.type === 'suite';
    const error = data.details?.error;
    // A suite fails because of its tests, which are counted; but also by its own hooks.
    if (suite && !(error && error.failureType === 'hookFailed')) continue;
    if (error?.failureType === 'subtestsFailed') continue;
    const cause = error?.cause ?? error;
    yield `${JSON.stringify({
      result: data.skip !== undefined && data.skip !== false ? 'skip' : type === 'test:pass' ? 'pass' : 'fail',
      name: [...names.slice(0, data.nesting), data.name].join(' > '),
      ms: Math.round(data.details?.duration_ms ?? 0),
      detail: error ? String(cause?.stack ?? cause?.message ?? cause) : undefined,
    })}\n`;
  }
}
