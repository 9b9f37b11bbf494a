// SPDX-License-Identifier: MIT
// What `./dev test` counts: a test that fails, in whatever way, never gets lost on the way to the closing line.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import { root } from '../lib/paths.mjs';
import { run } from '../lib/proc.mjs';

const dir = mkdtempSync(path.join(os.tmpdir(), 'sg-'));
after(() => rmSync(dir, { recursive: true, force: true }));

/** The reporter's lines for a test file of this text: [result, name] pairs, and the details by name. */
async function report(text) {
  const file = path.join(dir, 'sample.test.mjs');
  writeFileSync(file, `import { after, before, describe, test } from 'node:test';\n${text}`);
  const { NODE_TEST_CONTEXT, ...env } = process.env; // else the inner runner takes itself for a part of this one
  const r = await run(
    process.execPath,
    ['--test', `--test-reporter=${path.join(root, 'tests/lib/reporter.mjs')}`, '--test-reporter-destination=stdout', file],
    { env },
  );
  const lines = r.stdout.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l));
  return {
    results: lines.map((l) => [l.result, l.name === file ? 'the file' : l.name]),
    detail: lines.map((l) => l.detail ?? '').join('\n'),
    code: r.code,
  };
}

test('passing, failing and skipped tests count once each, under the names of their suites', async () => {
  const { results, detail } = await report(`
    test('good', () => {});
    test('bad', () => { throw new Error('the reason'); });
    test('skipped', { skip: 'why' }, () => {});
    describe('outer', () => { test('good', () => {}); describe('inner', () => test('bad', () => { throw new Error('deep'); })); });
    test('parent', async (t) => { await t.test('child', () => { throw new Error('child'); }); });`);
  assert.deepEqual(results, [
    ['pass', 'good'], ['fail', 'bad'], ['skip', 'skipped'], ['pass', 'outer > good'], ['fail', 'outer > inner > bad'], ['fail', 'parent > child'],
  ]);
  assert.match(detail, /the reason/);
});

test('a hook that fails is a failure', async () => {
  const before = await report("describe('s', () => { before(() => { throw new Error('in before'); }); test('t', () => {}); });");
  assert.deepEqual(before.results, [['fail', 's > t'], ['fail', 's']]);
  const after = await report("describe('s', () => { after(() => { throw new Error('in after'); }); test('t', () => {}); });");
  assert.deepEqual(after.results, [['pass', 's > t'], ['fail', 's']]);
  assert.match(after.detail, /in after/);
});

test('a file that does not load, ends early, throws late or waits for ever is a failure', async () => {
  const absent = await report("await import('./absent.mjs');");
  assert.deepEqual(absent.results, [['fail', 'the file']]);
  assert.match(absent.detail, /absent\.mjs/);
  assert.deepEqual((await report("test('t', () => process.exit(0));")).results, [['fail', 'the file']]);
  const late = await report("test('t', () => { setTimeout(() => { throw new Error('late'); }, 20); }); test('u', () => new Promise((r) => setTimeout(r, 100)));");
  assert.ok(late.results.some(([r]) => r === 'fail'));
  assert.deepEqual((await report("test('t', () => new Promise(() => {}));")).results, [['fail', 't']]);
  assert.deepEqual((await report('')).results, [['fail', 'the file']]);
});
