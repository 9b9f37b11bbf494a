// SPDX-License-Identifier: MIT
// The demo as a whole: once as it is, where every promise must hold, and once with a row spoiled, where the verdict must say so.
import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../tests/lib/proc.mjs';

const DEMO = fileURLToPath(new URL('../demo.mjs', import.meta.url));
const WITHIN_MS = 400_000;

async function demo(...args) {
  const { code, stdout, stderr } = await run(process.execPath, [DEMO, '--quick', '--json', ...args], { timeout: WITHIN_MS });
  const last = stdout.trimEnd().split('\n').at(-1);
  assert.ok(last?.startsWith('{'), `no verdict: ${stderr.slice(-2000)}`);
  return { code, result: JSON.parse(last), report: stdout };
}

test('the crossing: nobody logged out or back in, nothing lost, every bound kept, forth, back and through the faults', async (t) => {
  const { code, result, report } = await demo();
  t.diagnostic(report);
  assert.equal(result.ok, true);
  assert.equal(code, 0);
  for (const name of ['forced_relogins', 'resurrected_logouts', 'duplicate_sessions', 'verify_mismatches', 'request_errors']) assert.equal(result[name], 0, name);
  assert.equal(result.records_read, result.records_stored + result.records_rejected);
  assert.ok(result.rollback_ms < 1000);
  assert.equal(result.fault_windows.length, 3);
  for (const window of result.fault_windows) assert.notEqual(window.old_pid, window.new_pid);
  assert.deepEqual(result.phases.filter((phase) => !phase.endsWith('-again')),
    ['observe', 'dual', 'exchange-1', 'exchange-25', 'exchange-100', 'stateless', 'rollback-observe', 'straight', 'finalized']);
});

test('one row spoiled behind Segue\'s back fails the run, and its logs are kept without the clients\' secrets', async (t) => {
  const { code, result, report } = await demo('--corrupt-row');
  assert.equal(code, 1);
  assert.equal(result.ok, false);
  assert.ok(result.verify_mismatches >= 1);
  const dir = /details are in (\S+):/.exec(report)[1];
  t.after(() => rmSync(dir, { recursive: true }));
  assert.ok(existsSync(`${dir}/result.json`));
  assert.ok(!existsSync(`${dir}/clients-secrets`));
});
