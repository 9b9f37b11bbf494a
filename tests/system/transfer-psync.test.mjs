// SPDX-License-Identifier: MIT
// The transfer as a replica of the legacy store (capture: psync): a lost connection misses nothing, and what a replica cannot
// tell apart by itself (logout, expiry, flush) is told apart all the same.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { sleep, until } from '../lib/wait.mjs';
import { record, seed, startRealm } from './transfer_realm.mjs';

const ends = (t) => t.number('SELECT count(*) FROM segue.session WHERE ended_at IS NOT NULL');
const held = (t) => t.number('SELECT count(*) FROM segue.session WHERE held_at IS NOT NULL AND ended_at IS NULL');

describe('a logout of a session that then runs out, while nothing reaches the legacy store', () => {
  let t;
  before(async () => {
    t = await startRealm({ shards: 2, capture: 'psync', linked: true });
    await t.r.configSet('repl-diskless-sync-delay', '0');
  });
  after(() => t?.stop());

  test('is not undone: its record is not made again', async () => {
    await seed(t, 50);
    const p = t.transfer();
    await p.proven();
    await t.r.set('sess:brief', record('u1'), { PX: 5000 });
    const mine = `realm = 'main' AND store_digest = '\\x${t.digest('sess:brief')}'`;
    await until('stored', async () => (await t.number(`SELECT count(*) FROM segue.session WHERE ${mine}`)) === 1);
    t.link.cut();
    // Segue has extended it, and its owner logs out at the app.
    await t.all(`WITH s AS (UPDATE segue.session SET version = version + 1, exp_segue = clock_timestamp() + interval '1 day' WHERE ${mine} RETURNING *)
      INSERT INTO segue.outbox (realm, bucket, sid, version) SELECT realm, bucket, sid, version FROM s`);
    await t.r.del('sess:brief');
    await sleep(5500);
    t.link.restore();
    await until('held', async () => (await held(t)) === 1, 15_000);
    assert.equal(await t.r.exists('sess:brief'), 0);
    await p.stop();
  });
});

describe('capture: psync', () => {
  let t, p, keys;
  before(async () => {
    t = await startRealm({ shards: 2, capture: 'psync' });
    await t.r.configSet('repl-diskless-sync-delay', '0');
    // A Redis without a single notification class.
    await t.r.configSet('notify-keyspace-events', '');
    keys = await seed(t, 400);
    p = t.transfer();
    await p.proven();
  });
  after(() => t?.stop());

  test('the snapshot is whole, and nothing was set on the server', async () => {
    assert.deepEqual(await t.compare({ exact: true }), []);
    assert.equal((await t.r.configGet('notify-keyspace-events'))['notify-keyspace-events'], '');
  });

  test('the connection is cut again and again: every change arrives, continuity never breaks', async () => {
    for (let i = 0; i < 200; i++) {
      if (i % 40 === 20) await t.redisCli('CLIENT', 'KILL', 'TYPE', 'replica');
      if (i % 2) await t.r.del(keys[i]);
      else await t.r.set(`sess:new${i}`, record(`u${1 + (i % 20)}`), { PX: 3_600_000 });
    }
    await until('every logout', async () => (await ends(t)) === 100, 10_000);
    await until('every login', async () => (await t.compare({ exact: true })).length === 0, 10_000);
    assert.equal(p.stderr.split('continuity is proven').length, 2, p.stderr);
    assert.doesNotMatch(p.stderr, /continuity is broken/);
  });

  test('a session whose time is over is not ended', async () => {
    const before_ = await ends(t);
    for (let i = 0; i < 20; i++) await t.r.set(`sess:brief${i}`, record('u1'), { PX: 1500 });
    await until('stored', async () => (await t.number("SELECT count(*) FROM segue.session WHERE exp_source < clock_timestamp() + interval '2 s'")) === 20);
    await sleep(1600);
    for (let i = 0; i < 20; i++) await t.r.get(`sess:brief${i}`); // so that Redis removes it, and says DEL
    await t.r.del(keys[0]);
    await until('the logout after them', async () => (await ends(t)) > before_);
    assert.equal(await ends(t), before_ + 1);
  });

  test('a flush ends nobody: all are held', async () => {
    const before_ = await ends(t);
    await t.r.flushAll();
    await until('all held', async () => (await held(t)) >= 298, 20_000);
    assert.equal(await ends(t), before_);
  });
});
