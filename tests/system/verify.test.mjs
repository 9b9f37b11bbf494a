// SPDX-License-Identifier: MIT
// GET /verify on a real server: the phase table, credential by credential, and the rules about who may say what.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import * as jose from 'jose';

import { parseSetCookie } from '../lib/http.mjs';
import { AUDIENCE, JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld, tamper } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const PHASES = ['observe', 'dual', 'exchange', 'stateless', 'finalized'];
const HEADERS = ['subject', 'roles', 'permissions', 'session', 'jwt', 'cookie', 'authorization', 'credential', 'phase'].map((h) => `x-segue-${h}`);

let w, a;
const at = {}; // by phase: {old, other, anonymous: sessions; jwt: of old; subject}

before(async () => {
  w = await startWorld({
    realms: {
      ...Object.fromEntries(PHASES.map((p) => [p, {}])),
      short: { token: { lifetime: '1s' } },
      plain: { token: { alg: 'EdDSA' }, legacy: { cookie_secure: false, cookie_domain: 'shop.example' } },
      rsa: { token: { alg: 'RS256' } },
    },
  });
  a = await w.serve();
  for (const realm of w.realms) {
    await w.proveContinuity(realm);
    await w.policy(realm, { phase: 'exchange', percent: 100 });
  }
  for (const [i, phase] of PHASES.entries()) {
    const subject = String(10 + i);
    const old = await w.session(subject, { realm: phase });
    const jwt = (await a.verify({ realm: phase, cookies: { [LEGACY_COOKIE]: old.cookie } })).handed;
    assert.ok(jwt, phase);
    at[phase] = { subject, old, jwt, anonymous: await w.session(undefined, { realm: phase }) };
    if (phase === 'observe' || phase === 'dual') await w.policy(phase, { phase: 'observe', percent: 0 });
    at[phase].other = await w.session(String(20 + i), { realm: phase });
    if (phase !== 'exchange' && phase !== 'stateless') await a.verify({ realm: phase, cookies: { [LEGACY_COOKIE]: at[phase].other.cookie } });
    await w.policy(phase, { phase, percent: phase === 'observe' || phase === 'dual' ? 0 : 100 });
  }
});
after(() => w?.stop());

const nobody = { status: 200, subject: '', roles: '', permissions: '', session: '', jwt: '', credential: 'none' };
const subset = (r, expected) => assert.deepEqual(Object.fromEntries(Object.keys(expected).map((k) => [k, r[k]])), expected);

for (const phase of PHASES) {
  const legacyAccepted = phase !== 'finalized';
  const mints = phase === 'exchange' || phase === 'stateless';
  describe(`in ${phase}`, () => {
    const ask = (cookies, more) => a.verify({ realm: phase, cookies: { theme: 'dark', ...cookies }, ...more });

    test('the answer names the phase, and every identity header is there though nothing is known', async () => {
      const r = await a.verify({ realm: phase, headers: { 'x-segue-subject': 'admin', 'x-segue-roles': 'root' } });
      subset(r, { ...nobody, cookie: '', authorization: '', phase });
      for (const h of HEADERS) assert.ok(h in r.headers, h);
      const required = await a.verify({ realm: phase, headers: { 'x-segue-auth': 'required' } });
      assert.equal(required.status, 401);
      assert.match(required.headers['www-authenticate'], /^Bearer realm=/);
      for (const h of HEADERS) assert.ok(h in required.headers, h);
    });

    test(legacyAccepted ? `a session cookie is accepted and ${mints ? '' : 'no '}JWT handed over` : 'a session cookie is refused', async () => {
      const s = at[phase].other;
      const r = await ask({ [LEGACY_COOKIE]: s.cookie });
      if (!legacyAccepted) {
        subset(r, nobody);
        assert.equal((await ask({ [LEGACY_COOKIE]: s.cookie }, { headers: { 'x-segue-auth': 'required' } })).status, 401);
        const e = await a.exchange(s);
        assert.equal(e.status, 400);
        assert.match(e.json().error_description, /no longer accepted/);
        return;
      }
      subset(r, { status: 200, credential: 'legacy', subject: s.subject, roles: 'user', permissions: 'read', removed: false });
      assert.equal(r.cookie, `theme=dark; ${LEGACY_COOKIE}=${s.cookie}`);
      assert.equal(Boolean(r.handed), mints);
      assert.equal(r.jwt, r.handed ?? '');
      if (mints) assert.equal(decodeJwt(r.handed).claims.sid, r.session);
    });

    test('a JWT cookie alone is accepted; upstream gets the legacy cookie instead', async () => {
      const { jwt, old, subject } = at[phase];
      const r = await ask({ [JWT_COOKIE]: jwt });
      subset(r, { status: 200, credential: 'jwt', subject, roles: 'user', permissions: 'read', jwt, removed: false, handed: undefined });
      assert.equal(r.session, decodeJwt(jwt).claims.sid);
      assert.equal(r.cookie, legacyAccepted ? `theme=dark; ${LEGACY_COOKIE}=${old.cookie}` : 'theme=dark');
    });

    test('a JWT as bearer is accepted and does not go upstream as it came', async () => {
      const { jwt, old, subject } = at[phase];
      const r = await a.verify({ realm: phase, bearer: jwt });
      subset(r, { status: 200, credential: 'jwt', subject, jwt, authorization: '', set: [] });
      assert.equal(r.cookie, legacyAccepted ? `${LEGACY_COOKIE}=${old.cookie}` : '');
    });

    test('both of one session are one session', async () => {
      const { jwt, old, subject } = at[phase];
      const r = await ask({ [JWT_COOKIE]: jwt, [LEGACY_COOKIE]: old.cookie });
      subset(r, { status: 200, credential: legacyAccepted ? 'both' : 'jwt', subject, jwt, set: [] });
      assert.equal(r.cookie, `theme=dark; ${LEGACY_COOKIE}=${old.cookie}`);
    });

    test(legacyAccepted ? 'of two sessions the legacy one wins and the JWT goes' : 'the JWT stands beside a legacy cookie of another session', async () => {
      const { jwt, other, subject } = at[phase];
      const r = await ask({ [JWT_COOKIE]: jwt, [LEGACY_COOKIE]: other.cookie });
      if (!legacyAccepted) return subset(r, { status: 200, credential: 'jwt', subject });
      subset(r, { status: 200, credential: 'legacy', subject: other.subject, removed: !mints });
      assert.equal(Boolean(r.handed), mints);
      assert.notEqual(r.jwt, jwt);
      if (mints) assert.equal(decodeJwt(r.handed).claims.sub, other.subject);
    });

    test(legacyAccepted ? 'an anonymous record wins over the JWT of an earlier login' : 'an anonymous record says nothing', async () => {
      const { jwt, anonymous, subject } = at[phase];
      const r = await ask({ [JWT_COOKIE]: jwt, [LEGACY_COOKIE]: anonymous.cookie });
      if (!legacyAccepted) return subset(r, { status: 200, credential: 'jwt', subject });
      subset(r, { ...nobody, removed: true, handed: undefined });
      assert.equal(r.cookie, `theme=dark; ${LEGACY_COOKIE}=${anonymous.cookie}`);
    });

    test('a legacy cookie whose record is gone does not take the JWT of another session with it', async () => {
      const r = await ask({ [JWT_COOKIE]: at[phase].jwt, [LEGACY_COOKIE]: w.credential('gone-'.padEnd(32, 'x'), phase).cookie });
      subset(r, { status: 200, credential: 'jwt', subject: at[phase].subject, removed: false });
    });
  });
}

test('in dual a login made since gets a JWT, one from before does not', async () => {
  await sleep(20);
  const s = await w.session(31, { realm: 'dual' });
  assert.ok((await a.verify({ realm: 'dual', cookies: { [LEGACY_COOKIE]: s.cookie } })).handed);
  assert.equal((await a.verify({ realm: 'dual', cookies: { [LEGACY_COOKIE]: at.dual.other.cookie } })).handed, undefined);
});

test('an expired JWT cookie renews in every phase, and an expired bearer does not', async () => {
  const s = await w.session(40, { realm: 'short' });
  let jwt = (await a.verify({ realm: 'short', cookies: { [LEGACY_COOKIE]: s.cookie } })).handed;
  const sid = decodeJwt(jwt).claims.sid;
  for (const phase of PHASES) {
    await w.policy('short', { phase, percent: phase === 'exchange' ? 0 : undefined });
    await sleep(Math.max(0, decodeJwt(jwt).claims.exp * 1000 - Date.now()) + 20);
    const r = await a.verify({ realm: 'short', cookies: { [JWT_COOKIE]: jwt } });
    subset(r, { status: 200, credential: 'jwt', subject: '40', session: sid });
    assert.ok(r.handed && r.handed !== jwt, phase);
    const bearer = await a.verify({ realm: 'short', bearer: jwt });
    assert.equal(bearer.status, 401);
    assert.match(bearer.headers['www-authenticate'], /error="invalid_token"/);
    jwt = r.handed;
  }
});

describe('in exchange', () => {
  const realm = 'exchange';
  const login = async (subject) => {
    const s = await w.session(subject, { realm });
    return { ...s, jwt: (await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie } })).handed };
  };

  test('a revoked JWT falls through to the legacy credential, and alone is nobody', async () => {
    const [one, two] = [await login(50), await login(51)];
    assert.equal((await a.revoke(one.jwt, { realm, client_id: 'web' })).status, 200);
    const alone = await a.verify({ realm, cookies: { [JWT_COOKIE]: one.jwt } });
    subset(alone, { ...nobody, removed: true });
    assert.equal((await a.verify({ realm, bearer: one.jwt })).status, 401);
    const through = await a.verify({ realm, cookies: { [JWT_COOKIE]: one.jwt, [LEGACY_COOKIE]: two.cookie } });
    subset(through, { status: 200, credential: 'legacy', subject: '51' });
    assert.equal(decodeJwt(through.handed).claims.sub, '51');
  });

  test('a JWT shown again is known without its signature, and ends with its session all the same', async () => {
    const known = () => a.metric(`segue_tokens_verified_total{realm="${realm}",by="cache"}`);
    const { jwt } = await login(54);
    subset(await a.verify({ realm, bearer: jwt }), { status: 200, subject: '54' });
    const before = await known();
    for (let i = 0; i < 3; i++) subset(await a.verify({ realm, bearer: jwt }), { status: 200, subject: '54' });
    assert.equal((await known()) - before, 3);
    assert.equal((await a.revoke(jwt, { realm, client_id: 'web' })).status, 200);
    assert.equal((await a.verify({ realm, bearer: jwt })).status, 401);
    assert.ok((await known()) - before > 3);
  });

  test('a logout through Segue ends the legacy session too', async () => {
    const s = await login(52);
    assert.equal((await a.revoke(s.jwt, { realm, client_id: 'web' })).status, 200);
    assert.equal(await w.redisOf(realm).exists(s.key), 0);
    subset(await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie } }), nobody);
    await w.writeRecord(s, 52); // the app writes back what it had in hand
    subset(await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie } }), nobody);
    const again = await a.exchange(s);
    assert.equal(again.status, 400);
    assert.equal(again.json().error, 'invalid_grant');
  });

  test('a bad JWT as bearer is 401 with the reason, unless a legacy cookie speaks', async () => {
    const s = await login(53);
    const { kid } = decodeJwt(s.jwt).header;
    const other = await jose.generateKeyPair('ES256');
    const claims = decodeJwt(s.jwt).claims;
    const publicKey = (await a.request('GET', `/realms/${realm}/.well-known/jwks.json`)).json().keys[0];
    const none = `${Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt', kid })).toString('base64url')}.${s.jwt.split('.')[1]}.AA`;
    const bad = {
      'a broken signature': tamper(s.jwt),
      'another key under our kid': await new jose.SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid }).sign(other.privateKey),
      'HS256 with our public key as secret': await new jose.SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid }).sign(Buffer.from(JSON.stringify(publicKey))),
      'alg none': none,
      'a token of another realm': at.stateless.jwt,
    };
    for (const [what, jwt] of Object.entries(bad)) {
      const r = await a.verify({ realm, bearer: jwt });
      assert.equal(r.status, 401, what);
      assert.match(r.headers['www-authenticate'], /^Bearer realm="exchange", error="invalid_token", error_description="/, what);
      assert.equal(r.subject, '');
      const spoken = await a.verify({ realm, bearer: jwt, cookies: { [LEGACY_COOKIE]: s.cookie } });
      subset(spoken, { status: 200, subject: '53', authorization: '' });
    }
  });

  test('an unsigned or tampered session cookie is as if it were not there', async () => {
    const s = await login(54);
    const raw = decodeURIComponent(s.cookie);
    for (const cookie of [s.sid, `s:${s.sid}`, raw.slice(0, -2) + (raw.endsWith('AA') ? 'BB' : 'AA'), encodeURIComponent(`s:${s.sid}x.${raw.split('.')[1]}`)])
      subset(await a.verify({ realm, cookies: { [LEGACY_COOKIE]: cookie } }), nobody);
  });

  test('a cookie-borne JWT alone on an unsafe method needs a matching Origin or Sec-Fetch-Site', async () => {
    const { jwt, cookie } = await login(55);
    const post = (headers, cookies = { [JWT_COOKIE]: jwt }) => a.verify({ realm, cookies, headers: { 'x-forwarded-method': 'POST', ...headers } });
    for (const headers of [{}, { origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }, { origin: 'null' },
      { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' }, { 'x-forwarded-method': 'DELETE' }]) {
      const r = await post(headers);
      assert.equal(r.status, 403, JSON.stringify(headers));
      subset(r, { subject: '', jwt: '', set: [] });
    }
    for (const headers of [{ origin: AUDIENCE }, { 'sec-fetch-site': 'same-origin' }, { 'x-forwarded-method': 'HEAD' }])
      subset(await post(headers), { status: 200, subject: '55', credential: 'jwt' });
    subset(await post({}, { [JWT_COOKIE]: jwt, [LEGACY_COOKIE]: cookie }), { status: 200, subject: '55', credential: 'legacy', removed: false });
    subset(await a.verify({ realm, bearer: jwt, headers: { 'x-forwarded-method': 'POST' } }), { status: 200, subject: '55' });
  });

  test('a proxy that repeats the client\'s method, instead of telling it, is understood', async () => {
    const { jwt } = await login(56);
    const r = await a.request('POST', '/verify', { headers: { 'x-segue-realm': realm, cookie: `${JWT_COOKIE}=${jwt}` } });
    assert.equal(r.status, 403);
  });

  test('nothing is minted for an image, a style or a font', async () => {
    for (const [i, dest] of ['image', 'style', 'script', 'font'].entries()) {
      const s = await w.session(60 + i, { realm });
      subset(await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie }, headers: { 'sec-fetch-dest': dest } }),
        { status: 200, subject: s.subject, set: [], jwt: '' });
      await until(`a token for a page after a ${dest}`, async () =>
        (await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie }, headers: { 'sec-fetch-dest': 'empty' } })).handed, 2000);
    }
  });

  test('the audience is the one the proxy asks for, among the configured ones', async () => {
    for (const [wanted, got] of [['https://api.example', 'https://api.example'], ['https://evil.example', AUDIENCE], [undefined, AUDIENCE]]) {
      const s = await w.session(65, { realm });
      const r = await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie }, headers: wanted ? { 'x-segue-audience': wanted } : {} });
      assert.equal(decodeJwt(r.handed).claims.aud, got);
    }
  });

  test("roles are those of the user table now; a ban is refused, and who is not in it is the app's to judge", async () => {
    await w.app("UPDATE users SET roles = '{user,editor}', permissions = '{read,write}' WHERE id = 70; UPDATE users SET active = false WHERE id = 71");
    const s = await login(70);
    subset(decodeJwt(s.jwt).claims, { roles: ['user', 'editor'], permissions: ['read', 'write'], rv: 2 });
    const banned = await w.session(71, { realm });
    subset(await a.verify({ realm, cookies: { [LEGACY_COOKIE]: banned.cookie } }), nobody);
    assert.equal((await a.exchange(banned)).json().error, 'invalid_grant');
    const unknown = await w.session(99999, { realm });
    subset(await a.verify({ realm, cookies: { [LEGACY_COOKIE]: unknown.cookie } }), { ...nobody, credential: 'legacy' });
  });

  test('a role change and a ban reach outstanding tokens by the feed', async () => {
    const [s, t] = [await login(72), await login(73)];
    const change = (subject, set) => w.everyShard(`WITH u AS (UPDATE segue.subject SET ${set} WHERE realm = '${realm}' AND subject = '${subject}' RETURNING *)
      INSERT INTO segue.revocation (realm, bucket, kind, subject, status, epoch, source_version, roles, permissions)
      SELECT realm, bucket, 'subject', subject, status, epoch, source_version, roles, permissions FROM u RETURNING 1`);
    assert.equal((await change(72, "roles = '{user,boss}', source_version = 9")).length, 1);
    const r = await until('the new role', async () => {
      const now = await a.verify({ realm, bearer: s.jwt });
      return now.roles === 'user,boss' && now;
    }, 1000, 5);
    assert.deepEqual(decodeJwt(r.jwt).claims.roles, ['user', 'boss']);
    assert.equal((await change(73, "status = 'banned', epoch = epoch + 1")).length, 1);
    await until('the ban', async () => (await a.verify({ realm, bearer: t.jwt })).status === 401, 1000, 5);
  });

  test('a record that names another subject is another session, and the first one is over', async () => {
    const s = await login(74);
    await w.writeRecord(s, 75);
    const r = await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie } });
    subset(r, { status: 200, subject: '75' });
    assert.notEqual(r.session, decodeJwt(s.jwt).claims.sid);
    await until('the old token to be refused', async () => (await a.verify({ realm, bearer: s.jwt })).status === 401, 1000, 5);
  });

  test('undecodable records are nobody, and lose nothing', async () => {
    const s = await w.session(76, { realm });
    await w.redisOf(realm).set(s.key, '{"cookie":', { EX: 3600 });
    subset(await a.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie } }), nobody);
    assert.equal(await w.redisOf(realm).get(s.key), '{"cookie":');
  });
});

describe('cookies', () => {
  test("follow the legacy cookie's scope", async () => {
    const one = await w.session(80, { realm: 'exchange' });
    const [strict] = (await a.verify({ realm: 'exchange', cookies: { [LEGACY_COOKIE]: one.cookie } })).set;
    assert.deepEqual(strict.attributes, { 'max-age': String(30 * 86400), path: '/', httponly: true, samesite: 'Lax', secure: true });
    const two = await w.session(80, { realm: 'plain' });
    const [plain] = (await a.verify({ realm: 'plain', cookies: { [LEGACY_COOKIE]: two.cookie } })).set;
    assert.deepEqual(plain.attributes, { 'max-age': String(30 * 86400), path: '/', httponly: true, samesite: 'Lax', domain: 'shop.example' });
  });

  test('come in one Set-Cookie header with Cache-Control: private, no-store', async () => {
    const s = await w.session(81, { realm: 'exchange' });
    const r = await a.verify({ realm: 'exchange', cookies: { [LEGACY_COOKIE]: s.cookie } });
    assert.equal(r.headers['set-cookie'].length, 1);
    assert.equal(r.headers['cache-control'], 'private, no-store');
  });

  test('other cookies pass untouched, in their order', async () => {
    const s = await w.session(82, { realm: 'exchange' });
    const { handed } = await a.verify({ realm: 'exchange', cookies: { [LEGACY_COOKIE]: s.cookie } });
    const r = await a.verify({ realm: 'exchange', cookies: `a=1; ${JWT_COOKIE}=${handed}; b="two words"; ${JWT_COOKIE}=again; ${LEGACY_COOKIE}x=3; x${JWT_COOKIE}=4` });
    assert.equal(r.cookie, `a=1; b="two words"; ${LEGACY_COOKIE}x=3; x${JWT_COOKIE}=4; ${LEGACY_COOKIE}=${s.cookie}`);
  });
});

describe('an independent library', () => {
  for (const [realm, alg] of [['exchange', 'ES256'], ['plain', 'EdDSA'], ['rsa', 'RS256']])
    test(`verifies what is minted with ${alg} against the JWKS`, async () => {
      const s = await w.session(90, { realm });
      const { access_token } = (await a.exchange(s)).json();
      const jwks = (await a.request('GET', `/realms/${realm}/.well-known/jwks.json`)).json();
      for (const key of jwks.keys) for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) assert.equal(key[secret], undefined);
      const { payload, protectedHeader } = await jose.jwtVerify(access_token, jose.createLocalJWKSet(jwks), {
        issuer: 'https://login.example', audience: AUDIENCE, typ: 'at+jwt', algorithms: [alg],
      });
      assert.equal(protectedHeader.alg, alg);
      subset(payload, { sub: '90', client_id: 'api', roles: ['user'], permissions: ['read'] });
      assert.equal(payload.exp - payload.iat, 300);
    });

  test('finds the metadata', async () => {
    const m = (await a.request('GET', '/.well-known/oauth-authorization-server')).json();
    assert.equal(m.issuer, 'https://login.example');
    for (const url of [m.token_endpoint, m.revocation_endpoint, m.jwks_uri]) assert.ok(url.startsWith(m.issuer), url);
  });
});

test('a login by a trusted backend is a session on both sides', async () => {
  const basic = (secret) => ({ authorization: `Basic ${Buffer.from(`backend:${secret}`).toString('base64')}`, 'content-type': 'application/json' });
  for (const phase of ['exchange', 'finalized']) {
    const path = `/realms/${phase}/v1/sessions`;
    const body = JSON.stringify({ subject: '95', client_id: 'web' });
    assert.equal((await a.request('POST', path, { headers: basic('wrong'), body })).status, 401);
    const r = await a.request('POST', path, { headers: basic(w.backendSecret), body });
    assert.equal(r.status, 201, r.body);
    const made = r.json();
    subset(await a.verify({ realm: phase, bearer: made.access_token }), { status: 200, subject: '95', session: made.session });
    assert.equal(parseSetCookie(made.set_cookie).value, made.access_token);
    assert.equal('legacy_cookie' in made, phase === 'exchange');
    if (phase === 'exchange') {
      const legacy = parseSetCookie(made.legacy_cookie);
      const key = `sess:${decodeURIComponent(legacy.value).slice(2).split('.')[0]}`;
      assert.equal(JSON.parse(await w.redisOf(phase).get(key)).passport.user, 95);
      subset(await a.verify({ realm: phase, cookies: { [LEGACY_COOKIE]: legacy.value, [JWT_COOKIE]: made.access_token } }), { status: 200, credential: 'both' });
    }
  }
});

test('request ids are echoed, and a strange one is replaced', async () => {
  const id = async (given) => (await a.request('GET', '/healthz', { headers: { 'x-request-id': given } })).headers['x-request-id'];
  assert.equal(await id('abc-123_XYZ'), 'abc-123_XYZ');
  for (const strange of ['short', 'has spaces in', 'x'.repeat(65), '<script>alert']) assert.match(await id(strange), /^[0-9a-f]{24}$/);
});

test('in observe tokens are minted in the shadow and compared', async () => {
  const s = await w.session(96, { realm: 'observe' });
  const before = await a.metric('segue_minted_total{realm="observe",kind="shadow"}');
  await a.verify({ realm: 'observe', cookies: { [LEGACY_COOKIE]: s.cookie } });
  assert.equal(await a.metric('segue_minted_total{realm="observe",kind="shadow"}'), before + 1);
  assert.equal(await a.metric('segue_shadow_mismatch_total{realm="observe"}'), 0);
});

test('an expired JWT cookie on an unsafe method does not get round the check of where it comes from', async () => {
  await w.policy('short', { phase: 'finalized' }); // nothing but the token vouches
  const r = await a.request('POST', '/realms/short/v1/sessions', {
    headers: { authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}` },
    body: JSON.stringify({ subject: '97' }),
  });
  const jwt = r.json().access_token;
  await sleep(Math.max(0, decodeJwt(jwt).claims.exp * 1000 - Date.now()) + 20);
  const post = (headers) => a.verify({ realm: 'short', cookies: { [JWT_COOKIE]: jwt }, headers: { 'x-forwarded-method': 'POST', ...headers } });
  assert.equal((await post({})).status, 403);
  assert.equal((await post({ origin: 'https://evil.example' })).status, 403);
  subset(await post({ origin: AUDIENCE }), { status: 200, subject: '97' });
});

test('no token, cookie, key or password in logs, metrics or tables', async () => {
  await a.verify({ realm: 'exchange', bearer: randomBytes(30).toString('hex') });
  assert.deepEqual(await w.leaks(), []);
});
