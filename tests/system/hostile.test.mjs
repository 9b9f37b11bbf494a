// SPDX-License-Identifier: MIT
// Tokens and requests that nobody may accept, at every door. Each says by its name what is wrong with it; those that carry a
// token are told from a good one by that alone (the good one is let in first).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Nginx } from '../../demo/lib/nginx.mjs';
import { compact, forgedRefreshTokens, forgedSessionTokens, hostileTokens, newKey, now } from '../lib/hostile.mjs';
import { judged } from '../lib/openapi.mjs';
import { build } from '../lib/paths.mjs';
import { AUDIENCE, EXCHANGE, JWT_COOKIE, LEGACY, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
let w, a, s, keys, stranger, claims, good;
const accepted = [];
let cases = 0;

/** A case: accepted says whether it was let in. */
async function hostile(name, attempt) {
  cases++;
  if (await attempt()) accepted.push(name);
}

/** A key of ours in the realm's set, as `segue keys` would keep one that is retiring: good for verifying. */
async function trust(realm, key) {
  const tool = spawn(path.join(build, 'tests/system/key_tool'), [path.join(w.dir, 'keyring'), realm]);
  tool.stdin.end(JSON.stringify(key.jwk));
  let out = '';
  for await (const part of tool.stdout) out += part;
  const k = JSON.parse(out);
  await w.control(`INSERT INTO segue_control.signing_key (realm, kid, alg, state, public_jwk, private_sealed, sealed_with)
    VALUES ('${realm}', '${k.kid}', '${k.alg}', 'retiring', '${JSON.stringify(k.public)}', '\\x${k.sealed}', '${k.with}')`);
}

before(async () => {
  keys = { ES256: newKey('ES256', 'es'), RS256: newKey('RS256', 'rs'), EdDSA: newKey('EdDSA', 'ed') };
  stranger = newKey('ES256', 'stranger');
  w = await startWorld({
    realms: { main: { clients: [{ id: 'web' }, { id: 'api' }, { id: 'backend', secret_file: 'backend-secret', grants: ['client_credentials'] }] },
      alien: { clients: [{ id: 'web' }, { id: 'api' }], issuer: 'https://alien.example' } },
  });
  for (const key of Object.values(keys)) await trust('main', key);
  await trust('alien', stranger);
  a = judged(await w.serve('a'));
  for (const realm of w.realms) await w.policy(realm, { phase: 'exchange', percent: 100, distrust: true });
  s = await w.session(1);
  const r = await a.exchange(s);
  assert.equal(r.status, 200, r.body);
  Object.assign(s, r.json());
  claims = { ...decodeJwt(s.access_token).claims, exp: now() + 3000 };
  good = compact(keys.ES256, { alg: 'ES256', typ: 'at+jwt', kid: 'es' }, claims);
});
after(() => w?.stop());

const basic = () => ({ authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}` });
const introspect = (t) => a.post('main', '/oauth2/introspect', { token: t }, basic());

/** Every way a token can be shown; each answers whether it was let in. */
const doors = {
  bearer: async (t) => (await a.verify({ bearer: t, headers: { 'x-segue-auth': 'required' } })).status === 200,
  cookie: async (t) => (await a.verify({ cookies: { [JWT_COOKIE]: t }, headers: { 'x-segue-auth': 'required' } })).status === 200,
  'session cookie': async (t) => (await a.verify({ cookies: { [LEGACY_COOKIE]: t }, headers: { 'x-segue-auth': 'required' } })).status === 200,
  introspection: async (t) => {
    const r = await introspect(t);
    return r.status < 400 && r.body !== '{"active":false}';
  },
  exchange: async (t) => (await a.exchange({ ...s, signed: t })).status === 200,
  'exchange as JWT': async (t) => (await a.exchange({ ...s, signed: t }, { subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' })).status === 200,
  refresh: async (t) => (await a.refresh(t)).status === 200,
  revocation: async (t) => {
    await a.revoke(t);
    return (await a.verify({ bearer: good })).status !== 200; // it had the power to end the session
  },
};

// What node's own client refuses to send in a header.
const headerSafe = (t) => /^[\t -~]*$/.test(t);

async function tryEverywhere(tokens, chosen = Object.keys(doors)) {
  for (const [name, t] of tokens)
    for (const door of chosen) {
      if (!headerSafe(t) && ['bearer', 'cookie', 'session cookie'].includes(door)) continue;
      if (name === 'a quote around' && door === 'cookie') continue; // a cookie's value may stand in quotes (RFC 6265 section 4.1.1)
      await hostile(`${name} (${door})`, () => doors[door](t));
    }
}

test('what the hostile tokens are made from is a good token by every key', async () => {
  for (const key of Object.values(keys)) {
    const t = compact(key, { alg: key.alg, typ: 'at+jwt', kid: key.kid }, claims);
    assert.deepEqual([(await a.verify({ bearer: t })).subject, (await introspect(t)).json().active], ['1', true], key.alg);
  }
});

test('tokens: nothing wrong with a token is overlooked anywhere', async () => {
  const expired = compact(keys.ES256, { alg: 'ES256', typ: 'at+jwt', kid: 'es' }, { ...claims, iat: now() - 100, exp: now() - 10 });
  const tokens = hostileTokens({ claims, keys, stranger, foreignKid: stranger.kid, expired });
  assert.equal(new Set(tokens.map(([n]) => n)).size, tokens.length, 'each has a name of its own');
  // An expired one of a live session has its uses: a browser's cookie is renewed by it, and it can still log out.
  const [last] = tokens.splice(-1);
  const stale = (n) => /expired|exp 0/.test(n);
  await tryEverywhere(tokens.filter(([n]) => !stale(n)));
  await tryEverywhere([...tokens.filter(([n]) => stale(n)), last], ['bearer', 'session cookie', 'introspection', 'exchange', 'exchange as JWT', 'refresh']);
});

test('tokens of another realm, of an ended session, of a banned subject', async () => {
  const other = await w.session(1, { realm: 'alien' });
  const theirs = (await a.exchange(other)).json();
  await tryEverywhere([['another realm\'s access token', theirs.access_token], ['another realm\'s refresh token', theirs.refresh_token]]);
  const moved = compact(stranger, { alg: 'ES256', typ: 'at+jwt', kid: 'stranger' }, claims);
  await tryEverywhere([['our claims under another realm\'s key', moved]]);

  const gone = await w.session(2);
  Object.assign(gone, (await a.exchange(gone)).json());
  assert.equal((await a.revoke(gone.refresh_token)).status, 200);
  await tryEverywhere([['ended session\'s access token', gone.access_token], ['ended session\'s refresh token', gone.refresh_token], ['ended session\'s session id', gone.signed]]);

  const used = await w.session(3);
  const first = (await a.exchange(used)).json();
  await w.everyShard(`UPDATE segue.refresh_token SET state = 'ended' WHERE realm = 'main' AND sid IN (SELECT sid FROM segue.session WHERE subject = '3')`);
  await tryEverywhere([['refresh token of an ended chain', first.refresh_token]], ['refresh', 'introspection', 'bearer', 'exchange']);
  await tryEverywhere([['another client\'s refresh token', s.refresh_token]], ['introspection', 'exchange', 'bearer', 'session cookie']);
  await hostile('another client\'s refresh token (refresh)', async () => (await a.refresh(s.refresh_token, { client_id: 'web' })).status === 200);
});

test('forged refresh tokens and session ids', async () => {
  await tryEverywhere(forgedRefreshTokens());
  await tryEverywhere(forgedSessionTokens(s.sid, 'another secret'));
});

test('requests: a token shown where none belongs, or a request that means two things', async () => {
  const anonymous = (r) => r.headers['x-segue-subject'] === '' || r.headers['x-segue-subject'] === undefined;
  const asked = (target, headers = {}, body) => a.request(body === undefined ? 'GET' : 'POST', target, { headers, body });
  const elsewhere = {
    'token in the query': () => asked(`/verify?access_token=${good}`),
    'token in the query of the client\'s request': () => asked('/verify', { 'x-forwarded-uri': `/?access_token=${good}` }),
    'token in a form': () => asked('/verify', FORM, `access_token=${good}`),
    'token under another scheme': () => asked('/verify', { authorization: `Token ${good}` }),
    'token as Basic password': () => asked('/verify', { authorization: `Basic ${Buffer.from(`x:${good}`).toString('base64')}` }),
    'two tokens in one header': () => asked('/verify', { authorization: `Bearer ${good}, Bearer ${good}` }),
    'a token before another scheme': () => asked('/verify', { authorization: `Bearer ${good} Basic eDp5` }),
    'token in a header of ours': () => asked('/verify', { 'x-segue-jwt': good, 'x-segue-authorization': `Bearer ${good}` }),
    'identity in headers of ours': () => asked('/verify', { 'x-segue-subject': '1', 'x-segue-roles': 'admin', 'x-segue-credential': 'jwt', 'x-segue-client': 'backend' }),
    'token in Proxy-Authorization': () => asked('/verify', { 'proxy-authorization': `Bearer ${good}` }),
    'realm by a path': () => asked('/verify', { 'x-segue-realm': '../main', authorization: `Bearer ${good}` }),
    'realm that is none': () => asked('/realms/nowhere/verify', { authorization: `Bearer ${good}` }),
    'another realm by name': () => asked('/realms/alien/verify', { authorization: `Bearer ${good}` }),
    'another realm by header': () => asked('/verify', { 'x-segue-realm': 'alien', authorization: `Bearer ${good}` }),
    'cookie from another site': () => asked('/verify', { cookie: `${JWT_COOKIE}=${good}`, 'x-forwarded-method': 'POST', origin: 'https://evil.example' }),
    'cookie on POST without origin': () => asked('/verify', { cookie: `${JWT_COOKIE}=${good}`, 'x-forwarded-method': 'POST' }),
    'cookie from a null origin': () => asked('/verify', { cookie: `${JWT_COOKIE}=${good}`, 'x-forwarded-method': 'DELETE', origin: 'null', 'sec-fetch-site': 'same-origin' }),
    'cookie of an origin that begins alike': () => asked('/verify', { cookie: `${JWT_COOKIE}=${good}`, 'x-forwarded-method': 'PATCH', origin: `${AUDIENCE}.evil.example` }),
    'cookie of a name that ends alike': () => asked('/verify', { cookie: `x${JWT_COOKIE}=${good}` }),
    'cookie within another\'s quotes': () => asked('/verify', { cookie: `x="; ${JWT_COOKIE}=e30.e30.e30; y="` }),
  };
  for (const [name, send] of Object.entries(elsewhere)) await hostile(name, async () => !anonymous(await send()));

  const ask = (fields, headers, target = '/oauth2/token') => a.post('main', target, fields, headers);
  const grant = { grant_type: EXCHANGE, subject_token: s.signed, subject_token_type: LEGACY };
  const forms = {
    'no client': () => ask(grant), 'a client that is none': () => ask({ ...grant, client_id: 'ghost' }),
    'a confidential client without its secret': () => ask({ grant_type: 'client_credentials', client_id: 'backend' }),
    'a secret of the wrong length': () => ask({ grant_type: 'client_credentials', client_id: 'backend', client_secret: w.backendSecret.slice(0, -1) }),
    'two clients': () => ask({ ...grant, client_id: 'api' }, basic()), 'password grant': () => ask({ grant_type: 'password', username: '1', password: 'x', client_id: 'api' }),
    'implicit grant': () => ask({ grant_type: 'implicit', client_id: 'api' }), 'code grant': () => ask({ grant_type: 'authorization_code', code: 'x', client_id: 'api' }),
    'client credentials of a public client': () => ask({ grant_type: 'client_credentials', client_id: 'api' }),
    'an audience of nobody': () => ask({ ...grant, client_id: 'api', audience: 'https://evil.example' }), 'a scope it may not have': () => ask({ ...grant, client_id: 'api', scope: 'admin' }),
    'an actor': () => ask({ ...grant, client_id: 'api', actor_token: good, actor_token_type: 'urn:ietf:params:oauth:token-type:jwt' }),
    'client_id twice': () => a.request('POST', '/oauth2/token', { headers: FORM, body: `${new URLSearchParams({ ...grant, client_id: 'api' })}&client_id=web` }),
    '17 parameters': () => a.request('POST', '/oauth2/token', { headers: FORM, body: `${new URLSearchParams({ ...grant, client_id: 'api' })}${'&a=1'.repeat(17)}` }),
    'JSON for a form': () => a.request('POST', '/oauth2/token', { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...grant, client_id: 'api' }) }),
    'the token endpoint by GET': () => a.request('GET', `/oauth2/token?${new URLSearchParams({ ...grant, client_id: 'api' })}`),
    'introspection without a client': () => ask({ token: good }, {}, '/oauth2/introspect'), 'introspection by a public client': () => ask({ token: good, client_id: 'api' }, {}, '/oauth2/introspect'),
    'a login by a public client': () => a.request('POST', '/v1/sessions', { headers: { authorization: `Basic ${Buffer.from('api:').toString('base64')}` }, body: '{"subject":"1"}' }),
    'a login by bearer': () => a.request('POST', '/v1/sessions', { headers: { authorization: `Bearer ${good}` }, body: '{"subject":"1"}' }),
  };
  for (const [name, send] of Object.entries(forms)) await hostile(name, async () => (await send()).status < 400);
});

/** Bytes as they are, on a connection of their own: the statuses answered, [] where it was closed without. */
const wire = (bytes) =>
  new Promise((resolve) => {
    let text = '';
    const c = net.connect(a.port, '127.0.0.1', () => c.write(bytes));
    c.setTimeout(3000, () => c.destroy());
    c.setEncoding('latin1').on('data', (d) => (text += d));
    c.on('error', () => {});
    c.on('close', () => resolve([...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map((m) => Number(m[1]))));
  });

test('requests: bytes that two readers would read as two things', async () => {
  const auth = `Authorization: Bearer ${good}`;
  const get = (...lines) => ['GET /verify HTTP/1.1', 'Host: x', 'X-Segue-Auth: required', 'Connection: close', ...lines, '', ''].join('\r\n');
  const post = (lines, body) => ['POST /verify HTTP/1.1', 'Host: x', 'X-Segue-Auth: required', 'Connection: close', auth, ...lines, '', body].join('\r\n');
  assert.deepEqual(await wire(get(auth)), [200], 'the form of it is let in');
  const requests = {
    'two Authorization': get(auth, auth), 'two Authorization, one empty': get('Authorization:', auth), 'Authorization folded': get('Authorization: Bearer', ` ${good}`),
    'white space before the colon': get(`Authorization : Bearer ${good}`), 'a bare LF': get(`X: y\n${auth}`), 'a bare CR': get(`X: y\r${auth}`), 'a NUL in a value': get(`X: \0`, auth), 'a NUL in the token': get(`${auth}\0`),
    'two Host': get('Host: y', auth), 'no Host': ['GET /verify HTTP/1.1', 'Connection: close', auth, '', ''].join('\r\n'),
    'a target with host': get(auth).replace('/verify', 'http://x/verify'), 'a broken escape': get(auth).replace('/verify', '/verify%zz'), 'a NUL in the target': get(auth).replace('/verify', '/verify%00'),
    'Content-Length and Transfer-Encoding': post(['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'), 'two Content-Length': post(['Content-Length: 0', 'Content-Length: 5'], 'hello'),
    'Content-Length with a sign': post(['Content-Length: +0'], ''), 'a coding that is none': post(['Transfer-Encoding: xchunked'], '0\r\n\r\n'), 'two codings': post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
    'Transfer-Encoding twice': post(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], '0\r\n\r\n'), 'a name that is no token': get('X(y): z', auth),
  };
  for (const [name, bytes] of Object.entries(requests)) await hostile(name, async () => (await wire(bytes)).some((status) => status < 400));
});

test('requests: too large is told so, and not by a closed connection', async () => {
  const cookies = (n) => ['GET /verify HTTP/1.1', 'Host: x', 'X-Segue-Auth: required', 'Connection: close', `Cookie: pad=${'z'.repeat(n)}; ${JWT_COOKIE}=${good}`, '', ''].join('\r\n');
  assert.deepEqual(await wire(cookies(12 * 1024)), [200], '12 KiB of cookies are served');
  for (let n = 12.5; n <= 64; n += 0.5) {
    let status;
    const send = async () => ([status] = await wire(cookies(n * 1024)))[0];
    if (n > 16) await hostile(`${n} KiB of cookies`, async () => (await send()) < 400);
    else await send();
    // Within 1 KiB of the connection's pool libmicrohttpd has no room left to say anything.
    assert.ok((status === 200 && n <= 16) || status === 431 || (status === undefined && n > 46 && n < 49), `${n} KiB: ${status}`);
  }
  await hostile('1 MB of cookies', async () => (await wire(cookies(1_000_000))).some((status) => status < 400));
  let status;
  const body = `grant_type=${'x'.repeat(70_000)}`;
  await hostile('a form of 70 KB', async () => {
    [status] = await wire(['POST /oauth2/token HTTP/1.1', 'Host: x', 'Connection: close', `Content-Length: ${body.length}`, 'Content-Type: application/x-www-form-urlencoded', '', body].join('\r\n'));
    return status < 400;
  });
  assert.equal(status, 413);
  await hostile('a token of 60 KB', () => doors.introspection('e'.repeat(60_000)));
});

test('identity headers of a client do not come through nginx as deploy/ sets it up', async () => {
  const port = await new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port: p } = probe.address();
      probe.close(() => resolve(p));
    });
  });
  const nginx = new Nginx({ dir: path.join(w.dir, 'nginx'), port, appSocket: path.join(w.dir, 'app.sock'), segue: [`127.0.0.1:${a.port}`], realm: 'main', audience: AUDIENCE });
  const app = http.createServer((req, res) => res.end(JSON.stringify(req.headers))).listen(nginx.appSocket);
  const names = ['Subject', 'Roles', 'Permissions', 'Session', 'Client', 'Jwt', 'Credential', 'Phase', 'Cookie', 'Authorization', 'Policy', 'Realm', 'Audience', 'Auth', 'Scope'];
  const agent = new https.Agent({ keepAlive: true, ca: undefined, rejectUnauthorized: false });
  const send = (headers) =>
    new Promise((resolve, reject) => {
      https.get({ host: '127.0.0.1', port, path: '/', headers, agent }, (res) => {
        let text = '';
        res.on('data', (d) => (text += d)).on('end', () => (res.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(`${res.statusCode}: ${text}`))));
      }).on('error', reject);
    });
  const seen = (headers) => Object.entries(headers).filter(([k, v]) => /^x.segue/i.test(k) && v.includes('forged')).map(([k]) => k);
  try {
    await nginx.makeCertificate();
    await nginx.start('before');
    for (const mode of ['straight, before Segue', 'through']) {
      if (mode === 'through') await nginx.route('through');
      const shapes = { '': (n) => `X-Segue-${n}`, ' in capitals': (n) => `X-SEGUE-${n.toUpperCase()}`, ' with underscores': (n) => `X_Segue_${n}` };
      for (const [shape, of] of Object.entries(shapes))
        for (const n of names) await hostile(`${of(n)}${shape} (${mode})`, async () => seen(await send({ [of(n)]: 'forged' })).length > 0);
    }
    const known = await send({ authorization: `Bearer ${good}`, 'x-segue-subject': 'forged' });
    assert.deepEqual([known['x-segue-subject'], known['x-segue-credential']], ['1', 'jwt'], 'a good token does come through');
    await hostile('a forged realm for /oauth2/ (nginx)', async () => {
      const got = await new Promise((resolve) => https.get({ host: '127.0.0.1', port, path: '/.well-known/oauth-authorization-server', agent, headers: { 'x-segue-realm': 'alien' } }, (res) => {
        let text = '';
        res.on('data', (d) => (text += d)).on('end', () => resolve(text));
      }));
      return JSON.parse(got).issuer !== 'https://login.example';
    });
  } finally {
    agent.destroy();
    app.close();
    app.closeAllConnections();
    await nginx.end();
  }
});

test('nothing of all that was let in, and nothing of it is left', async () => {
  console.log(`hostile: ${cases} cases, ${accepted.length} acceptances`);
  assert.deepEqual(accepted, []);
  assert.ok(cases > 1000, `${cases} cases`);
  assert.equal((await a.verify({ bearer: good })).subject, '1');
  assert.deepEqual(await w.leaks(), []);
  assert.deepEqual(await a.stop(), { code: 0, signal: null }, a.log());
  assert.doesNotMatch(a.log(), /Sanitizer|runtime error/);
});
