// SPDX-License-Identifier: MIT
// Revocation and roles within the bound (P3, rules 8 and 9): every kind of change reaches every instance, also while the way to the
// shards is cut and restored and a long transaction holds xmin.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, overlay } from '../lib/segue.mjs';
import { percentile, startRevocations } from '../lib/revocation.mjs';
import { sleep, until } from '../lib/wait.mjs';

const TIMES = 6;
let r, w, a, b;
let user = 2000;

before(async () => {
  r = await startRevocations({ n: 2 });
  w = r.w;
  [a, b] = r.instances;
});
after(() => r?.stop());

async function login(client_id = 'api') {
  const s = await w.session(++user);
  const answer = await a.exchange(s, { client_id });
  assert.equal(answer.status, 200, answer.body);
  return { ...s, ...answer.json() };
}

describe('a disabled client', () => {
  const clients = async (...args) => w.run('clients', ...args, '--realm', 'main');

  test("loses its tokens on every instance when the command returns, and nothing else does; enabling brings them back", async () => {
    const s = await login('other');
    const own = await login('api');
    const cookies = { [LEGACY_COOKIE]: s.cookie };
    const done = await clients('disable', 'other', '--why', 'INC-7');
    assert.equal(done.code, 0, done.stderr);
    for (const i of [a, b]) {
      assert.equal((await i.verify({ bearer: s.access_token })).status, 401);
      assert.equal((await i.verify({ bearer: own.access_token })).status, 200, 'another client');
      assert.equal((await i.verify({ cookies: { ...cookies, [JWT_COOKIE]: s.access_token } })).subject, s.subject, "the app's own cookie");
      for (const answer of [await i.refresh(s.refresh_token, { client_id: 'other' }), await i.exchange(s, { client_id: 'other' })]) {
        assert.equal(answer.status, 400, answer.body);
        assert.equal(answer.json().error, 'unauthorized_client');
      }
    }
    const listed = JSON.parse((await clients('--json')).stdout);
    assert.deepEqual(listed.filter((c) => c.disabled).map((c) => c.client), ['other']);
    assert.equal(await w.control("SELECT why || ' ' || (to_state->>'disabled_clients') FROM segue_control.journal WHERE action = 'client-disable'"),
      'INC-7 ["other"]');
    assert.equal((await clients('enable', 'other')).code, 0);
    for (const i of [a, b]) assert.equal((await i.verify({ bearer: s.access_token })).status, 200);
    assert.equal((await b.refresh(s.refresh_token, { client_id: 'other' })).status, 200);
  });

  test('that is the one of /verify gets no JWT there; session cookies go on', async () => {
    const s = await w.session(++user);
    assert.equal((await clients('disable', 'web')).code, 0);
    const seen = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
    assert.equal(seen.subject, s.subject);
    assert.equal(seen.handed, undefined);
    assert.equal((await clients('enable', 'web')).code, 0);
    assert.ok((await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).handed);
  });

  test('that is a backend creates no sessions, and none are created for one', async () => {
    const ask = (client_id) => a.request('POST', '/realms/main/v1/sessions', {
      headers: { authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}` },
      body: JSON.stringify({ subject: String(++user), client_id }),
    });
    assert.equal((await ask('api')).status, 201);
    assert.equal((await clients('disable', 'api')).code, 0);
    assert.equal((await ask('api')).json().error, 'unauthorized_client');
    assert.equal((await clients('disable', 'backend')).code, 0);
    assert.equal((await ask('web')).status, 401);
    for (const c of ['api', 'backend']) assert.equal((await clients('enable', c)).code, 0);
    assert.equal((await ask('api')).status, 201);
  });

  test('must be one of the configuration; a dry run changes nothing', async () => {
    assert.equal((await clients('disable', 'nobody')).code, 1);
    assert.equal((await clients('disable')).code, 2);
    assert.equal((await clients('forget', 'api')).code, 2);
    assert.equal((await clients('disable', 'api', '--dry-run')).code, 0);
    assert.equal((await clients('enable', 'api')).code, 1, 'it is enabled already');
    const s = await login('api');
    assert.equal((await b.verify({ bearer: s.access_token })).status, 200);
  });
});

describe('every kind of change reaches every instance', () => {
  const bounded = (t, what, lags, most) => {
    t.diagnostic(`${what}: ${lags.length} times, p50 ${percentile(lags, 50).toFixed(0)} ms, p99 ${percentile(lags, 99).toFixed(0)} ms`);
    assert.ok(Math.max(...lags) < most, `${what}: ${Math.max(...lags)} ms`);
  };

  test('within a second, while a long transaction holds xmin', async (t) => {
    const letGo = await r.holdXmin();
    for (const kind of Object.keys(r.kinds)) bounded(t, kind, await r.measure(kind, TIMES), 1000);
    letGo();
  });

  for (const cut of ['cut', 'stall'])
    test(`within two seconds of the moment when the way there is restored (${cut})`, async (t) => {
      for (const kind of Object.keys(r.kinds)) bounded(t, kind, await r.measure(kind, 1, { cut }), 2000);
    });
});

describe('a JWT with outdated roles', () => {
  const wanted = { roles: 'Ünïcode rôle,a b,x:y/z', permissions: 'docs:read' };
  const claims = { roles: ['Ünïcode rôle', 'a b', 'x:y/z'], permissions: ['docs:read'] };

  test('is answered with the current ones and minted anew: for upstream, and for the cookie it came in', async () => {
    const s = await login();
    await w.app(`UPDATE users SET roles = '{"Ünïcode rôle","a b","x:y/z"}', permissions = '{docs:read}' WHERE id = ${s.subject}`);
    const text = (h) => h.split(',').map(decodeURIComponent).join();
    for (const i of [a, b]) {
      const bearer = await until('the new roles', async () => {
        const v = await i.verify({ bearer: s.access_token });
        return text(v.roles) === wanted.roles && v;
      });
      assert.equal(bearer.permissions, wanted.permissions, 'read and the rest were taken away');
      assert.equal(bearer.set.length, 0, 'a bearer token is its client\'s own to renew');
      const cookie = await i.verify({ cookies: { [JWT_COOKIE]: s.access_token, [LEGACY_COOKIE]: s.cookie } });
      assert.equal(text(cookie.roles), wanted.roles);
      assert.ok(cookie.handed, 'the cookie is replaced');
      for (const jwt of [bearer.jwt, cookie.jwt, cookie.handed]) {
        const c = decodeJwt(jwt).claims;
        assert.deepEqual({ roles: c.roles, permissions: c.permissions }, claims);
        assert.ok(c.exp <= decodeJwt(s.access_token).claims.exp, 'no longer than the token it replaces');
      }
      assert.equal((await i.verify({ bearer: cookie.handed })).jwt, cookie.handed, 'and that is up to date');
    }
    const next = decodeJwt((await a.refresh(s.refresh_token)).json().access_token).claims;
    assert.deepEqual({ roles: next.roles, permissions: next.permissions }, claims);
  });

  test('loses all of them when all are taken away', async () => {
    const s = await login();
    await w.app(`UPDATE users SET roles = '{}', permissions = '{}' WHERE id = ${s.subject}`);
    const v = await until('no roles', async () => {
      const seen = await b.verify({ bearer: s.access_token });
      return seen.roles === '' && seen;
    });
    assert.equal(v.status, 200);
    assert.equal(v.permissions, '');
    const c = decodeJwt(v.jwt).claims;
    assert.deepEqual([c.roles ?? [], c.permissions ?? []], [[], []]);
  });
});

// The last: it stops the capture.
test('a feed older than its limit has the configured answer, and not before', async () => {
  const STALE_MS = 1000;
  const answers = ['accept', 'introspect', 'reject'];
  const config = (when_stale) => w.write(`${when_stale}.yaml`, overlay(w.config, { segue: { feed: { when_stale, stale_after: `${STALE_MS}ms` } } }));
  const [accept, introspect, reject] = await Promise.all(answers.map((x) => w.serve(x, { config: config(x), watched: false })));
  const good = await login();
  const ended = await login();
  const age = async (i) => 1000 * (await i.metric('segue_heartbeat_age_seconds{realm="main"}'));
  const status = async (i, s) => (await i.verify({ bearer: s.access_token })).status;
  for (const i of [accept, introspect, reject]) await until('a fresh beat', async () => (await age(i)) < STALE_MS / 2);
  // So that nothing is left to ask: each knows the session cookie to put in.
  for (const i of [accept, introspect, reject]) for (const s of [good, ended]) assert.equal((await i.verify({ bearer: s.access_token })).status, 200);
  // Ended, and the feed was not told: what only asking the row can know.
  await w.everyShard(`UPDATE segue.session SET ended_at = clock_timestamp() WHERE subject = '${ended.subject}' RETURNING 1`);

  w.stopBeats();
  const seen = { fresh: 0, stale: 0 };
  const end = performance.now() + 2 * STALE_MS;
  while (performance.now() < end) {
    for (const [i, stale] of [[accept, [200, 200]], [introspect, [200, 401]], [reject, [401, 401]]]) {
      const began = performance.now();
      const before = await age(i);
      const asked = performance.now();
      const got = [await status(i, good), await status(i, ended)];
      const after = await age(i);
      if (after < STALE_MS) assert.deepEqual(got, [200, 200], `${i.name}, ${after} ms old`);
      // No late beat came meanwhile: the age has grown by the time that passed at least.
      const stays = before - (asked - began) > STALE_MS && after - before >= performance.now() - asked - 40;
      if (stays) assert.deepEqual(got, stale, `${i.name}, ${before} ms old`);
      seen.fresh += after < STALE_MS;
      seen.stale += stays;
    }
    await sleep(10);
  }
  assert.ok(seen.fresh > 5 && seen.stale > 5, JSON.stringify(seen));

  // What is distrusted for a while is not taken away, and a session cookie beside it speaks for itself.
  const alone = await reject.verify({ cookies: { [JWT_COOKIE]: good.access_token }, headers: { 'x-segue-auth': 'required' } });
  assert.deepEqual([alone.status, alone.removed], [401, false]);
  const both = await reject.verify({ cookies: { [JWT_COOKIE]: good.access_token, [LEGACY_COOKIE]: good.cookie } });
  assert.deepEqual([both.subject, both.removed], [good.subject, false]);
});
