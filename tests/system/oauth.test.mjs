// SPDX-License-Identifier: MIT
// The OAuth endpoints by the letter of RFC 6749, 6750, 7009, 7662, 8414, 8693, 8707 and 9068. Every answer is held against
// docs/openapi.yaml.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { createConfig, lint } from '@redocly/openapi-core';

import { file, judged, spec, unseen } from '../lib/openapi.mjs';
import { root } from '../lib/paths.mjs';
import { EXCHANGE, JWT_COOKIE, LEGACY, LEGACY_COOKIE, decodeJwt, overlay, startWorld, tamper } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const [APP, API] = ['https://app.example', 'https://api.example'];
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const basic = (id, secret) => ({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` });
let w, a, b, dir, rsSecret;
let subject = 0;

before(async () => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'sg-oauth-'));
  rsSecret = randomBytes(32).toString('hex');
  writeFileSync(path.join(dir, 'rs'), rsSecret, { mode: 0o600 });
  const clients = [
    { id: 'web', scope: ['orders:read', 'orders:write'] },
    { id: 'app', scope: ['orders:read', 'orders:write', 'profile'] },
    { id: 'other' },
    { id: 'once', grants: ['token_exchange'], audiences: [API] },
    { id: 'backend', secret_file: 'backend-secret', grants: ['client_credentials', 'token_exchange', 'refresh_token'],
      scope: ['orders:read', 'orders:sync'], roles: ['service', 'a,b'], permissions: ['orders:sync'] },
    { id: 'rs', secret_file: path.join(dir, 'rs'), grants: [], audiences: [API] },
  ];
  const realm = { clients };
  w = await startWorld({
    realms: {
      main: realm, short: { ...realm, token: { lifetime: '1s' } },
      pathed: { ...realm, issuer: 'https://login.example/tenants/one' }, slash: { ...realm, issuer: 'https://login.example/' },
    },
  });
  await w.app(`UPDATE users SET roles = ARRAY['admin,root', 'größe', '100%'], permissions = ARRAY['a b', 'orders:read'] WHERE id = 199`);
  a = judged(await w.serve('a'));
  b = judged(await w.serve('b', { config: w.write('asking.yaml', overlay(w.config, { segue: { feed: { when_stale: 'introspect' } } })) }));
  for (const name of w.realms) await w.policy(name, { phase: 'exchange', percent: 100 });
});
after(async () => {
  await w?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const post = (where, fields, headers = {}, i = a) => i.post('main', where, fields, headers);
const token = (fields, headers) => post('/oauth2/token', fields, headers);
const own = (fields = {}) => token({ grant_type: 'client_credentials', ...fields }, basic('backend', w.backendSecret));
const asRs = () => basic('rs', rsSecret);
const asBackend = () => basic('backend', w.backendSecret);
const introspect = async (t, headers = asRs(), more = {}, i = a) => (await post('/oauth2/introspect', { token: t, ...more }, headers, i)).json();

function refused(r, status, error, description = /./) {
  assert.deepEqual([r.status, r.json().error], [status, error], r.body);
  assert.match(r.json().error_description, description);
}

/** A session and the tokens of its exchange. */
async function login({ realm = 'main', client_id = 'app', ...fields } = {}) {
  const s = await w.session(fields.subject ?? (++subject % 190) + 1, { realm });
  const r = await a.exchange(s, { client_id, ...fields });
  assert.equal(r.status, 200, r.body);
  return { ...s, ...r.json(), claims: decodeJwt(r.json().access_token).claims };
}

describe('a client', () => {
  const good = { grant_type: 'client_credentials' };

  test('authenticates by exactly one method, or is told which there is', async () => {
    const secret = { client_id: 'backend', client_secret: w.backendSecret };
    const cases = [
      [200, undefined, good, asBackend()],
      [200, undefined, { ...good, ...secret }, {}],
      [200, undefined, { ...good, client_id: 'backend' }, asBackend()],
      [400, 'invalid_request', { ...good, ...secret }, asBackend()],
      [400, 'invalid_request', { ...good, client_id: 'app' }, asBackend()],
      [400, 'invalid_request', { ...good, client_secret: w.backendSecret }, asBackend()],
      [401, 'invalid_client', good, {}],
      [401, 'invalid_client', good, basic('backend', 'wrong')],
      [401, 'invalid_client', good, basic('backend', '')],
      [401, 'invalid_client', good, basic('nobody', w.backendSecret)],
      [401, 'invalid_client', good, { authorization: 'Basic ???' }],
      [401, 'invalid_client', good, { authorization: `Basic ${Buffer.from('backend').toString('base64')}` }],
      [401, 'invalid_client', good, basic('backend', '%zz')],
      [401, 'invalid_client', good, { authorization: 'Bearer abc' }],
      [401, 'invalid_client', { ...good, client_id: 'backend' }, {}],
      [401, 'invalid_client', { ...good, client_id: 'backend', client_secret: '' }, {}],
      [401, 'invalid_client', { ...good, client_id: 'app', client_secret: 'one it does not have' }, {}],
      [401, 'invalid_client', { ...good, client_id: 'app' }, basic('app', 'one it does not have')],
      [400, 'unauthorized_client', good, basic('app', '')],
      [400, 'unauthorized_client', { ...good, client_id: 'app' }, {}],
    ];
    for (const [i, [status, error, fields, headers]] of cases.entries()) {
      const r = await token(fields, headers);
      assert.deepEqual([r.status, r.json().error], [status, error], `case ${i}: ${r.body}`);
    }
  });

  test('sends a form, each parameter once, and no secret in the target', async () => {
    const send = (body, headers = FORM, target = '/oauth2/token') => a.request('POST', target, { body, headers: { ...asBackend(), ...headers } });
    assert.equal((await send('grant_type=client_credentials', { 'content-type': 'Application/X-WWW-Form-Urlencoded; charset=UTF-8' })).status, 200);
    for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencodedx'])
      refused(await send('grant_type=client_credentials', { 'content-type': type }), 400, 'invalid_request', /x-www-form-urlencoded/);
    refused(await send('grant_type=client_credentials', {}), 400, 'invalid_request');
    refused(await send('grant_type=client_credentials&grant_type=client_credentials'), 400, 'invalid_request', /twice/);
    refused(await send('grant_type=client_credentials&scope=orders:read&scope=orders:read'), 400, 'invalid_request', /twice/);
    refused(await send('grant_type=%zz'), 400, 'invalid_request');
    refused(await send('grant_type='), 400, 'invalid_request', /grant_type/);
    for (const name of ['client_secret', 'token', 'refresh_token', 'subject_token', 'access_token'])
      refused(await send('grant_type=client_credentials', FORM, `/oauth2/token?${name}=x`), 400, 'invalid_request', /target/);
  });

  test('gets the grants of the configuration only', async () => {
    const s = await w.session(++subject);
    const r = await a.exchange(s, { client_id: 'once' });
    assert.deepEqual([r.status, r.json().refresh_token, decodeJwt(r.json().access_token).claims.aud], [200, undefined, API]);
    refused(await token({ grant_type: 'refresh_token', refresh_token: 'x', client_id: 'once' }), 400, 'unauthorized_client');
    refused(await token({ grant_type: EXCHANGE, subject_token: s.signed, subject_token_type: LEGACY }, asRs()), 400, 'unauthorized_client');
    refused(await token({ grant_type: 'authorization_code', client_id: 'app' }), 400, 'unsupported_grant_type');
  });
});

describe('a token for the client itself', () => {
  test('is an at+jwt with its roles and permissions, without session or refresh token', async () => {
    const r = (await own()).json();
    assert.deepEqual(Object.keys(r).sort(), ['access_token', 'expires_in', 'scope', 'token_type']);
    const { header, claims } = decodeJwt(r.access_token);
    assert.equal(header.typ, 'at+jwt');
    const { iat, exp, jti, bkt, ...rest } = claims;
    assert.deepEqual(rest, {
      iss: 'https://login.example', sub: 'backend', aud: APP, client_id: 'backend', scope: 'orders:read orders:sync',
      roles: ['service', 'a,b'], permissions: ['orders:sync'], sv: 0, rv: 0, re: 0,
    });
    assert.ok(exp - iat === 300 && jti.length === 22 && bkt >= 0);
    assert.equal(await w.total('SELECT count(*) FROM segue.session WHERE subject = \'backend\''), 0);
  });

  test('is no subject to the app: the client is named apart', async () => {
    const t = (await own()).json().access_token;
    const r = await a.verify({ bearer: t, headers: { 'x-segue-auth': 'required' } });
    assert.deepEqual([r.status, r.subject, r.session, r.credential, r.jwt], [200, '', '', 'client', t]);
    assert.deepEqual([r.headers['x-segue-client'], r.roles, r.permissions], ['backend', 'service,a%2Cb', 'orders:sync']);
    // Not by cookie, and not once the client may not have such tokens.
    assert.deepEqual((await a.verify({ cookies: { [JWT_COOKIE]: t } })).credential, 'none');
    const less = overlay(w.config, {});
    less.realms.main.clients = less.realms.main.clients.map((c) => (c.id === 'backend' ? { ...c, grants: ['token_exchange'] } : c));
    const c = await w.serve('c', { config: w.write('less.yaml', less) });
    assert.equal((await c.verify({ bearer: t })).status, 401);
    await c.kill();
  });

  test('is revoked alone, by its client, on every instance', async () => {
    const [one, two] = [(await own()).json().access_token, (await own()).json().access_token];
    refused(await a.revoke(one, { client_id: 'app' }), 400, 'invalid_grant', /another client/);
    assert.equal((await a.verify({ bearer: one })).status, 200);
    assert.equal((await post('/oauth2/revoke', { token: one, token_type_hint: 'refresh_token' }, asBackend())).status, 200);
    assert.equal((await a.verify({ bearer: one })).status, 401);
    assert.equal((await b.verify({ bearer: one })).status, 401, 'one that has no fresh feed asks');
    for (const i of [a, b]) assert.equal((await i.verify({ bearer: two })).status, 200);
    await w.policy('main', { distrust: true });
    assert.equal((await a.verify({ bearer: two })).status, 401);
  });
});

describe('a scope', () => {
  test('is all that the client may have unless it asks for less, and is answered', async () => {
    assert.equal((await login()).scope, 'orders:read orders:write profile');
    const less = await login({ scope: 'profile orders:read' });
    assert.deepEqual([less.scope, less.claims.scope], ['profile orders:read', 'profile orders:read']);
    assert.deepEqual([(await login({ client_id: 'other' })).scope, (await login({ client_id: 'other' })).claims.scope], [undefined, undefined]);
    const s = await w.session(++subject);
    for (const scope of ['admin', 'orders:read admin', 'orders:read  profile', ' profile', 'profile ', 'pro"file', 'größe'])
      refused(await a.exchange(s, { client_id: 'app', scope }), 400, 'invalid_scope');
    refused(await a.exchange(s, { client_id: 'other', scope: 'profile' }), 400, 'invalid_scope');
    refused(await own({ scope: 'orders:write' }), 400, 'invalid_scope');
  });

  test('is narrowed by a refresh for that access token, and never widened', async () => {
    const s = await login({ scope: 'orders:read profile' });
    const refresh = (refresh_token, more) => token({ grant_type: 'refresh_token', refresh_token, client_id: 'app', ...more });
    refused(await refresh(s.refresh_token, { scope: 'orders:read orders:write' }), 400, 'invalid_scope');
    const one = (await refresh(s.refresh_token, { scope: 'profile' })).json();
    assert.equal(one.scope, 'profile');
    const two = (await refresh(one.refresh_token)).json();
    assert.deepEqual([two.scope, decodeJwt(two.access_token).claims.scope], ['orders:read profile', 'orders:read profile']);
  });

  test('that a location needs is asked of the token', async () => {
    const s = await login({ scope: 'orders:read' });
    const ask = (scope, who) => a.verify({ ...who, headers: { 'x-segue-scope': scope } });
    assert.equal((await ask('orders:read', { bearer: s.access_token })).status, 200);
    const less = await ask('orders:read orders:write', { bearer: s.access_token });
    assert.deepEqual([less.status, less.subject], [403, '']);
    assert.match(less.headers['www-authenticate'], /error="insufficient_scope".*scope="orders:read orders:write"/);
    const nobody = await ask('orders:read', {});
    assert.deepEqual([nobody.status, nobody.headers['www-authenticate']], [401, 'Bearer realm="main"']);
    // The app's own session has what the browsers' client may have.
    assert.equal((await ask('orders:write', { cookies: { [LEGACY_COOKIE]: s.cookie } })).status, 200);
    assert.equal((await ask('profile', { cookies: { [LEGACY_COOKIE]: s.cookie } })).status, 403);
  });

  test('is not widened where a narrow token is put into the cookie and renewed', async () => {
    const s = await login({ realm: 'short', scope: 'orders:read' });
    await sleep(1100);
    const r = await a.verify({ realm: 'short', cookies: { [JWT_COOKIE]: s.access_token } });
    assert.ok(r.handed);
    const { claims } = decodeJwt(r.handed);
    assert.deepEqual([claims.scope, claims.client_id], ['orders:read', 'app']);
  });
});

describe('an audience', () => {
  const several = (fields) => a.request('POST', '/oauth2/token', { headers: FORM, body: fields.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&') });

  test('is one of the client\'s, or several of them, by either name', async () => {
    const s = await w.session(++subject);
    const base = [['grant_type', EXCHANGE], ['subject_token', s.signed], ['subject_token_type', LEGACY], ['client_id', 'app']];
    const aud = async (...more) => {
      const r = await several([...base, ...more]);
      return r.status === 200 ? decodeJwt(r.json().access_token).claims.aud : r.json().error;
    };
    assert.equal(await aud(), APP);
    assert.equal(await aud(['resource', API]), API);
    assert.deepEqual(await aud(['resource', API], ['resource', APP]), [API, APP]);
    assert.deepEqual(await aud(['resource', API], ['audience', APP], ['audience', API]), [API, APP]);
    for (const bad of ['https://evil.example', `${API}#x`, `${API} ${APP}`, 'api', `${API}/`]) assert.equal(await aud(['resource', bad]), 'invalid_target', bad);
    assert.equal(await aud(['resource', API], ['resource', 'https://evil.example']), 'invalid_target');
    refused(await a.exchange(s, { client_id: 'once', audience: APP }), 400, 'invalid_target');
  });

  test('of a refresh is among those first granted', async () => {
    const s = await w.session(++subject);
    const first = (await several([['grant_type', EXCHANGE], ['subject_token', s.signed], ['subject_token_type', LEGACY], ['client_id', 'app'],
      ['resource', API], ['resource', APP]])).json();
    const refresh = (t, more) => token({ grant_type: 'refresh_token', refresh_token: t, client_id: 'app', ...more });
    const one = (await refresh(first.refresh_token, { resource: APP })).json();
    assert.equal(decodeJwt(one.access_token).claims.aud, APP);
    const two = (await refresh(one.refresh_token)).json();
    assert.deepEqual(decodeJwt(two.access_token).claims.aud, [API, APP]);
    const narrow = await login({ audience: API });
    refused(await refresh(narrow.refresh_token, { resource: APP }), 400, 'invalid_target');
    assert.equal(decodeJwt((await refresh(narrow.refresh_token)).json().access_token).claims.aud, API);
  });

  test('binds a bearer token to the location, and a browser\'s cookie gets upstream one for each', async () => {
    const s = await login({ audience: API });
    const at = (audience, who) => a.verify({ ...who, headers: { 'x-segue-audience': audience } });
    assert.equal((await at(API, { bearer: s.access_token })).status, 200);
    const foreign = await at(APP, { bearer: s.access_token });
    assert.equal(foreign.status, 401);
    assert.match(foreign.headers['www-authenticate'], /error="invalid_token"/);
    const { handed } = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie }, headers: { 'x-segue-audience': APP } });
    const there = await at(API, { cookies: { [JWT_COOKIE]: handed } });
    assert.deepEqual([there.subject, decodeJwt(there.jwt).claims.aud, there.handed], [s.subject, API, undefined]);
    // An API client's token is no browser's: in the cookie it stays bound, and is not taken away.
    const smuggled = await at(APP, { cookies: { [JWT_COOKIE]: s.access_token } });
    assert.deepEqual([smuggled.subject, smuggled.removed], ['', false]);
  });
});

describe('introspection', () => {
  test('tells a resource server what an access token says', async () => {
    const s = await login({ audience: API, scope: 'orders:read' });
    const { active, ...about } = await introspect(s.access_token);
    const { sub, aud, iss, exp, iat, jti, client_id, scope, sid, roles, permissions } = s.claims;
    assert.deepEqual(about, { sub, aud, iss, exp, iat, jti, client_id, scope, sid, roles, permissions, token_type: 'Bearer' });
    assert.equal(active, true);
    assert.equal((await introspect(s.access_token, asRs(), { token_type_hint: 'refresh_token' })).active, true);
    assert.equal((await introspect(s.access_token, {}, { client_id: 'rs', client_secret: rsSecret })).active, true);
  });

  test('tells a client what its refresh token is, and any resource server whose a session token is', async () => {
    const s = await login({ client_id: 'backend', client_secret: w.backendSecret, scope: 'orders:read' });
    const about = await introspect(s.refresh_token, asBackend(), { token_type_hint: 'access_token' });
    assert.deepEqual([about.active, about.sub, about.client_id, about.scope, about.sid], [true, s.subject, 'backend', 'orders:read', s.claims.sid]);
    assert.ok(about.exp > about.iat && about.token_type === undefined);
    assert.deepEqual(await introspect(s.refresh_token), { active: false }, 'not to others');
    const legacy = await introspect(s.signed);
    assert.deepEqual([legacy.active, legacy.sub, legacy.sid, legacy.roles], [true, s.subject, s.claims.sid, ['user']]);
  });

  test('says nothing but {"active":false} of what is no good, unknown or none of the caller\'s business', async () => {
    const s = await login({ audience: API });
    const over = await login({ realm: 'short' });
    const gone = await login({ audience: API });
    const used = await login({ client_id: 'backend', client_secret: w.backendSecret });
    await token({ grant_type: 'refresh_token', refresh_token: used.refresh_token }, asBackend());
    assert.equal((await a.revoke(gone.refresh_token, { client_id: 'app' })).status, 200);
    const anonymous = await w.session(undefined);
    await sleep(1000);
    const cases = {
      rubbish: 'x', empty_jwt: 'e30.e30.e30', tampered: tamper(s.access_token), 'another audience': (await login()).access_token,
      'another realm': over.access_token, ended: gone.access_token, 'its session token': gone.signed, unsigned: 's:abc.def',
      anonymous: anonymous.signed, 'unknown refresh token': s.refresh_token.slice(0, -1), 'long': 'a'.repeat(20_000), bearer: `Bearer ${s.access_token}`,
    };
    for (const [name, t] of Object.entries(cases)) assert.equal((await post('/oauth2/introspect', { token: t }, asRs())).body, '{"active":false}', name);
    for (const t of [used.refresh_token, gone.refresh_token]) assert.deepEqual(await introspect(t, asBackend()), { active: false });
    const expired = await a.post('short', '/oauth2/introspect', { token: over.access_token }, asBackend());
    assert.equal(expired.body, '{"active":false}');
  });

  test('answers with the roles of now', async () => {
    const s = await login({ audience: API });
    await w.everyShard(`WITH s AS (UPDATE segue.subject SET roles = '{chief}', source_version = 1000000 WHERE realm = 'main' AND subject = '${s.subject}'
      RETURNING *) INSERT INTO segue.revocation (realm, bucket, kind, subject, status, epoch, source_version, roles, permissions)
      SELECT realm, bucket, 'subject', subject, status, epoch, source_version, roles, permissions FROM s`);
    await until('the new role', async () => (await introspect(s.access_token)).roles?.[0] === 'chief', 2000);
  });

  test('asks the session\'s row where the feed is stale', async () => {
    const s = await login({ audience: API });
    assert.equal((await introspect(s.access_token, asRs(), {}, b)).active, true);
    await w.everyShard(`UPDATE segue.session SET ended_at = now(), end_reason = 'logout' WHERE realm = 'main' AND subject = '${s.subject}'`);
    assert.deepEqual(await introspect(s.access_token, asRs(), {}, b), { active: false });
  });

  test('is for confidential clients, by POST', async () => {
    refused(await post('/oauth2/introspect', { token: 'x', client_id: 'app' }), 401, 'invalid_client');
    refused(await post('/oauth2/introspect', { token: 'x' }), 401, 'invalid_client');
    refused(await post('/oauth2/introspect', {}, asRs()), 400, 'invalid_request', /token/);
    refused(await a.request('POST', '/oauth2/introspect?token=x', { headers: { ...FORM, ...asRs() }, body: '' }), 400, 'invalid_request', /target/);
    assert.equal((await a.request('GET', '/oauth2/introspect?token=x', { headers: asRs() })).status, 405);
  });
});

describe('revocation', () => {
  const revoke = (t, fields, headers) => post('/oauth2/revoke', { token: t, ...fields }, headers);

  test('is for the client that the token was issued to', async () => {
    const s = await login();
    for (const t of [s.access_token, s.refresh_token]) {
      refused(await revoke(t, { client_id: 'other' }), 400, 'invalid_grant', /another client/);
      refused(await revoke(t, {}, asBackend()), 400, 'invalid_grant', /another client/);
    }
    assert.equal((await a.verify({ bearer: s.access_token })).subject, s.subject);
    assert.equal((await revoke(s.access_token, { client_id: 'app', token_type_hint: 'refresh_token' })).status, 200);
    assert.equal((await a.verify({ bearer: s.access_token })).status, 401);
    refused(await token({ grant_type: 'refresh_token', refresh_token: s.refresh_token, client_id: 'app' }), 400, 'invalid_grant');
  });

  test('of a refresh token ends its session, under any hint; of an unknown one nothing', async () => {
    for (const token_type_hint of ['access_token', 'refresh_token', 'saml2', '']) {
      const s = await login();
      assert.equal((await revoke(s.refresh_token, { client_id: 'app', token_type_hint })).status, 200);
      assert.equal((await a.verify({ bearer: s.access_token })).status, 401);
    }
    const s = await login();
    for (const t of [tamper(s.access_token), 'x', 's:x.y', `${s.refresh_token}x`]) assert.equal((await revoke(t, { client_id: 'app' })).status, 200);
    assert.equal((await a.verify({ bearer: s.access_token })).status, 200);
    refused(await revoke('x', { client_id: 'nobody' }), 401, 'invalid_client');
    refused(await revoke('', { client_id: 'app' }), 400, 'invalid_request', /token/);
  });

  test('of an expired access token still ends its session', async () => {
    const s = await login({ realm: 'short' });
    await sleep(1100);
    assert.equal((await a.revoke(s.access_token, { realm: 'short', client_id: 'app' })).status, 200);
    assert.equal(await w.redisOf('short').exists(s.key), 0);
  });
});

describe('a challenge', () => {
  const ask = async (who) => {
    const r = await a.verify({ ...who, headers: { 'x-segue-auth': 'required', ...who.headers } });
    return [r.status, r.headers['www-authenticate']];
  };

  test('has an error code where a token was shown, and none where nothing was', async () => {
    assert.deepEqual(await ask({}), [401, 'Bearer realm="main"']);
    assert.deepEqual(await ask({ headers: { authorization: basic('a', 'b').authorization } }), [401, 'Bearer realm="main"']);
    const s = await login();
    for (const bearer of [tamper(s.access_token), 'opaque'])
      assert.match((await ask({ bearer }))[1], /^Bearer realm="main", error="invalid_token", error_description="[^"]+"$/);
    assert.equal((await a.verify({ bearer: tamper(s.access_token) })).status, 401, 'also where nobody is required');
  });

  test('of two credentials of one kind is 400: nobody has to guess which is meant', async () => {
    const { access_token } = await login();
    const r = await a.request('GET', '/verify', { headers: { authorization: [`Bearer ${access_token}`, `Bearer ${access_token}`] } });
    assert.equal(r.status, 400);
  });
});

test('a name in a header is one name, whatever is in it', async () => {
  const s = await w.session(199);
  const r = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
  assert.equal(r.roles, 'admin%2Croot,gr%C3%B6%C3%9Fe,100%25');
  assert.deepEqual(r.roles.split(',').map(decodeURIComponent), ['admin,root', 'größe', '100%']);
  assert.deepEqual(r.permissions.split(',').map(decodeURIComponent), ['a b', 'orders:read']);
});

describe('the metadata', () => {
  const WELL_KNOWN = '/.well-known/oauth-authorization-server';

  test('of each issuer is where RFC 8414 puts it, and says what is served', async () => {
    const at = async (target, headers) => (await a.request('GET', target, { headers })).json();
    const main = await at(WELL_KNOWN);
    assert.deepEqual(main, {
      issuer: 'https://login.example', response_types_supported: [], token_endpoint: 'https://login.example/oauth2/token',
      introspection_endpoint: 'https://login.example/oauth2/introspect', revocation_endpoint: 'https://login.example/oauth2/revoke',
      jwks_uri: 'https://login.example/.well-known/jwks.json', grant_types_supported: [EXCHANGE, 'refresh_token', 'client_credentials'],
      scopes_supported: ['orders:read', 'orders:write', 'profile', 'orders:sync'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
      revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
      introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      access_token_signing_alg_values_supported: ['ES256'],
    });
    const pathed = await at(`${WELL_KNOWN}/tenants/one`);
    assert.deepEqual([pathed.issuer, pathed.token_endpoint], ['https://login.example/tenants/one', 'https://login.example/tenants/one/oauth2/token']);
    assert.deepEqual(await at(`${WELL_KNOWN}/realms/pathed`), pathed);
    assert.deepEqual(await at(WELL_KNOWN, { 'x-segue-realm': 'pathed' }), pathed);
    const slash = await at(`${WELL_KNOWN}/realms/slash`);
    assert.deepEqual([slash.issuer, slash.jwks_uri], ['https://login.example/', 'https://login.example/.well-known/jwks.json']);
    for (const target of [`${WELL_KNOWN}/tenants`, `${WELL_KNOWN}/tenants/one/more`, `${WELL_KNOWN}x`, `${WELL_KNOWN}/`, '/.well-known/openid-configuration'])
      assert.equal((await a.request('GET', target)).status, 404, target);
  });

  test('leads to endpoints of the issuer\'s path', async () => {
    const r = await a.request('POST', '/tenants/one/oauth2/token', { headers: { ...FORM, ...asBackend() }, body: 'grant_type=client_credentials' });
    assert.equal(decodeJwt(r.json().access_token).claims.iss, 'https://login.example/tenants/one');
    assert.equal((await a.request('GET', '/tenants/one/.well-known/jwks.json')).status, 200);
    assert.equal((await a.request('GET', '/tenants/oneself/.well-known/jwks.json')).status, 404);
  });
});

describe('docs/openapi.yaml', () => {
  test('has nothing that a linter finds fault with', async () => {
    const problems = await lint({ ref: file, config: await createConfig({ extends: ['recommended'] }) });
    assert.deepEqual(problems.map((p) => `${p.ruleId} ${p.message} ${p.location?.[0]?.pointer}`), []);
  });

  test('has every route that is served, and only those', async () => {
    const table = readFileSync(path.join(root, 'src/server/server.c'), 'utf8').match(/routes\[\] = \{([\s\S]*?)\n\};/)[1];
    const served = [...table.matchAll(/\{"([^"]+)", (?:"(\w+)"|NULL), route_\w+\}/g)].map(([, p, m]) => `${m ?? 'GET'} ${p}`);
    const written = Object.entries(spec.paths).flatMap(([p, item]) =>
      Object.keys(item).filter((m) => m !== 'parameters').map((m) => `${m.toUpperCase()} ${p.replace(/\{\w+\}$/, '')}`));
    assert.ok(served.length > 8);
    assert.deepEqual(served.sort(), written.sort());
  });

  test('declares what was answered here, and all of that was seen but for what is down', async () => {
    for (const target of ['/healthz', '/readyz', '/metrics']) assert.equal((await a.request('GET', target)).status, 200);
    const create = (body, headers = asBackend()) => a.request('POST', '/v1/sessions', { headers, body: JSON.stringify(body) });
    assert.equal((await create({ subject: '5', client_id: 'web' })).status, 201);
    refused(await create({}), 400, 'invalid_request');
    refused(await create({ subject: '5' }, {}), 401, 'invalid_client');
    const keys = await a.request('GET', '/.well-known/jwks.json');
    assert.equal((await a.request('GET', '/.well-known/jwks.json', { headers: { 'if-none-match': keys.headers.etag } })).status, 304);
    for (const [p, item] of Object.entries(spec.paths)) {
      if (p.startsWith('/v1/subjects')) continue; // subjects.test.mjs
      assert.equal((await a.request('GET', `/realms/nowhere${p}`)).status, 404);
      if (p !== '/verify') assert.equal((await a.request('PUT', p)).status, 405);
      for (const [m, operation] of Object.entries(item).filter(([k]) => k !== 'parameters'))
        if (!['login', 'listSessions', 'endSession', 'endAllSessions'].includes(operation.operationId)) // login.test.mjs
          assert.deepEqual(unseen([a, b], m, p), []);
    }
    await w.cluster.pause('appdb');
    const s = await w.session(++subject);
    const down = await a.exchange(s, { client_id: 'app' });
    await w.cluster.resume('appdb');
    assert.equal(down.status, 503);
  });
});

test('an instance ends in order after all of that', async () => {
  assert.deepEqual(await b.stop(), { code: 0, signal: null }, b.log());
  assert.doesNotMatch(b.log(), /Sanitizer|runtime error/);
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
