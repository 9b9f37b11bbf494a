// SPDX-License-Identifier: MIT
// Refresh tokens: rotation, the grace for retries, reuse, and what a renewal asks of the legacy store (rules 1, 7, 10).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

let w, a, b;
let subject = 0;

before(async () => {
  w = await startWorld({
    realms: {
      main: {},
      brief: { refresh: { grace: '1s' } },
      final: { refresh: { grace: '1s' } },
      hold: { legacy: { absence_hold: '1s' } },
      tabs: { token: { lifetime: '1s' } },
      moving: {},
    },
  });
  [a, b] = await Promise.all([w.serve('a'), w.serve('b')]);
  for (const realm of w.realms) {
    await w.proveContinuity(realm);
    await w.policy(realm, { phase: 'exchange', percent: 100 });
  }
});
after(() => w?.stop());

/** A session and the tokens of its first exchange. */
async function login(realm = 'main', options) {
  const s = await w.session(++subject, { realm, ...options });
  const r = await a.exchange(s);
  assert.equal(r.status, 200, r.body);
  return { ...s, ...r.json() };
}
const refused = (r, why) => {
  assert.equal(r.status, 400, r.body);
  assert.equal(r.json().error, 'invalid_grant');
  if (why) assert.match(r.json().error_description, why);
};
const inSession = (s, text) =>
  w.everyShard(text.replace('@', `(SELECT sid FROM segue.session WHERE realm = '${s.realm}' AND subject = '${s.subject}')`));

describe('a refresh', () => {
  test('gives a new pair of the same session, client and audience', async () => {
    const s = await w.session(++subject);
    const first = (await a.exchange(s, { audience: 'https://api.example', client_id: 'other' })).json();
    const r = await b.refresh(first.refresh_token, { client_id: 'other' });
    assert.equal(r.status, 200, r.body);
    assert.equal(r.headers['cache-control'], 'no-store');
    const next = r.json();
    assert.notEqual(next.refresh_token, first.refresh_token);
    const [was, is] = [first, next].map((t) => decodeJwt(t.access_token).claims);
    for (const claim of ['sid', 'sub', 'client_id', 'aud', 'bkt', 'lh']) assert.equal(is[claim], was[claim], claim);
    assert.notEqual(is.jti, was.jti);
    assert.equal((await a.verify({ bearer: next.access_token })).subject, s.subject);
    assert.equal((await a.refresh(next.refresh_token, { client_id: 'other' })).status, 200);
  });

  test('retried within the grace gives the same successor, on any instance', async () => {
    const s = await login();
    const one = (await a.refresh(s.refresh_token)).json();
    const two = (await b.refresh(s.refresh_token)).json();
    const three = (await a.refresh(s.refresh_token)).json();
    assert.equal(two.refresh_token, one.refresh_token);
    assert.equal(three.refresh_token, one.refresh_token);
    const next = await b.refresh(one.refresh_token);
    assert.equal(next.status, 200);
    assert.notEqual(next.json().refresh_token, one.refresh_token);
  });

  test('by 16 at once on two instances has one successor, and all get a working token', async () => {
    const s = await login();
    const answers = await Promise.all(Array.from({ length: 16 }, (_, i) => (i % 2 ? a : b).refresh(s.refresh_token)));
    assert.deepEqual([...new Set(answers.map((r) => r.status))], [200]);
    assert.equal(new Set(answers.map((r) => r.json().refresh_token)).size, 1);
    for (const r of answers) assert.equal((await a.verify({ bearer: r.json().access_token })).status, 200);
    assert.equal(Number((await inSession(s, "SELECT count(*) FROM segue.refresh_token WHERE sid IN @"))
      .reduce((n, [v]) => n + Number(v), 0)), 2);
  });

  test("of another client's token is refused and does not use it up", async () => {
    const s = await login();
    refused(await a.refresh(s.refresh_token, { client_id: 'other' }));
    const r = await a.refresh(s.refresh_token);
    assert.equal(r.status, 200);
    assert.equal(await a.metric('segue_refreshes_total{realm="main",kind="reused"}'), 0);
  });

  test('of something else is refused', async () => {
    const s = await login();
    for (const token of ['', 'x', s.access_token, `${s.refresh_token.slice(0, -1)}${s.refresh_token.endsWith('A') ? 'B' : 'A'}`, s.refresh_token.slice(0, -4)]) {
      const r = await a.refresh(token);
      assert.equal(r.status, 400, token);
    }
    assert.equal((await a.refresh(s.refresh_token)).status, 200);
  });

  test('takes over roles that changed, and refuses a subject banned since', async () => {
    const s = await login();
    await w.app(`UPDATE users SET roles = '{user,chief}' WHERE id = ${s.subject}`);
    const next = (await a.refresh(s.refresh_token)).json();
    assert.deepEqual(decodeJwt(next.access_token).claims.roles, ['user', 'chief']);
    await w.app(`UPDATE users SET active = false WHERE id = ${s.subject}`);
    refused(await b.refresh(next.refresh_token));
  });

  test('lost by a crash after the rotation can be retried', async () => {
    const s = await login();
    const doomed = await w.serve('doomed', { faults: 'refresh.after_rotate=kill' });
    await assert.rejects(doomed.refresh(s.refresh_token));
    assert.equal((await doomed.ended).signal, 'SIGKILL');
    const r = await a.refresh(s.refresh_token);
    assert.equal(r.status, 200, r.body);
    assert.equal((await b.refresh(r.json().refresh_token)).status, 200);
  });

  test('never goes beyond the absolute limit of the session', async () => {
    const s = await login();
    await inSession(s, "UPDATE segue.session SET exp_absolute = clock_timestamp() + interval '3 s' WHERE sid IN @");
    const r = (await a.refresh(s.refresh_token)).json();
    assert.ok(r.expires_in <= 3, `${r.expires_in} s`);
    await inSession(s, "UPDATE segue.session SET exp_absolute = clock_timestamp() - interval '1 ms' WHERE sid IN @");
    refused(await a.refresh(r.refresh_token));
  });

  test('works after a rollback, when the client holds only a JWT', async () => {
    const s = await login();
    await w.policy('main', { phase: 'observe', percent: 0 });
    const r = await b.refresh(s.refresh_token);
    assert.equal(r.status, 200, r.body);
    const seen = await a.verify({ bearer: r.json().access_token });
    assert.equal(seen.cookie, `${LEGACY_COOKIE}=${s.cookie}`);
    const fresh = await w.session(++subject);
    const none = await a.exchange(fresh);
    assert.equal(none.status, 400);
    assert.equal(none.json().error, 'temporarily_unavailable');
    await w.policy('main', { phase: 'exchange', percent: 100 });
  });
});

describe('many refreshes at once', () => {
  const all = (list, f) => Promise.all(list.map(f));
  const times = (n, f) => Promise.all(Array.from({ length: n }, (_, i) => f(i)));

  test('64 uses of one token, on two instances, have one successor', async () => {
    const s = await login();
    const answers = await times(64, (i) => (i % 2 ? a : b).refresh(s.refresh_token));
    assert.deepEqual([...new Set(answers.map((r) => r.status))], [200]);
    const [next, ...others] = new Set(answers.map((r) => r.json().refresh_token));
    assert.equal(others.length, 0);
    assert.equal((await a.refresh(next)).status, 200);
  });

  test('uses of many tokens, some several times and some of no good, go each its own way', async () => {
    const sessions = [];
    for (let i = 0; i < 40; i++) sessions.push(await login());
    const [ended, foreign, ...good] = sessions;
    await a.revoke(ended.refresh_token);
    const uses = [
      ...good.flatMap((s) => [a, b, a].map((i) => ({ s, i }))),
      ...[a, b].flatMap((i) => [{ s: ended, i, bad: true }, { s: foreign, i, bad: true, client_id: 'other' }]),
    ].sort(() => Math.random() - 0.5);
    const answers = await all(uses, ({ s, i, client_id }) => i.refresh(s.refresh_token, { client_id }));
    const next = new Map();
    answers.forEach((r, n) => {
      if (uses[n].bad) return refused(r);
      assert.equal(r.status, 200, r.body);
      next.set(uses[n].s, (next.get(uses[n].s) ?? new Set()).add(r.json().refresh_token));
    });
    for (const successors of next.values()) assert.equal(successors.size, 1);
    const again = await all([...next.values()], ([t], n) => (n % 2 ? a : b).refresh(t));
    assert.deepEqual([...new Set(again.map((r) => r.status))], [200]);
  });

  test('workers that share one legacy token each have a chain of their own', async () => {
    const s = await w.session(++subject);
    const chains = (await times(16, (i) => (i % 2 ? a : b).exchange(s))).map((r) => r.json());
    assert.equal(new Set(chains.map((c) => decodeJwt(c.access_token).claims.sid)).size, 1, 'of one session');
    assert.equal(new Set(chains.map((c) => c.refresh_token)).size, 16);
    let tokens = chains.map((c) => c.refresh_token);
    for (let round = 0; round < 3; round++) {
      const answers = await all(tokens, (t, i) => ((i + round) % 2 ? a : b).refresh(t));
      assert.deepEqual([...new Set(answers.map((r) => r.status))], [200]);
      tokens = answers.map((r) => r.json().refresh_token);
    }
  });

  for (const point of ['exchange.after_session', 'refresh.after_rotate'])
    test(`lost by a crash in the midst of them (${point}) can all be retried`, async () => {
      const sessions = [];
      for (let i = 0; i < 24; i++) sessions.push(await login());
      const doomed = await w.serve('doomed', { faults: `${point}=kill@8` });
      const answers = await all(sessions, (s) => doomed.refresh(s.refresh_token).catch(() => undefined));
      assert.equal((await doomed.ended).signal, 'SIGKILL');
      assert.ok(answers.some((r) => r === undefined));
      const again = await all(sessions, (s) => a.refresh(s.refresh_token));
      assert.deepEqual([...new Set(again.map((r) => r.status))], [200], again.find((r) => r.status !== 200)?.body);
      answers.forEach((r, i) => r && assert.equal(r.json().refresh_token, again[i].json().refresh_token, 'who had an answer and asks again has the same'));
      const next = await all(again, (r) => b.refresh(r.json().refresh_token));
      assert.deepEqual([...new Set(next.map((r) => r.status))], [200]);
    });

  test('two tabs that share a cookie are both renewed, again and again', async () => {
    const s = await w.session(++subject, { realm: 'tabs' });
    let jar = (await a.verify({ realm: 'tabs', cookies: { [LEGACY_COOKIE]: s.cookie } })).handed;
    for (let round = 0; round < 3; round++) {
      await sleep(1100); // it has expired
      const both = await times(6, (i) => (i % 2 ? a : b).verify({ realm: 'tabs', cookies: { [JWT_COOKIE]: jar } }));
      for (const v of both) {
        assert.equal(v.subject, s.subject);
        assert.ok(v.handed, 'renewed');
        assert.equal(decodeJwt(v.handed).claims.sid, decodeJwt(jar).claims.sid);
      }
      jar = both[round].handed; // whichever answer came last
    }
  });

  test('go on while phases change, back and forth and to the end', async () => {
    const sessions = await times(6, () => login('moving'));
    let on = true;
    let n = 0;
    const refreshing = all(sessions, async (s, k) => {
      let { refresh_token } = s;
      while (on) {
        const r = await ((k + n++) % 2 ? a : b).refresh(refresh_token, s);
        assert.equal(r.status, 200, r.body);
        assert.equal((await b.verify({ realm: 'moving', bearer: r.json().access_token })).subject, s.subject);
        ({ refresh_token } = r.json());
      }
    });
    for (const phase of ['observe', 'dual', 'exchange', 'stateless', 'observe', 'stateless', 'finalized']) {
      await w.policy('moving', { phase });
      await Promise.race([sleep(150), refreshing]);
    }
    on = false;
    await refreshing;
    assert.ok(n > 50, `${n} refreshes`);
  });
});

describe('reuse after the grace', () => {
  test('ends its chain; the other chain, the session and the legacy token live on', async () => {
    const s = await login('brief');
    const other = (await a.exchange(s)).json();
    const next = (await a.refresh(s.refresh_token, s)).json();
    await sleep(1100);
    refused(await b.refresh(s.refresh_token, s), /used before/);
    refused(await a.refresh(next.refresh_token, s));
    assert.equal((await b.refresh(other.refresh_token, s)).status, 200);
    assert.equal((await a.exchange(s)).status, 200);
    assert.equal((await a.verify({ realm: 'brief', bearer: next.access_token })).status, 200);
  });

  test('ends the session where no legacy session vouches for it any more', async () => {
    await w.policy('final', { phase: 'finalized' });
    const headers = { authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}` };
    const s = (await a.request('POST', '/realms/final/v1/sessions', { headers, body: JSON.stringify({ subject: '150', client_id: 'api' }) })).json();
    const as = { realm: 'final', client_id: 'api' };
    // The backend's tokens are its own client's.
    const owner = (await a.refresh(s.refresh_token, as)).status === 200 ? as : { ...as, client_id: 'backend' };
    const next = (await a.refresh(s.refresh_token, owner)).json();
    await sleep(1100);
    refused(await a.refresh(s.refresh_token, owner));
    await until('the session to be over', async () => (await b.verify({ realm: 'final', bearer: next.access_token })).status === 401, 1000, 5);
  });
});

describe('a renewal asks the legacy store', () => {
  test('a session that ended there is over', async () => {
    const s = await login();
    await w.redisOf('main').del(s.key);
    refused(await a.refresh(s.refresh_token));
    await until('the token to be refused', async () => (await b.verify({ bearer: s.access_token })).status === 401, 1000, 5);
    await w.writeRecord(s, Number(s.subject)); // the app writes it back: it is over all the same
    refused(await a.exchange(s));
  });

  test('one logged out in place, or taken over by another subject, is over', async () => {
    for (const now of [undefined, 199]) {
      const s = await login();
      await w.writeRecord(s, now);
      refused(await a.refresh(s.refresh_token));
      await until('the token to be refused', async () => (await b.verify({ bearer: s.access_token })).status === 401, 1000, 5);
    }
  });

  test('one that is only not to be decoded goes on', async () => {
    const s = await login();
    await w.redisOf('main').set(s.key, 'not ours', { EX: 3600 });
    assert.equal((await a.refresh(s.refresh_token)).status, 200);
  });

  test('one that merely expired goes on by what Segue holds', async () => {
    const s = await login('main', { idleSec: 3600, ttlSec: 1 });
    await sleep(1100);
    assert.equal(await w.redisOf('main').exists(s.key), 0);
    const r = await a.refresh(s.refresh_token);
    assert.equal(r.status, 200, r.body);
    assert.equal(await w.total(`SELECT count(*) FROM segue.outbox JOIN segue.session USING (realm, bucket, sid) WHERE subject = '${s.subject}'`), 1, 'the mirror has it to do');
  });

  test('a JWT lives at most a third of the idle time', async () => {
    const s = await login('main', { idleSec: 60 });
    assert.equal(s.expires_in, 20);
  });
});

describe('an absence that proves nothing', () => {
  const doubts = {
    'the counter of flushes moved': async (r) => {
      await r.flushDb();
      await r.set('segue:sentinel:hold', 'test-sentinel'); // put back by somebody: the counter alone tells
    },
    'the sentinel is gone': async (r, s) => r.del([s.key, 'segue:sentinel:hold']),
    'the server is another process': async (r, s) => {
      await r.del(s.key);
      await w.control("UPDATE segue_control.continuity SET run_id = 'another' WHERE realm = 'hold'");
      await w.policy('hold');
    },
    'the capture says that the stream broke': async (r, s) => {
      await r.del(s.key);
      await w.control("UPDATE segue_control.continuity SET proven = false WHERE realm = 'hold'");
      await w.policy('hold');
    },
  };
  for (const [what, breaks] of Object.entries(doubts))
    test(`(${what}) logs nobody out: renewals go on for absence_hold, then wait for the operator`, async () => {
      await w.proveContinuity('hold');
      const s = await login('hold');
      await breaks(w.redisOf('hold'), s);
      const r = await a.refresh(s.refresh_token, s);
      assert.equal(r.status, 200, r.body);
      assert.equal(await w.total(`SELECT count(*) FROM segue.session WHERE subject = '${s.subject}' AND held_at IS NOT NULL AND ended_at IS NULL`), 1);
      await sleep(1100);
      const later = await b.refresh(r.json().refresh_token, s);
      assert.equal(later.status, 503, later.body);
      assert.equal((await a.verify({ realm: 'hold', bearer: r.json().access_token })).status, 200, 'its JWT stays good');
      await w.writeRecord(s, Number(s.subject)); // it is back
      await w.proveContinuity('hold');
      assert.equal((await b.refresh(r.json().refresh_token, s)).status, 200);
    });
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
