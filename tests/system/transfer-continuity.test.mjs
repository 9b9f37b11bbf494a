// SPDX-License-Identifier: MIT
// Rule 1 on a real Redis: an absence is never a logout by itself. Each test loses records in another way and looks at what
// becomes of their sessions.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { sleep, until } from '../lib/wait.mjs';
import { seed, startRealm } from './transfer_realm.mjs';

let t;
after(() => t?.stop());


/** A realm with n sessions, followed and proven. */
async function followed(n, options = {}) {
  await t?.stop();
  t = await startRealm({ shards: 2, ...options });
  const keys = await seed(t, n);
  const p = t.transfer(options.args);
  await p.proven();
  return { keys, p };
}
const ends = () => t.number("SELECT count(*) FROM segue.session WHERE ended_at IS NOT NULL");
const held = () => t.number('SELECT count(*) FROM segue.session WHERE held_at IS NOT NULL AND ended_at IS NULL');
const continuity = async () => Object.fromEntries([(await t.control('SELECT proven, kept, reason FROM segue_control.continuity')).split('|')]
  .flatMap(([proven, kept, reason]) => [['proven', proven === 't'], ['kept', kept === 't'], ['reason', reason]]));
const noted = (p, text) => until(text, () => p.stderr.includes(text), 20_000);
const again = (p, n) => until('proven again', () => p.stderr.split('continuity is proven').length > n, 20_000);

describe('continuity', () => {
  test('FLUSHALL: nobody is ended, all are held; the operator restores them from the sealed copy', async () => {
    const { keys, p } = await followed(300);
    const before = await t.r.get(keys[7]);
    await t.r.flushAll();
    await until('unproven', async () => !(await continuity()).proven, 5000);
    await until('all held', async () => (await held()) === 300, 20_000);
    await again(p, 2);
    assert.equal(await ends(), 0);
    await sleep(1000);
    assert.equal(await ends(), 0, 'proven again, and still held');
    const [done] = await t.part('resolve', '--restore', '--why', 'somebody flushed it');
    assert.equal(done.restored, 300);
    assert.equal(await t.r.get(keys[7]), before);
    await until('no hold left', async () => (await held()) === 0);
    assert.deepEqual(await t.compare({ exact: true }), []);
    assert.equal(await t.control("SELECT action, why FROM segue_control.journal WHERE action = 'transfer.resolve'"), 'transfer.resolve|somebody flushed it');
  });

  test('held sessions that the operator ends are ended on both sides', async () => {
    const { keys } = await followed(60);
    await t.r.flushAll();
    await until('all held', async () => (await held()) === 60, 20_000);
    await t.r.set(keys[3], '{"cookie":{},"passport":{"user":"u4"}}', { PX: 600_000 });
    await until('one came back', async () => (await held()) === 59);
    const [done] = await t.part('resolve', '--end');
    assert.equal(done.ended, 59);
    assert.equal(await ends(), 59);
    assert.equal(await t.r.exists(keys[3]), 1);
  });

  test('a restart of a Redis that persists every write: nothing ends, nothing is held; what was deleted meanwhile ends', async () => {
    const { keys, p } = await followed(200, { appendonly: true });
    await t.c.restart('redis');
    await noted(p, 'continuity is broken');
    await again(p, 2);
    assert.deepEqual([await ends(), await held()], [0, 0]);
    p.kill('SIGKILL');
    await p.ended;
    await t.r.del(keys.slice(0, 10)); // while nobody follows
    const q = t.transfer();
    await again(q, 1);
    await until('ended', async () => (await ends()) === 10);
    assert.equal(await held(), 0);
    assert.deepEqual(await t.compare({ exact: true }), []);
  });

  test('a Redis that comes back without its writes: all are held, and logouts that it forgot are applied again', async () => {
    const { keys, p } = await followed(200);
    await t.r.sendCommand(['SAVE']);
    await t.r.del(keys[0]);
    const late = await seed(t, 20, { from: 1000 });
    await until('seen', async () => (await ends()) === 1 && (await t.number('SELECT count(*) FROM segue.session')) === 220);
    await sleep(300);
    await t.c.kill('redis');
    await t.c.start('redis');
    await until('it forgot', async () => (await t.r.exists(keys[1])) === 1 && (await t.r.exists(late[0])) === 0, 10_000);
    await again(p, 2);
    assert.equal(await held(), 20, 'what it lost');
    assert.equal(await ends(), 1);
    await until('the logout is applied again', async () => (await t.r.exists(keys[0])) === 0);
  });

  test('eviction: what went is held, not ended', async () => {
    const { keys } = await followed(300, { args: ['--reconcile', '1'] });
    const used = Number((await t.r.info('memory')).match(/^used_memory:(\d+)/m)[1]);
    await t.r.configSet('maxmemory-samples', '10');
    await t.r.configSet('maxmemory-policy', 'volatile-ttl');
    await t.r.configSet('maxmemory', String(used - 40_000));
    await until('evicted', async () => Number((await t.r.info('stats')).match(/evicted_keys:(\d+)/)[1]) > 0, 10_000, 5);
    await t.r.configSet('maxmemory', '0');
    const gone = keys.length - (await t.r.exists(keys));
    assert.ok(gone > 0);
    await until(`${gone} held`, async () => (await held()) === gone, 20_000);
    assert.equal(await ends(), 0);
  });

  test('a stream that falls silent breaks continuity', async () => {
    const { p } = await followed(20);
    await t.r.configSet('notify-keyspace-events', '');
    await noted(p, 'continuity is broken');
    await again(p, 2); // the follower completes the setting
    assert.equal(await ends(), 0);
  });

  test('more proven deletions than the bound are held', async () => {
    const { keys, p } = await followed(300, { appendonly: true });
    await p.stop();
    await t.r.del(keys.slice(0, 60));
    const q = t.transfer();
    await noted(q, 'more than may be ended unasked');
    assert.deepEqual([await ends(), await held()], [0, 60]);
    await t.part('resolve', '--end');
    assert.deepEqual([await ends(), await held()], [60, 0]);
  });
});
