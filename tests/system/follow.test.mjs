// SPDX-License-Identifier: MIT
// Serve and transfer together: what happens in the app reaches every verifier, and in time (P2, P3, rules 7 and 8).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const TRIES = 40;
let w, a, b;
let user = 0;

before(async () => {
  w = await startWorld({ users: 1000, main: { feed: { when_stale: 'introspect' } } });
  for (let i = 900; i < 950; i++) await w.session(i); // the app was there before
  [a, b] = await Promise.all([w.serve('a'), w.serve('b')]);
  await w.transfer();
  for (const phase of ['dual', 'exchange']) {
    const r = await w.run('phase', '--realm', 'main', phase, ...(phase === 'exchange' ? ['--percent', '100'] : []));
    assert.equal(r.code, 0, r.stderr);
  }
});
after(() => w?.stop());

async function login() {
  const s = await w.session(++user);
  const r = await a.exchange(s);
  assert.equal(r.status, 200, r.body);
  return { ...s, ...r.json() };
}

/** How long each of `list` takes until both instances satisfy `seen` after `act`; one after the other. */
async function lags(list, act, seen) {
  const out = [];
  for (const s of list) {
    // Known to both before: what they answer after comes of the feed alone.
    for (const i of [a, b]) assert.equal((await i.verify({ bearer: s.access_token })).status, 200);
    await act(s);
    const began = performance.now();
    await Promise.all([a, b].map((i) => until('it to be seen', () => seen(i, s), 2000, 3)));
    out.push(performance.now() - began);
  }
  return out.sort((x, y) => x - y);
}
function bounded(t, what, ms) {
  const p = (n) => ms[Math.min(ms.length - 1, Math.floor((ms.length * n) / 100))];
  t.diagnostic(`${what}: ${ms.length} times, p50 ${p(50).toFixed(0)} ms, p99 ${p(99).toFixed(0)} ms`);
  assert.ok(ms.at(-1) < 1000, `${what}: ${ms.at(-1)} ms`);
}
const all = () => Promise.all(Array.from({ length: TRIES }, login));

test('the heartbeat goes round, so nothing is stale', async () => {
  for (const i of [a, b]) await until('a fresh beat', async () => (await i.metric('segue_heartbeat_age_seconds{realm="main"}')) < 2);
});

test("a logout in the app ends the JWT on every instance within the bound", async (t) => {
  bounded(t, 'logout', await lags(await all(), (s) => w.redisOf('main').del(s.key), async (i, s) => (await i.verify({ bearer: s.access_token })).status === 401));
});

test('a role change in the user table is in the next answer within the bound', async (t) => {
  bounded(t, 'role change', await lags(await all(), (s) => w.app(`UPDATE users SET roles = '{user,promoted}' WHERE id = ${s.subject}`),
    async (i, s) => {
      const r = await i.verify({ bearer: s.access_token });
      return r.roles === 'user,promoted' && decodeJwt(r.jwt).claims.roles.includes('promoted');
    }));
});

test('a ban in the user table ends every session of the subject within the bound', async (t) => {
  bounded(t, 'ban', await lags(await all(), (s) => w.app(`UPDATE users SET active = false WHERE id = ${s.subject}`), async (i, s) =>
    (await i.verify({ bearer: s.access_token })).status === 401 && (await i.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).subject === ''));
});

test('a logout in the app at any moment of an exchange leaves no usable token, with nobody asking', async () => {
  const slow = await w.serve('slow', { faults: ['after_read', 'after_ref', 'after_session', 'before_reread', 'before_answer'].map((p) => `exchange.${p}=delay:4`).join(',') });
  const tokens = [];
  for (let n = 0; n < 50; n++) {
    const s = await w.session(++user);
    const answer = slow.exchange(s);
    await sleep(Math.random() * 50);
    await w.redisOf('main').del(s.key);
    const r = await answer;
    if (r.status === 200) tokens.push(r.json().access_token);
    else assert.equal(r.json().error, 'invalid_grant');
  }
  await sleep(1000);
  for (const t of tokens) for (const i of [a, b]) assert.equal((await i.verify({ bearer: t })).status, 401);
  await slow.kill();
});

test('what Segue ends and extends is mirrored to the app', async () => {
  const s = await w.session(++user, { idleSec: 3600, ttlSec: 100 });
  const { access_token } = (await a.exchange(s)).json();
  await until('the touch', async () => (await w.redisOf('main').pTTL(s.key)) > 3_000_000, 5000);
  await a.revoke(access_token);
  assert.equal(await w.redisOf('main').exists(s.key), 0);
  await w.writeRecord(s, Number(s.subject)); // a request that was under way in the app saves its session
  await until('it to be deleted again', async () => (await w.redisOf('main').exists(s.key)) === 0, 5000);
});

test('a record that merely expired comes back for a client that holds only a JWT', async () => {
  const s = await login();
  const shown = () => w.everyShard(`SELECT (extract(epoch FROM exp_source - clock_timestamp()))::int FROM segue.session WHERE subject = '${s.subject}'`);
  await until('the touch that the mint brings', async () => (await w.total(`SELECT count(*) FROM segue.outbox JOIN segue.session USING (realm, bucket, sid) WHERE subject = '${s.subject}'`)) === 0, 5000);
  await w.redisOf('main').pExpire(s.key, 400);
  await until('the capture to see it expire', async () => (await w.redisOf('main').exists(s.key)) === 0 && Number((await shown())[0][0]) <= 0, 5000);
  assert.equal((await a.verify({ bearer: s.access_token })).status, 200, 'an expiry is no logout');
  const next = await b.refresh(s.refresh_token);
  assert.equal(next.status, 200, next.body);
  await until('the record', async () => (await w.redisOf('main').exists(s.key)) === 1, 5000);
  assert.equal(JSON.parse(await w.redisOf('main').get(s.key)).passport.user, Number(s.subject));
  assert.equal((await b.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).subject, s.subject);
});

test('a browser with both cookies that logs in anew in the app is the new login', async () => {
  const s = await login();
  const jwt = (await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).handed ?? s.access_token;
  await w.redisOf('main').del(s.key);
  const next = await w.session(++user);
  const r = await b.verify({ cookies: { [LEGACY_COOKIE]: next.cookie, [JWT_COOKIE]: jwt } });
  assert.deepEqual([r.subject, decodeJwt(r.handed).claims.sub], [next.subject, next.subject]);
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
