// SPDX-License-Identifier: MIT
// How long tokens would be, told before a rollout to the byte; and those that do not fit in a cookie leave their roles out.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { until } from '../lib/wait.mjs';

const names = (n, what, length = 40) => Array.from({ length: n }, (_, i) => `${what}-${String(i).padStart(2, '0')}-`.padEnd(length, 'x'));
const array = (list) => `ARRAY[${list.map((x) => `'${x}'`).join(',')}]::text[]`;
/** What each of these subjects has. */
const people = {
  1: { roles: ['user'], permissions: ['read'] },
  2: { roles: names(20, 'role'), permissions: [] },
  3: { roles: names(40, 'role'), permissions: names(30, 'permission') },
  4: { roles: names(60, 'role', 60), permissions: names(60, 'permission', 60) }, // in no token that libsegue makes
  5: { roles: ['usér', 'a"b\\c'], permissions: ['read'] },
};
const over = [3, 4];
let w, a;

before(async () => {
  w = await startWorld({ users: 90, realms: { main: {}, tight: { token: { alg: 'RS256', max_bytes: 1500 } }, none: { token: { cookie: 'j'.repeat(3700) } } } });
  for (const [id, p] of Object.entries(people)) await w.app(`UPDATE users SET roles = ${array(p.roles)}, permissions = ${array(p.permissions)} WHERE id = ${id}`);
  a = await w.serve('a');
  await Promise.all(['main', 'none'].map(async (realm) => {
    await w.transfer(realm);
    await until(`the identities of ${realm} to be there`, async () => (await w.total(`SELECT count(*) FROM segue.subject WHERE realm = '${realm}' AND source_version >= 0`)) === 90);
  }));
});
after(() => w?.stop());

const report = async (realm, ...args) => {
  const r = await w.run('report sizes', '--realm', realm, '--json', ...args);
  assert.equal(r.code, 0, r.stderr);
  return JSON.parse(r.stdout);
};
const cookieBytes = (name, value) => Buffer.byteLength(name) + Buffer.byteLength(value);

describe('segue report sizes', () => {
  test('tells each subject\'s cookie to the byte, and who is over the limit', async () => {
    const said = await report('main', '--cookie-bytes', '256', '--limit', '200');
    assert.deepEqual([said.subjects, said.unread, said.alg, said.longest.length], [90, 0, 'ES256', 90]);
    await w.policy('main', { phase: 'exchange', percent: 100 });
    for (const id of ['1', '2', '5', '77']) {
      const s = await w.session(id);
      const { handed } = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
      assert.equal(said.longest.find((x) => x.subject === id).cookie_bytes, cookieBytes(JWT_COOKIE, handed), `subject ${id}`);
    }
    await w.policy('main', { phase: 'observe', percent: 0 });
    const real = await report('main');
    assert.deepEqual([real.cookie.over, real.longest.map((x) => x.subject), real.no_cookie, real.over_token], [2, ['4', '3'], 0, 1]);
    assert.ok(real.cookie.p50 <= real.cookie.p99 && real.cookie.p99 <= real.cookie.max && real.cookie.max === real.longest[0].cookie_bytes);
  });
  test('says which roles cost what, and how many would fit without', async () => {
    const said = await report('main', '--cookie-bytes', '1500', '--limit', '500');
    assert.equal(said.longest.length, 3);
    const role = said.names.find((n) => n.name.startsWith('role-00') && n.name.length === 40);
    assert.deepEqual([role.holders, role.over, role.bytes], [2, 2, Math.ceil((43 * 4) / 3)]);
    const fits = await report('main', '--cookie-bytes', String((await report('main', '--cookie-bytes', '256', '--limit', '200')).longest.find((x) => x.subject === '2').cookie_bytes - 50));
    assert.equal(fits.names.find((n) => n.name === role.name).fit_without, 1);
    const text = await w.run('report sizes', '--realm', 'main');
    assert.match(text.stdout, /2 subjects' cookies leave their roles out/);
    assert.match(text.stdout, /1 subjects' tokens leave them out everywhere/);
  });
});

describe('a token too long for a cookie', () => {
  test('leaves its roles out and says so, and the app is told them all the same', async () => {
    await w.policy('main', { phase: 'exchange', percent: 100 });
    for (const id of over) {
      const s = await w.session(id);
      const first = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
      assert.ok(cookieBytes(JWT_COOKIE, first.handed) <= 4096);
      const { claims } = decodeJwt(first.handed);
      assert.deepEqual([claims.rr, claims.roles, claims.permissions, claims.sub], [1, undefined, undefined, String(id)]);
      for (const cookies of [{ [JWT_COOKIE]: first.handed }, { [JWT_COOKIE]: first.handed, [LEGACY_COOKIE]: s.cookie }]) {
        for (let n = 0; n < 3; n++) {
          const next = await a.verify({ cookies });
          assert.deepEqual([next.status, next.subject, next.set.length], [200, String(id), 0]);
          assert.deepEqual(next.roles.split(','), people[id].roles);
          assert.deepEqual(next.permissions.split(','), people[id].permissions);
          const upstream = decodeJwt(next.jwt).claims;
          assert.deepEqual(upstream.roles, id === 3 ? people[3].roles : undefined, 'with them where the token can hold them');
          assert.equal(upstream.rr, id === 3 ? undefined : 1);
        }
      }
    }
    assert.ok((await a.metric('segue_minted_total{realm="main",kind="reference"}')) >= 2);
  });
  test('follows a change of roles and a ban', async () => {
    const s = await w.session(3);
    const { handed } = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
    await w.app(`UPDATE users SET roles = ${array([...people[3].roles, 'late'])} WHERE id = 3`);
    await until('the new role', async () => (await a.verify({ cookies: { [JWT_COOKIE]: handed } })).roles.endsWith(',late'), 3000);
    await w.app(`UPDATE users SET active = false WHERE id = 3`);
    await until('the ban', async () => (await a.verify({ cookies: { [JWT_COOKIE]: handed } })).subject === '', 3000);
    await w.app(`UPDATE users SET active = true WHERE id = 3`);
  });
  test('is what an API client gets too where token.max_bytes says so', async () => {
    await w.policy('tight', { phase: 'exchange', percent: 100 });
    const [small, big] = await Promise.all([1, 2].map(async (id) => (await a.exchange(await w.session(id, { realm: 'tight' }))).json().access_token));
    assert.deepEqual([decodeJwt(small).claims.roles, decodeJwt(small).claims.rr], [['user'], undefined]);
    assert.deepEqual([decodeJwt(big).claims.roles, decodeJwt(big).claims.rr], [undefined, 1]);
    assert.ok(big.length <= 1500);
    assert.deepEqual((await a.verify({ realm: 'tight', bearer: big })).roles.split(','), people[2].roles);
  });
  test('is no cookie at all where even that is too long: the session cookie goes on', async () => {
    await w.policy('none', { phase: 'exchange', percent: 100 });
    const s = await w.session(1, { realm: 'none' });
    for (let n = 0; n < 3; n++) {
      const r = await a.verify({ realm: 'none', cookies: { [LEGACY_COOKIE]: s.cookie } });
      assert.deepEqual([r.status, r.subject, r.roles, r.set.length], [200, '1', 'user', 0]);
    }
    assert.ok((await a.metric('segue_refused_total{realm="none",why="size"}')) >= 1);
    assert.equal(a.log().match(/too long for a cookie even without roles/g).length, 1, 'told once a minute');
    const login = await a.request('POST', '/realms/none/v1/sessions', {
      headers: { 'content-type': 'application/json', authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}` },
      body: JSON.stringify({ subject: '1', client_id: 'web' }),
    });
    assert.equal(login.status, 201, login.body);
    assert.equal(login.json().set_cookie || undefined, undefined);
    assert.ok(login.json().legacy_cookie);
  });
});

describe('segue phase', () => {
  const phase = (realm, ...args) => w.run('phase', '--realm', realm, ...args);
  test('refuses a step forward when tokens do not fit, unless it is forced with a reason', async () => {
    await until('both to be active', async () => (await w.total("SELECT count(*) FROM segue.subject WHERE realm = 'main' AND subject IN ('3', '4') AND status = 'active'")) === 2);
    for (const realm of ['main', 'none']) await w.policy(realm, { phase: 'observe', percent: 0 });
    const many = await phase('main', 'dual');
    assert.equal(many.code, 1, many.stdout);
    assert.match(many.stderr, /too many tokens do not fit in a cookie: more than 1 % of the subjects/);
    const none = await phase('none', 'dual');
    assert.match(none.stderr, /some not even without roles/);
    assert.equal((await phase('main', 'dual', '--force')).code, 2, '--force wants --why');
    const forced = await phase('main', 'dual', '--force', '--why', 'they are test users');
    assert.equal(forced.code, 0, forced.stderr);
    assert.match(forced.stderr, /subjects get a cookie without roles/);
    assert.equal((await phase('none', 'observe')).code, 0);
  });
});
