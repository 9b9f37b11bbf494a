// SPDX-License-Identifier: MIT
// Sequences that once went wrong, or were tried because they might: steps killed, repeated, reordered, raced and lied to.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, overlay, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

let w, a;
let subject = 0;

before(async () => {
  w = await startWorld({ realms: { main: {}, brief: { refresh: { grace: '1s' } }, short: { token: { lifetime: '1s' } } } });
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
    assert.equal((await a.verify({ bearer: s.access_token })).status, 401);
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

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
