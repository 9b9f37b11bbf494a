// SPDX-License-Identifier: MIT
// The bulk load of the first snapshot, hindered: what changes meanwhile, who comes meanwhile, and a shard that does not answer.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { sleep, until } from '../lib/wait.mjs';
import { seed, startRealm } from './transfer_realm.mjs';

describe('the bulk load', () => {
  let t, keys;
  before(async () => {
    t = await startRealm({ shards: 2 });
  });
  after(() => t?.stop());

  const anew = async (n) => {
    await t.r.flushAll();
    await t.all('TRUNCATE segue.session, segue.token_ref, segue.outbox, segue.reject, segue.transfer_ledger, segue.revocation, segue.heartbeat');
    await t.control('TRUNCATE segue_control.transfer_job; TRUNCATE segue_control.continuity; TRUNCATE segue_control.instance');
    keys = await seed(t, n);
  };
  const begun = async (fault) => {
    const p = t.transfer([], { SEGUE_FAULTS: fault });
    await until('the snapshot', () => p.stderr.includes('snapshot begins'));
    await sleep(700);
    return p;
  };

  test('a record that waited to be stored is no younger for it, and a logout meanwhile ends its session', async () => {
    await anew(300);
    const p = await begun('transfer.bulk.before_store=delay:4000');
    await t.r.del(keys.slice(0, 20));
    await p.proven();
    assert.doesNotMatch(p.stderr, /not loaded in bulk/);
    await until('every logout', async () => (await t.number('SELECT count(*) FROM segue.session WHERE ended_at IS NOT NULL')) === 20);
    assert.deepEqual(await t.compare({ exact: true }), []);
    await p.stop();
  });

  test('it makes way for an instance that begins to serve', async () => {
    await anew(300);
    const p = await begun('transfer.bulk.before_commit=delay:2000');
    await t.control("INSERT INTO segue_control.instance (instance, realm, policy_version) VALUES ('late', 'main', 1)");
    await p.proven();
    assert.match(p.stderr, /not loaded in bulk: control database: an instance is serving/);
    assert.deepEqual(await t.compare({ exact: true }), []);
    await p.stop();
  });

  test('it stops while a shard does not answer, and the next one stores all', async () => {
    await anew(300);
    const p = await begun('transfer.bulk.before_commit=delay:1500');
    await t.c.pause('shard1');
    await sleep(1500);
    p.kill('SIGTERM');
    const code = await Promise.race([p.ended.then((e) => e.code), sleep(8000).then(() => 'still there')]);
    await t.c.resume('shard1');
    assert.equal(code, 0, p.stderr);
    const q = t.transfer();
    await q.proven();
    assert.deepEqual(await t.compare({ exact: true }), []);
    await q.stop();
  });
});
