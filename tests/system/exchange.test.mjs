// SPDX-License-Identifier: MIT
// The exchange under concurrency, logouts and crashes: one session comes of it, and a logout wins (P2, P4, rule 4).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const POINTS = ['exchange.after_read', 'exchange.after_ref', 'exchange.after_session', 'exchange.before_reread', 'exchange.before_answer'];
const RACES = process.env.SEGUE_LONG ? 1000 : 100;

let w, a, b;
let subject = 0;

// A random sequence that can be had again: SEGUE_SEED=… (its value is printed).
const seed = Number(process.env.SEGUE_SEED ?? Math.floor(Math.random() * 2 ** 31));
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

before(async () => {
  w = await startWorld({ users: 3000 });
  [a, b] = await Promise.all([w.serve('a'), w.serve('b')]);
  await w.proveContinuity();
  await w.policy('main', { phase: 'exchange', percent: 100 });
});
after(() => w?.stop());

const login = () => w.session(++subject);
const live = (s) => w.total(`SELECT count(*) FROM segue.session WHERE subject = '${s.subject}' AND ended_at IS NULL`);
const rows = (s) => w.total(`SELECT count(*) FROM segue.session WHERE subject = '${s.subject}'`);
const sidOf = (answer) => decodeJwt(answer.json().access_token).claims.sid;

/** Sees that nothing is left of a session: no row, no record, no credential that works on any instance. */
async function assertOver(s, answers) {
  for (const i of [a, b]) {
    const again = await i.exchange(s);
    assert.equal(again.status, 400, again.body);
    assert.equal(again.json().error, 'invalid_grant');
  }
  for (const answer of answers.filter((r) => r.status === 200)) {
    const { access_token, refresh_token } = answer.json();
    // A renewal looks at the legacy record, whether or not the capture has brought the logout yet.
    for (const i of [b, a]) assert.equal((await i.refresh(refresh_token)).json().error, 'invalid_grant');
    for (const i of [a, b]) await until('the access token to be refused', async () => (await i.verify({ bearer: access_token })).status === 401, 1000, 5);
  }
  assert.equal(await live(s), 0);
  assert.equal(await w.redisOf('main').exists(s.key), 0);
}

test('50 concurrent exchanges on two instances give one session', async () => {
  const s = await login();
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => (i % 2 ? a : b).exchange(s, { client_id: i % 3 ? 'api' : 'other' })));
  assert.deepEqual([...new Set(answers.map((r) => r.status))], [200]);
  assert.equal(new Set(answers.map(sidOf)).size, 1);
  assert.equal(await rows(s), 1);
  assert.equal(await w.total(`SELECT count(*) FROM segue.token_ref WHERE subject = '${s.subject}'`), 1);
  assert.equal(new Set(answers.map((r) => r.json().refresh_token)).size, 50);
});

test('exchanges and page requests of many sessions at once give one session each', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, login));
  const sids = await Promise.all(
    all.flatMap((s) => [
      ...[a, b].map(async (i) => [s, sidOf(await i.exchange(s))]),
      ...[a, b].map(async (i) => [s, (await i.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).session]),
    ]),
  );
  for (const s of all) assert.equal(new Set(sids.filter(([of]) => of === s).map(([, sid]) => sid)).size, 1);
  assert.equal(new Set(sids.map(([, sid]) => sid)).size, all.length);
});

test('two logins of one subject are two sessions, and one logout ends one', async () => {
  const one = await login();
  const two = await w.session(one.subject);
  const [first, second] = [await a.exchange(one), await b.exchange(two)];
  assert.notEqual(sidOf(first), sidOf(second));
  // Known to both from now on: what they answer later comes of the feed alone.
  for (const i of [a, b]) for (const r of [first, second]) assert.equal((await i.verify({ bearer: r.json().access_token })).status, 200);
  assert.equal((await a.revoke(one.signed)).status, 200);
  await until('the first to be refused everywhere', async () => (await b.verify({ bearer: first.json().access_token })).status === 401, 1000, 5);
  assert.equal((await b.verify({ bearer: second.json().access_token })).status, 200);
  assert.equal(await live(one), 1);
});

describe('a logout in the app', () => {
  for (const point of POINTS.slice(0, 4))
    test(`wins when it comes at ${point}`, async () => {
      const slow = await w.serve('slow', { faults: `${point}=delay:1000`, watched: true });
      try {
        const s = await login();
        const answer = slow.exchange(s);
        if (point !== 'exchange.after_read') await until('the exchange to get there', async () => (await w.total(`SELECT count(*) FROM segue.token_ref WHERE subject = '${s.subject}'`)) === 1, 900, 5);
        else await sleep(300);
        await w.redisOf('main').del(s.key);
        const r = await answer;
        assert.equal(r.status, 400, r.body);
        assert.equal(r.json().error, 'invalid_grant');
        assert.equal(await live(s), 0);
        await assertOver(s, []);
      } finally {
        await slow.kill();
      }
    });

  test('at any moment of an exchange leaves no live session and no usable token', async (t) => {
    t.diagnostic(`SEGUE_SEED=${seed}`);
    await races(async (s) => w.redisOf('main').del(s.key));
  });
});

test('a logout through Segue at any moment of an exchange wins', async (t) => {
  t.diagnostic(`SEGUE_SEED=${seed}`);
  await races(async (s, i) => assert.equal((await i.revoke(s.signed)).status, 200));
});

/** Exchanges on two slowed instances and a logout, at random times to each other; a few at once. */
async function races(logout) {
  const faults = POINTS.map((p) => `${p}=delay:2`).join(',');
  const slow = await Promise.all(['c', 'd'].map((n) => w.serve(n, { faults, watched: true })));
  let late = 0;
  try {
    const race = async () => {
      const s = await login();
      const i = slow[Math.floor(random() * 2)];
      const [gap, wait] = [random() * 30, random() * 80];
      const exchanges = [i.exchange(s)];
      if (random() < 0.5) exchanges.push(sleep(gap).then(() => slow[0].exchange(s)));
      const out = sleep(wait).then(() => logout(s, i));
      const answers = await Promise.all(exchanges);
      await out;
      for (const r of answers) assert.ok(r.status === 200 || r.json().error === 'invalid_grant', r.body);
      if (answers.some((r) => r.status === 200)) late++;
      await assertOver(s, answers);
    };
    for (let n = 0; n < RACES / 2; n += 5) await Promise.all(Array.from({ length: 5 }, race));
  } finally {
    await Promise.all(slow.map((i) => i.kill()));
  }
  assert.ok(late > 0 && late < RACES / 2, `${late} of ${RACES / 2} logouts came after the answer: the races prove nothing`);
}

describe('an instance killed', () => {
  for (const point of POINTS)
    test(`at ${point} leaves one session after the retry`, async () => {
      const s = await login();
      const doomed = await w.serve('doomed', { faults: `${point}=kill` });
      await assert.rejects(doomed.exchange(s));
      assert.equal((await doomed.ended).signal, 'SIGKILL');
      const [one, two] = await Promise.all([a.exchange(s), b.exchange(s)]);
      assert.deepEqual([one.status, two.status], [200, 200]);
      assert.equal(sidOf(one), sidOf(two));
      assert.equal(await rows(s), 1);
    });

  for (const point of ['store.end.after_refs', 'end.after_rows'])
    test(`at ${point} in a logout: no new token, and the retry ends it whole`, async () => {
      const s = await login();
      const { access_token } = (await a.exchange(s)).json();
      const doomed = await w.serve('doomed', { faults: `${point}=kill` });
      await assert.rejects(doomed.revoke(s.signed));
      assert.equal((await doomed.ended).signal, 'SIGKILL');
      assert.equal((await b.exchange(s)).json().error, 'invalid_grant');
      assert.equal((await b.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).subject, '');
      if (point === 'end.after_rows') {
        // What the legacy store has not been told is in the outbox.
        assert.equal(await w.total(`SELECT count(*) FROM segue.outbox JOIN segue.session USING (realm, bucket, sid) WHERE subject = '${s.subject}'`), 1);
        await until('the token to be refused', async () => (await a.verify({ bearer: access_token })).status === 401, 1000, 5);
      }
      assert.equal((await a.revoke(s.signed)).status, 200);
      await assertOver(s, []);
      await until('the token to be refused', async () => (await b.verify({ bearer: access_token })).status === 401, 1000, 5);
    });

  test('after the legacy record of a new login was made leaves a login that works after the retry', async () => {
    const headers = { authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}` };
    const body = JSON.stringify({ subject: String(++subject) });
    const doomed = await w.serve('doomed', { faults: 'create.after_legacy=kill' });
    await assert.rejects(doomed.request('POST', '/v1/sessions', { headers, body }));
    const r = await a.request('POST', '/v1/sessions', { headers, body });
    assert.equal(r.status, 201);
    assert.equal((await b.verify({ bearer: r.json().access_token })).status, 200);
  });
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
