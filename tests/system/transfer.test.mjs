// SPDX-License-Identifier: MIT
// `segue transfer run` on a real Redis and four real PostgreSQL shards: the snapshot with the app live, what the app does
// afterwards, what Segue carries back, and what cannot be stored.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { segue } from '../lib/paths.mjs';
import { run, sql } from '../lib/proc.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { record, seed, startRealm } from './transfer_realm.mjs';

let t, p, keys;

const session = async (key) => (await t.all(`SELECT coalesce(subject, ''), generation, ended_at IS NOT NULL, coalesce(end_reason, ''), held_at IS NOT NULL
  FROM segue.session WHERE store_digest = '\\x${t.digest(key)}' ORDER BY generation`))
  .map(([subject, generation, ended, reason, held]) => ({ subject, generation: Number(generation), ended: ended === 't', reason, held: held === 't' }))
  .sort((a, b) => a.generation - b.generation);
const ref = async (key) => (await t.all(`SELECT coalesce(subject, ''), generation, ended_at IS NOT NULL FROM segue.token_ref WHERE digest = '\\x${t.digest(key)}'`))[0];
const same = () => until('both sides agree', async () => {
  const problems = await t.compare();
  if (problems.length) throw new Error(problems.slice(0, 5).join('; '));
  return true;
}, 15_000, 200);
/** Waits until the session of a key has ended. */
const ended = (key) => until(`${key} ended`, async () => (await session(key)).every((s) => s.ended) && (await ref(key))?.[2] === 't', 10_000, 50);

/** The same for many: [digest, reason, when (Unix ms)] of each, once all have ended. */
const allEnded = (list) => until(`${list.length} sessions ended`, async () => {
  const digests = list.map((k) => `'\\x${t.digest(k)}'`).join();
  const rows = await t.all(`SELECT encode(store_digest, 'hex'), end_reason, (extract(epoch FROM ended_at) * 1000)::bigint FROM segue.session
    WHERE store_digest IN (${digests}) AND ended_at IS NOT NULL`);
  return rows.length === list.length && rows;
}, 10_000, 50);

describe('segue transfer', () => {
  before(async () => {
    t = await startRealm();
    keys = await seed(t, 2000);
  });
  after(() => t?.stop());

  test('snapshot with the app live: renewed, created and deleted during the scan, nothing differs', async () => {
    for (let i = 0; i < 25; i++) await t.r.set(`sess:broken${i}`, `{"cookie":${i % 2 ? '' : '{}'}`, { PX: 600_000 });
    await t.r.hSet('sess:hash', 'a', 'b');
    await t.r.set('sess:anonymous', record(null), { PX: 600_000 });
    let busy = true;
    const app = (async () => {
      for (let i = 0; busy; i++) {
        await t.r.pExpire(keys[i % 1000], 90_000_000 + i);
        await t.r.set(`sess:new${i}-aaaaaaaaaaaaaaaa`, record('u1'), { PX: 600_000 });
        if (i < 300) await t.r.del(keys[1999 - i]);
        await sleep(1);
      }
      return true;
    })();
    p = t.transfer(['--page-keys', '50'], { SEGUE_FAULTS: 'transfer.after_read=delay:20' });
    await p.proven();
    busy = false;
    await app;
    await same();
    const [status] = await t.part('status');
    assert.equal(status.job.state, 'following');
    assert.ok(status.records_read >= 1700 + 26, `${status.records_read} read`);
    assert.equal(status.records_read, status.records_stored + status.records_rejected);
    assert.equal(await t.number('SELECT count(*) FROM segue.reject WHERE resolved_at IS NULL'), 26);
    assert.equal(status.continuity.proven, true);
    await p.stop();
    assert.equal(await t.control('SELECT proven, kept FROM segue_control.continuity'), 'f|t', 'nobody watches any more');
    p = t.transfer();
    await p.proven();
    await same();
  });

  test('a logout in the app ends the session within 250 ms, and one of a key never seen leaves a tombstone', async () => {
    const lags = [];
    const began = new Map();
    for (const key of keys.slice(0, 25)) {
      began.set(t.digest(key), Date.now());
      await t.r.del(key);
      await sleep(30);
    }
    for (const [digest, reason, at] of await allEnded(keys.slice(0, 25))) {
      assert.equal(reason, 'app-logout');
      lags.push(Number(at) - began.get(digest));
    }
    lags.sort((a, b) => a - b);
    assert.ok(lags[23] <= 250, `${lags.join(' ')} ms`);
    console.log(`# logout to ended: median ${lags[12]} ms, largest ${lags[24]} ms`);
    await t.r.set('sess:flash', record('u2'), { PX: 600_000 });
    await t.r.del('sess:flash');
    await until('tombstone', async () => (await ref('sess:flash'))?.[2] === 't');
  });

  test('what an app writes back after a logout is ended again', async () => {
    const key = keys[30];
    const value = await t.r.get(key);
    await t.r.del(key);
    await ended(key);
    await t.r.set(key, value, { PX: 600_000 }); // express-session with resave, a request that was under way
    await until('ended again', async () => (await t.r.exists(key)) === 0, 3000);
    await t.r.del(keys[31]);
    await t.r.set(keys[31], value, { PX: 600_000 }); // so close that the two are one change
    await until('ended again', async () => (await t.r.exists(keys[31])) === 0, 3000);
    assert.ok((await session(keys[31])).every((s) => s.ended));
  });

  test('the subject changes in place: logout, login, another user', async () => {
    const key = keys[40];
    const subject = (await session(key))[0].subject;
    await t.r.set(key, record(null), { PX: 600_000 });
    await until('logged out', async () => (await session(key))[0].ended);
    assert.equal((await session(key))[0].reason, 'app-logout');
    assert.equal((await ref(key))[2], 'f', 'the key lives on');
    await t.r.set(key, record('u7'), { PX: 600_000 });
    await until('u7', async () => (await session(key)).some((s) => s.subject === 'u7' && !s.ended));
    await t.r.set(key, record('u8'), { PX: 600_000 });
    await until('u8', async () => (await session(key)).some((s) => s.subject === 'u8' && !s.ended));
    const all = await session(key);
    assert.deepEqual(all.map((s) => [s.subject, s.ended]), [[subject, true], ['', true], ['u7', true], ['u8', false]]);
    assert.deepEqual(all.map((s) => s.generation), [0, 1, 2, 3]);
    await same();
  });

  test('a renamed key carries its session over', async () => {
    const [from, to] = [keys[50], 'sess:renamed-bbbbbbbbbbbbbb'];
    const { subject } = (await session(from))[0];
    await t.r.rename(from, to);
    await until('carried over', async () => (await session(to)).some((s) => s.subject === subject && !s.ended) && (await session(from))[0].ended);
    assert.equal((await session(from))[0].reason, 'renamed');
    await t.r.rename(to, 'elsewhere');
    await until('out of sight', async () => (await session(to))[0].ended);
    await t.r.del('elsewhere');
    await same();
  });

  test('expiry ends nothing', async () => {
    const key = keys[60];
    await t.r.pExpire(key, 60);
    await until('expired', async () => (await t.r.exists(key)) === 0);
    await sleep(300);
    assert.deepEqual((await session(key)).map((s) => [s.ended, s.held]), [[false, false]]);
  });

  test('a touch too small to matter is not stored, a larger one is', async () => {
    const key = keys[70];
    const version = async () => Number((await t.all(`SELECT version FROM segue.session WHERE store_digest = '\\x${t.digest(key)}'`))[0][0]);
    await t.r.pExpire(key, 80_000_000);
    await until('stored once', async () => (await version()) > 1);
    const before = await version();
    for (let i = 0; i < 5; i++) {
      await t.r.pExpire(key, 80_000_100 + i);
      await sleep(20);
    }
    await sleep(200);
    assert.equal(await version(), before);
    await t.r.pExpire(key, 40_000_000);
    await until('stored again', async () => (await version()) > before);
  });

  test('the outbox: touches and ends reach Redis, a record that merely expired is created again', async () => {
    const where = (key) => `store_digest = '\\x${t.digest(key)}'`;
    const dirty = (key, set) => t.all(`WITH s AS (UPDATE segue.session SET version = version + 1, ${set} WHERE realm = 'main' AND ${where(key)} RETURNING *)
      INSERT INTO segue.outbox (realm, bucket, sid, version) SELECT realm, bucket, sid, version FROM s ON CONFLICT (realm, bucket, sid) DO UPDATE SET version = EXCLUDED.version`);
    const [touched, finished, expired] = keys.slice(80, 83);
    const value = await t.r.get(expired);
    await dirty(touched, "exp_segue = clock_timestamp() + interval '20 days'");
    await until('touched', async () => (await t.r.pTTL(touched)) > 19 * 86_400_000);
    await dirty(finished, "ended_at = clock_timestamp(), end_reason = 'logout'");
    await until('ended', async () => (await t.r.exists(finished)) === 0);
    await t.r.pExpire(expired, 300);
    await until('seen', async () => (await t.all(`SELECT exp_source < clock_timestamp() + interval '1 s' FROM segue.session WHERE ${where(expired)}`))[0][0] === 't');
    await until('expired', async () => (await t.r.exists(expired)) === 0);
    await dirty(expired, "exp_segue = clock_timestamp() + interval '1 hour'");
    await until('created again', async () => (await t.r.get(expired)) === value);
    assert.ok(Math.abs((await t.r.pTTL(expired)) - 3_600_000) < 5000);
    await until('outbox empty', async () => (await t.number('SELECT count(*) FROM segue.outbox')) === 0);
    // Deleted with life left: capture's, never created again.
    await t.r.del(keys[84]);
    await dirty(keys[84], "exp_segue = clock_timestamp() + interval '1 hour'");
    await ended(keys[84]);
    await sleep(300);
    assert.equal(await t.r.exists(keys[84]), 0);
  });

  test('rejects: listed without a secret, retried from their sealed bytes, settled when the source is mended', async () => {
    const list = await t.part('rejects');
    assert.equal(list.length, 26);
    assert.doesNotMatch(JSON.stringify(list), /sess:|broken/);
    assert.deepEqual((await t.part('rejects', 'retry'))[0], { tried: 25, stored: 0, still_rejected: 25, value_not_kept: 1 });
    await t.r.set('sess:later', 'x', { PX: 600_000 });
    await until('rejected', async () => (await t.number('SELECT count(*) FROM segue.reject WHERE resolved_at IS NULL')) === 27);
    for (let i = 0; i < 25; i++) await t.r.set(`sess:broken${i}`, record('u3'), { PX: 600_000 });
    await until('stored', async () => (await session('sess:broken24')).length === 1);
    await p.stop();
    p = t.transfer();
    await p.proven();
    assert.equal(await t.number('SELECT count(*) FROM segue.reject WHERE resolved_at IS NULL'), 2);
  });

  test('role changes and bans of the identity source reach the shards', async () => {
    await until('all subjects', async () => (await t.number("SELECT count(*) FROM segue.subject WHERE source_version >= 0")) === 20);
    const began = Date.now();
    await sql(t.c.appdb.conninfo, "DELETE FROM users WHERE id IN ('u4', 'u5'); INSERT INTO users (id, roles) VALUES ('u4', '{admin,member}'); INSERT INTO users (id, active) VALUES ('u5', false);");
    await until('changed', async () => (await t.number("SELECT count(*) FROM segue.subject WHERE (subject = 'u4' AND roles = '{admin,member}') OR (subject = 'u5' AND status = 'banned')")) === 2, 5000, 10);
    assert.ok(Date.now() - began < 1000);
  });

  test('a second process waits for the first to end', async () => {
    const second = t.transfer();
    await until('it says so', async () => second.stderr.includes('waiting for it to end'));
    await sleep(1200);
    assert.ok(!second.over);
    p.kill('SIGKILL');
    await p.ended;
    p = second;
    await until('leads', async () => p.stderr.includes('continuity is proven'), 20_000);
    await same();
  });

  test('a stopped shard holds up its own sessions and heartbeat, no other', async () => {
    const beat = async (i) => Number(await sql(t.c.shards[i].conninfo, "SELECT beat FROM segue.heartbeat WHERE realm = 'main'"));
    const bucketOf = (key) => t.all(`SELECT 1 FROM segue.token_ref WHERE digest = '\\x${t.digest(key)}'`);
    assert.equal((await bucketOf(keys[100])).length, 1);
    await t.c.pause('shard2');
    await sleep(1500);
    const first = await Promise.all([0, 1, 3].map(beat));
    for (const key of keys.slice(100, 140)) await t.r.del(key);
    await sleep(2500);
    const later = await Promise.all([0, 1, 3].map(beat));
    for (const i of [0, 1, 2]) assert.ok(later[i] - first[i] >= 5, `beats ${first} → ${later}`);
    await t.c.resume('shard2');
    await allEnded(keys.slice(100, 140));
    await until('shard 2 follows', async () => (await beat(2)) > later[0], 10_000);
    await same();
  });

  test('wrong use is told', async () => {
    const r = await run(segue, ['transfer', 'run', '--config', t.config, '--realm', 'nope']);
    assert.equal(r.code, 2);
    assert.match(r.stderr, /there is no realm 'nope'/);
    assert.equal((await run(segue, ['transfer', 'walk'])).code, 2);
    assert.equal((await run(segue, ['transfer', 'resolve', '--config', t.config])).code, 2);
  });
});
