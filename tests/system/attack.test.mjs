// SPDX-License-Identifier: MIT
// Sequences that once went wrong, or were tried because they might: steps killed, repeated, reordered, raced and lied to.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { parseSetCookie } from '../lib/http.mjs';
import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, overlay, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

let w, a;
let subject = 0;

before(async () => {
  w = await startWorld({ realms: { main: {}, brief: { refresh: { grace: '1s' } }, short: { token: { lifetime: '1s' } },
    six: { token: { lifetime: '6s' } }, observe: {} } });
  a = await w.serve('a');
  for (const realm of w.realms) {
    await w.proveContinuity(realm);
    await w.policy(realm, { phase: 'exchange', percent: 100 });
  }
});
after(() => w?.stop());

/** A session and the tokens of its first exchange. */
async function login(realm = 'main') {
  const s = await w.session(++subject, { realm });
  const r = await a.exchange(s);
  assert.equal(r.status, 200, r.body);
  return { ...s, ...r.json() };
}

/** A session and the JWT cookie that a page request brought. */
async function browse(realm = 'main') {
  const s = await w.session(++subject, { realm });
  const { handed } = await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie } });
  assert.ok(handed);
  return { ...s, handed };
}

test('an instance that has not read its policy and keys judges nothing and takes no cookie away', async () => {
  const s = await browse();
  const { refresh_token } = await login();
  const config = w.write('no-control.yaml', overlay(w.config, { segue: { control: 'postgresql://nobody@127.0.0.1:1/none' } }));
  const lost = await w.serve('lost', { config, ready: false });
  const answers = [
    await lost.verify({ cookies: { [JWT_COOKIE]: s.handed } }),
    await lost.verify({ bearer: s.handed }),
    await lost.verify({ cookies: { [JWT_COOKIE]: s.handed, [LEGACY_COOKIE]: s.cookie }, headers: { 'x-segue-auth': 'required' } }),
    await lost.refresh(refresh_token),
    await lost.exchange(s),
    await lost.revoke(s.handed),
  ];
  assert.deepEqual(answers.map((r) => [r.status, r.removed ?? false]), answers.map(() => [503, false]));
  await lost.kill();
  assert.equal((await a.verify({ bearer: s.handed })).status, 200, 'the logout that was not taken was not confirmed either');
});

describe('a token whose roles are brought up to date', () => {
  const promote = async (s) => {
    await w.app(`UPDATE users SET roles = ARRAY['admin'], version = version + 1 WHERE id = ${s.subject}`);
    await w.everyShard(`WITH s AS (UPDATE segue.subject SET roles = '{admin}', source_version = 1000000 WHERE realm = '${s.realm}' AND subject = '${s.subject}'
      RETURNING *) INSERT INTO segue.revocation (realm, bucket, kind, subject, status, epoch, source_version, roles, permissions)
      SELECT realm, bucket, 'subject', subject, status, epoch, source_version, roles, permissions FROM s`);
  };

  test('still binds to the session cookie that it is for', async () => {
    const s = await browse();
    await promote(s);
    const alone = await until('the new roles', async () => {
      const r = await a.verify({ cookies: { [JWT_COOKIE]: s.handed } });
      return r.roles === 'admin' && r;
    });
    const before = decodeJwt(s.handed).claims;
    const now = decodeJwt(alone.handed).claims;
    assert.equal(now.lh, before.lh);
    for (const claim of ['sub', 'sid', 'bkt', 'exp', 'client_id', 'sv']) assert.equal(now[claim], before[claim], claim);
    assert.equal((await a.verify({ cookies: { [JWT_COOKIE]: alone.handed } })).cookie, `${LEGACY_COOKIE}=${s.cookie}`, 'upstream gets it');
    // A cookie whose session is gone is not what it binds to from then on.
    const gone = w.credential('gone-gone-gone-gone-gone-gone');
    const beside = await a.verify({ cookies: { [JWT_COOKIE]: s.handed, [LEGACY_COOKIE]: gone.cookie } });
    assert.deepEqual([beside.subject, decodeJwt(beside.handed).claims.lh], [s.subject, before.lh]);
  });
});

describe('a session id that the app goes on using', () => {
  test('for another subject is that one\'s, though the first one\'s token renewed in between', async () => {
    const s = await login();
    const next = String(++subject);
    await w.writeRecord(s, next);
    const r = await a.refresh(s.refresh_token);
    assert.deepEqual([r.status, r.json().error], [400, 'invalid_grant']);
    const theirs = await a.exchange(s);
    assert.equal(theirs.status, 200, theirs.body);
    assert.equal(decodeJwt(theirs.json().access_token).claims.sub, next);
  });

  test('after a logout in place is good for the next login, of the same subject too', async () => {
    const s = await login();
    await w.writeRecord(s, undefined);
    assert.equal((await a.refresh(s.refresh_token)).status, 400);
    await w.writeRecord(s, s.subject);
    const again = await a.exchange(s);
    assert.equal(again.status, 200, again.body);
    const [was, is] = [s.access_token, again.json().access_token].map((t) => decodeJwt(t).claims);
    assert.notEqual(is.sid, was.sid);
    await until('the first session to be over', async () => (await a.verify({ bearer: s.access_token })).status === 401, 1000);
  });
});

test('retries of a refresh while a store is down for longer than the grace are no reuse', async () => {
  const s = await login('brief');
  await w.cluster.pause('appdb');
  const began = Date.now();
  while (Date.now() - began < 4500) assert.equal((await a.refresh(s.refresh_token, { realm: 'brief' })).status, 503);
  await w.cluster.resume('appdb');
  const r = await until('the refresh to work', async () => {
    const x = await a.refresh(s.refresh_token, { realm: 'brief' });
    return x.status !== 503 && x;
  });
  assert.equal(r.status, 200, r.body);
  assert.equal((await a.refresh(r.json().refresh_token, { realm: 'brief' })).status, 200);
});

describe('a good credential beside another one', () => {
  const gone = () => w.credential('gone-gone-gone-gone-gone-gone').cookie;

  test('an expired JWT cookie of a live session renews beside a session cookie whose record is gone', async () => {
    const s = await browse('short');
    await sleep(2200);
    const r = await a.verify({ realm: 'short', cookies: { [JWT_COOKIE]: s.handed, [LEGACY_COOKIE]: gone() }, headers: { 'x-segue-auth': 'required' } });
    assert.deepEqual([r.status, r.subject, r.cookie], [200, s.subject, `${LEGACY_COOKIE}=${s.cookie}`]);
    assert.equal(decodeJwt(r.handed).claims.sid, decodeJwt(s.handed).claims.sid);
  });

  test("an app's opaque bearer token does not hide the session cookie", async () => {
    const s = await w.session(++subject);
    const r = await a.verify({ bearer: 'an-api-key-of-the-app', cookies: { [LEGACY_COOKIE]: s.cookie }, headers: { 'x-segue-auth': 'required' } });
    assert.deepEqual([r.status, r.subject, r.authorization], [200, s.subject, 'Bearer an-api-key-of-the-app']);
  });

  test('a cross-site POST takes no cookie away', async () => {
    const s = await browse();
    const headers = { 'x-forwarded-method': 'POST', origin: 'https://evil.example', 'x-segue-auth': 'required' };
    const r = await a.verify({ cookies: { [JWT_COOKIE]: s.handed, [LEGACY_COOKIE]: gone() }, headers });
    assert.deepEqual([r.status, r.removed], [401, false]);
  });

  test('cookies are found as the app finds them: the first, with white space before "="', async () => {
    const [one, two] = [await w.session(++subject), await w.session(++subject)];
    const r = await a.verify({ cookies: `x=1; ${LEGACY_COOKIE} = ${one.cookie}; ${LEGACY_COOKIE}=${two.cookie}` });
    assert.equal(r.subject, one.subject);
    const injected = await a.verify({ cookies: `${LEGACY_COOKIE} =${gone()}; ${JWT_COOKIE}=${(await browse()).handed}` });
    assert.doesNotMatch(injected.cookie, /gone/);
  });
});

test('a good JWT cookie in the last third of its life does not wait for a shard that is stopped', async () => {
  const sessions = [];
  for (let i = 0; i < 6; i++) sessions.push(await browse('six'));
  await sleep(4200); // of 6 s
  await w.cluster.pause('shard1');
  await sleep(600);
  const answers = await Promise.all(sessions.map((s) => a.verify({ realm: 'six', cookies: { [JWT_COOKIE]: s.handed } })));
  await w.cluster.resume('shard1');
  for (const [i, r] of answers.entries()) {
    assert.deepEqual([r.status, r.subject], [200, sessions[i].subject]);
    assert.ok(r.ms < 1000, `${r.ms} ms`);
  }
});

test('what was minted before "log out everywhere" renews nothing once the feed has forgotten it', async () => {
  const s = await browse('short');
  await w.everyShard(`UPDATE segue.subject SET epoch = epoch + 1 WHERE realm = 'short' AND subject = '${s.subject}'`);
  await sleep(2200);
  const r = await a.verify({ realm: 'short', cookies: { [JWT_COOKIE]: s.handed } });
  assert.deepEqual([r.subject, r.handed, r.removed], ['', undefined, true]);
  const by = await a.verify({ realm: 'short', cookies: { [JWT_COOKIE]: s.handed, [LEGACY_COOKIE]: s.cookie } });
  assert.deepEqual([by.subject, decodeJwt(by.handed).claims.sv], [s.subject, 1], 'the session cookie speaks for itself');
});

test('a page\'s requests at once after the first are not handed the token again', async () => {
  const s = await w.session(++subject);
  const first = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
  const second = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
  assert.ok(first.handed);
  assert.deepEqual([second.subject, second.session, second.handed], [s.subject, first.session, undefined]);
  // Another login in place is another session from the first request on.
  const next = String(++subject);
  await w.writeRecord(s, next);
  const third = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
  assert.equal(third.subject, next);
  assert.notEqual(third.session, first.session);
});

test('a login by a backend in observe is one by the legacy session', async () => {
  const headers = { authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}`, 'content-type': 'application/json' };
  const create = (id) => a.request('POST', '/realms/observe/v1/sessions', { headers, body: JSON.stringify({ subject: id, client_id: 'web' }) });
  await w.policy('observe', { phase: 'observe', percent: 0 });
  const r = await create('77');
  assert.equal(r.status, 201, r.body);
  assert.deepEqual(Object.keys(r.json()).sort(), ['legacy_cookie', 'session']);
  const cookie = parseSetCookie(r.json().legacy_cookie).value;
  const seen = await a.verify({ realm: 'observe', cookies: { [LEGACY_COOKIE]: cookie } });
  assert.deepEqual([seen.subject, seen.session], ['77', r.json().session]);
  assert.equal((await create('7\n7')).status, 400);
});

test('a client that gives up, and an instance that stops, leave nothing that touches freed memory', async () => {
  const b = await w.serve('b');
  const sessions = await Promise.all(Array.from({ length: 8 }, () => login()));
  await w.cluster.pause('shard0');
  await w.cluster.pause('appdb');
  const asked = sessions.flatMap((s) => [b.refresh(s.refresh_token), b.exchange(s), b.revoke(s.refresh_token),
    b.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })]);
  await sleep(200);
  const ended = b.stop(); // destroys the connections too
  await Promise.allSettled(asked);
  assert.deepEqual(await ended, { code: 0, signal: null }, b.log());
  assert.doesNotMatch(b.log(), /ERROR: AddressSanitizer|runtime error/);
  await w.cluster.resume('shard0');
  await w.cluster.resume('appdb');
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
