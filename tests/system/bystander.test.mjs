// SPDX-License-Identifier: MIT
// What is the app's own stays the app's: its users, its bearer tokens, its sessions after a loss (rules 1, 3, 5; promise P1).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const PHASES = ['observe', 'dual', 'exchange', 'stateless', 'finalized'];
const TRUTH = PHASES.slice(0, 3); // where the legacy store is the truth
const required = { 'x-segue-auth': 'required' };
let w, a;
let subject = 0;

before(async () => {
  w = await startWorld({ realms: { ...Object.fromEntries(PHASES.map((p) => [p, {}])), main: {} } });
  a = await w.serve('a');
  for (const realm of w.realms) {
    await w.proveContinuity(realm);
    await w.policy(realm, realm === 'main' ? { phase: 'exchange', percent: 100 } : { phase: realm, percent: 100 });
  }
});
after(() => w?.stop());

const cookies = (s, jwt) => ({ [LEGACY_COOKIE]: s.cookie, ...(jwt ? { [JWT_COOKIE]: jwt } : {}) });
const part = (o) => Buffer.from(JSON.stringify(o)).toString('base64url');
const jwt = (header, claims) => `${part(header)}.${part(claims)}.${Buffer.from('signature').toString('base64url')}`;

describe('a subject that the identity source does not know', () => {
  for (const realm of TRUTH)
    test(`is let through to the app in ${realm}, with no identity and no JWT`, async () => {
      const s = await w.session(999999, { realm });
      for (const headers of [{}, required]) {
        const v = await a.verify({ realm, cookies: cookies(s), headers });
        assert.deepEqual([v.status, v.credential, v.subject, v.jwt, v.handed], [200, 'legacy', '', '', undefined]);
        assert.match(v.cookie, new RegExp(LEGACY_COOKIE));
      }
      const r = await a.exchange(s);
      assert.equal(r.status, 400, r.body);
    });

  test('is nobody once the legacy store is not the truth', async () => {
    const s = await w.session(999999, { realm: 'stateless' });
    assert.equal((await a.verify({ realm: 'stateless', cookies: cookies(s), headers: required })).status, 401);
  });
});

describe('a subject banned in the user table', () => {
  test("is refused, but in observe that is the app's to do", async () => {
    await w.app("UPDATE users SET active = false WHERE id = 190");
    for (const realm of PHASES.slice(0, 4)) {
      const s = await w.session(190, { realm });
      const v = await a.verify({ realm, cookies: cookies(s), headers: required });
      assert.deepEqual([v.status, v.subject], [realm === 'observe' ? 200 : 401, ''], realm);
    }
  });
});

describe("a bearer token that is none of Segue's", () => {
  const foreign = {
    'of another issuer': jwt({ alg: 'RS256', kid: 'theirs', typ: 'JWT' }, { iss: 'https://idp.example', sub: '7', exp: 4e9 }),
    'without an issuer': jwt({ alg: 'HS256' }, { sub: '7' }),
    'whose claims cannot be read': `${part({ alg: 'none' })}.AAAA.AAAA`,
  };
  for (const [what, bearer] of Object.entries(foreign))
    test(`(${what}) goes on to the app as it came, in every phase, and says nothing about anybody`, async () => {
      for (const realm of PHASES) {
        const v = await a.verify({ realm, bearer });
        assert.deepEqual([v.status, v.subject, v.credential, v.jwt, v.authorization], [200, '', 'none', '', `Bearer ${bearer}`], realm);
        const needed = await a.verify({ realm, bearer, headers: required });
        assert.equal(needed.status, 401, realm);
        assert.match(needed.headers['www-authenticate'], /error="invalid_token"/);
      }
    });

  test('does not hide the cookies beside it', async () => {
    const s = await w.session(++subject);
    const bearer = foreign['of another issuer'];
    const first = await a.verify({ cookies: cookies(s), realm: s.realm, bearer });
    assert.deepEqual([first.subject, first.authorization], [s.subject, `Bearer ${bearer}`]);
    const m = await w.session(++subject, { realm: 'main' });
    const token = (await a.exchange(m)).json().access_token;
    const second = await a.verify({ realm: 'main', cookies: { [JWT_COOKIE]: token }, bearer });
    assert.deepEqual([second.subject, second.credential, second.authorization], [m.subject, 'jwt', `Bearer ${bearer}`]);
    const unsafe = await a.verify({ realm: 'main', cookies: { [JWT_COOKIE]: token }, bearer, headers: { 'x-forwarded-method': 'POST' } });
    assert.equal(unsafe.status, 403, 'a cookie-borne JWT is as cookie-borne beside it');
  });

  test("is Segue's to refuse where it names one of its keys or issuers", async () => {
    const s = await w.session(++subject, { realm: 'main' });
    const good = (await a.exchange(s)).json().access_token;
    const { header, claims } = decodeJwt(good);
    for (const bearer of [jwt({ ...header, kid: 'other' }, claims), jwt(header, { ...claims, iss: 'https://idp.example' }), jwt(header, { sub: '1' }), `${part(header)}.AAAA.AAAA`]) {
      const v = await a.verify({ realm: 'main', bearer });
      assert.deepEqual([v.status, v.subject, v.authorization], [401, '', '']);
    }
  });
});

describe('finalized', () => {
  test('refuses a session cookie with an explanation', async () => {
    const s = await w.session(++subject, { realm: 'finalized' });
    const v = await a.verify({ realm: 'finalized', cookies: cookies(s), headers: required });
    assert.equal(v.status, 401);
    assert.match(v.headers['www-authenticate'], /error="invalid_token", error_description="session tokens are no longer accepted here: log in again"/);
    const none = await a.verify({ realm: 'finalized', headers: required });
    assert.doesNotMatch(none.headers['www-authenticate'], /error/, 'nothing was shown (RFC 6750, 3.1)');
  });
});

describe('an anonymous session cookie beside a good JWT', () => {
  for (const realm of ['main', 'stateless'])
    test(`(${realm}) wins while nothing was lost, and does not when the store may have forgotten the login`, async () => {
      const s = await w.session(++subject, { realm });
      const token = (await a.exchange(s)).json().access_token;
      const anonymous = await w.session(undefined, { realm });
      const ask = () => a.verify({ realm, cookies: cookies(anonymous, token) });
      assert.equal((await ask()).subject, '', 'logged out in the app, as far as it can tell');

      await w.redisOf(realm).flushDb(); // the sentinel goes with it
      await w.writeRecord(anonymous, undefined); // and the app gives its visitors new sessions
      const v = await ask();
      assert.deepEqual([v.subject, v.credential, v.removed], [s.subject, 'jwt', false]);
      await w.proveContinuity(realm);
      assert.equal((await ask()).subject, '');
    });
});

describe('a client that keeps no cookies', () => {
  for (const realm of ['main', 'stateless'])
    test(`(${realm}) is handed one JWT again and again, not a new one each time`, async () => {
      const s = await w.session(++subject, { realm });
      const tokens = new Set();
      const before = await a.metric(`segue_minted_total{realm="${realm}",kind="first"}`) + await a.metric(`segue_minted_total{realm="${realm}",kind="renewed"}`);
      for (let i = 0; i < 12; i++) {
        const v = await a.verify({ realm, cookies: cookies(s) });
        assert.equal(v.subject, s.subject);
        if (v.handed) tokens.add(v.handed);
        await sleep(200);
      }
      assert.equal(tokens.size, 1);
      const after = await a.metric(`segue_minted_total{realm="${realm}",kind="first"}`) + await a.metric(`segue_minted_total{realm="${realm}",kind="renewed"}`);
      assert.equal(after - before, 1);
      // What it says must be true all the same.
      await w.app(`UPDATE users SET roles = '{user,new}' WHERE id = ${s.subject}`);
      const changed = await until('the new role', async () => {
        const v = await a.verify({ realm, cookies: cookies(s) });
        return v.handed && decodeJwt(v.handed).claims.roles.includes('new') && v;
      });
      assert.equal(changed.roles, 'user,new');
    });
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
