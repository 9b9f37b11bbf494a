// SPDX-License-Identifier: MIT
// The whole crossing, with one row spoiled behind Segue's back: the independent reader must notice, and find nothing else.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { root } from '../../tests/lib/paths.mjs';

function demo(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [path.join(root, 'demo/demo.mjs'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '', err = '';
    child.stdout.on('data', (chunk) => { out += chunk; });
    child.stderr.on('data', (chunk) => { err += chunk; });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

test('a quick demo with a spoiled row fails for that row and for nothing else', { timeout: 280_000 }, async () => {
  const { code, out, err } = await demo(['--quick', '--json', '--corrupt-row']);
  const last = out.trim().split('\n').at(-1);
  assert.match(last ?? '', /^\{/, `no result: ${err.slice(-2000)}`);
  const result = JSON.parse(last);
  assert.equal(code, 1);
  assert.equal(result.ok, false);
  assert.ok(result.verify_mismatches >= 1, 'the spoiled row was not noticed');
  const { forced_relogins, resurrected_logouts, duplicate_sessions, request_errors } = result;
  assert.deepEqual({ forced_relogins, resurrected_logouts, duplicate_sessions, request_errors },
    { forced_relogins: 0, resurrected_logouts: 0, duplicate_sessions: 0, request_errors: 0 }, out.slice(0, 6000));
  assert.equal(result.records_read, result.records_stored + result.records_rejected);
  assert.equal(result.fault_windows.filter((w) => w.proven).length, 3);
});
