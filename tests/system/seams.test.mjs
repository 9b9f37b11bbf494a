// SPDX-License-Identifier: MIT
// Where one part of the server meets another: what a client, an audience or a right of the one means to the other.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { randomBytes, scryptSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { judged } from '../lib/openapi.mjs';
import { segue } from '../lib/paths.mjs';
import { run } from '../lib/proc.mjs';
import { AUDIENCE, JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const API = 'https://api.example';
const PASSWORD = 'a password of nobody else';
const dir = mkdtempSync(path.join(os.tmpdir(), 'sg-seams-'));
const secrets = Object.fromEntries(['rs', 'admin'].map((id) => [id, randomBytes(24).toString('hex')]));
let w, a, subject = 0;

const scrypt = (password) => {
  const salt = randomBytes(9).toString('hex');
  return `scrypt$256$${salt}$8$1$${scryptSync(password, salt, 64, { N: 256, r: 8, p: 1 }).toString('base64')}`;
};
const basic = (id, secret) => ({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` });
const asAdmin = () => basic('admin', secrets.admin);
const asBackend = () => basic('backend', w.backendSecret);

before(async () => {
  for (const [id, secret] of Object.entries(secrets)) writeFileSync(path.join(dir, id), secret, { mode: 0o600 });
  const realm = {
    clients: [
      { id: 'web' }, { id: 'api' }, { id: 'narrow', audiences: [API] },
      { id: 'backend', secret_file: 'backend-secret', grants: ['client_credentials', 'token_exchange'] },
      { id: 'rs', secret_file: path.join(dir, 'rs'), grants: [], audiences: [API] },
      { id: 'admin', secret_file: path.join(dir, 'admin'), grants: [], rights: ['subjects'] },
    ],
    login: { source: 'table', address_header: 'X-Forwarded-For', tries_per_address: 3, tries_per_login: 3, tries_per_pair: 3 },
  };
  w = await startWorld({ realms: { main: realm, short: { ...realm, token: { lifetime: '2s' } }, end: realm } });
  w.config.realms.end.login = {
    source: 'sql', url: w.cluster.appdb.conninfo, lookup: `SELECT $1::text || E'\\r\\nX-Segue-Roles: admin', password FROM users WHERE id = 7`,
    sample: 'SELECT id::text, password FROM users LIMIT 256',
  };
  w.config.realms.end.identity.lookup = "SELECT $1::text, true, ARRAY['user'], ARRAY['read'], 1::bigint";
  w.write('segue.yaml', w.config);
  await w.app(`UPDATE users SET password = '${scrypt(PASSWORD)}' WHERE id = 7`);
  for (const secret of Object.values(secrets)) w.secrets.add(secret);
  const r = await run(segue, ['credentials', 'import', '--config', w.file, '--realm', 'main', '--json'],
    { input: JSON.stringify({ login: 'ada', subject: '7', hash: scrypt(PASSWORD) }) });
  assert.equal(r.code, 0, r.stderr);
  a = judged(await w.serve('a'));
  for (const name of w.realms) await w.policy(name, { phase: 'exchange', percent: 100 });
  await w.policy('end', { phase: 'finalized' });
  await until('a login to be judged', async () => (await login({ login: 'x', password: 'x' })).status === 401);
});
after(async () => {
  await w?.stop();
  rmSync(dir, { recursive: true, force: true });
});

let addresses = 0;
const login = (body, headers = {}) => a.request('POST', '/v1/login', {
  headers: { 'content-type': 'application/json', 'x-forwarded-for': `192.0.2.${++addresses}`, ...headers }, body: JSON.stringify(body),
});
const create = (body, headers = asBackend()) => a.request('POST', '/v1/sessions', { headers, body: JSON.stringify(body) });
const audOf = (r) => [decodeJwt(r.json().access_token).claims.aud].flat();

/** A session and the tokens of its exchange. */
async function tokens(client_id, realm = 'main') {
  const s = await w.session((++subject % 190) + 1, { realm });
  const r = await a.exchange(s, { client_id });
  assert.equal(r.status, 200, r.body);
  return { ...s, ...r.json() };
}

describe('a client\'s audiences', () => {
  test('bound what a login by password is for', async () => {
    const who = { login: 'ada', password: PASSWORD, client_id: 'narrow' };
    const r = await login(who);
    assert.equal(r.status, 200, r.body);
    assert.deepEqual(audOf(r), [API]);
    assert.equal((await login({ ...who, audience: AUDIENCE })).json().error, 'invalid_target');
  });

  test('bound what a backend\'s login is for', async () => {
    const r = await create({ subject: '8', client_id: 'narrow' });
    assert.equal(r.status, 201, r.body);
    assert.deepEqual(audOf(r), [API]);
    assert.equal((await create({ subject: '8', client_id: 'narrow', audience: AUDIENCE })).json().error, 'invalid_target');
  });

  test('bound what its token becomes as a cookie, where the proxy says no audience', async () => {
    const s = await tokens('narrow', 'short');
    await sleep(2100);
    const r = await a.verify({ realm: 'short', cookies: { [JWT_COOKIE]: s.access_token } });
    assert.equal(r.subject, s.subject);
    assert.ok(r.handed, 'it is renewed');
    assert.deepEqual([decodeJwt(r.handed).claims.aud].flat(), [API]);
  });
});

describe('a client\'s rights', () => {
  test('a client that may not exchange tokens logs nobody in', async () => {
    for (const [id, secret] of Object.entries(secrets)) {
      const r = await create({ subject: '9' }, basic(id, secret));
      assert.deepEqual([r.status, r.json().error], [400, 'unauthorized_client'], id);
    }
  });

  test('a disabled client has no rights to subjects', async () => {
    const ask = [
      () => a.request('GET', '/v1/subjects/3', { headers: asAdmin() }),
      () => a.request('PATCH', '/v1/subjects/3', { headers: { ...asAdmin(), 'if-match': '*' }, body: '{"roles":["admin"]}' }),
      () => a.request('POST', '/v1/subjects/changed', { headers: asAdmin(), body: '{"subjects":["3"]}' }),
      () => a.request('GET', '/v1/sessions?subject=3', { headers: asAdmin() }),
      () => a.request('DELETE', '/v1/sessions?subject=3', { headers: asAdmin() }),
    ];
    const before = await Promise.all(ask.map(async (f) => (await f()).status));
    assert.ok(before.every((s) => s !== 401), String(before));
    assert.equal((await w.run('clients disable', 'admin', '--realm', 'main', '--why', 'test')).code, 0);
    await until('it to be known', async () => (await ask[3]()).status === 401);
    assert.deepEqual(await Promise.all(ask.map(async (f) => (await f()).status)), ask.map(() => 401));
    assert.equal((await w.run('clients enable', 'admin', '--realm', 'main', '--why', 'test')).code, 0);
    await until('it to be known', async () => (await ask[3]()).status === 200);
  });

  test('a client\'s own token has no sessions to show or end, and is told so', async () => {
    const own = (await a.post('main', '/oauth2/token', { grant_type: 'client_credentials' }, asBackend())).json().access_token;
    for (const [method, where] of [['GET', '/v1/sessions'], ['DELETE', '/v1/sessions'], ['DELETE', `/v1/sessions/${'A'.repeat(22)}`]]) {
      const r = await a.request(method, where, { headers: { authorization: `Bearer ${own}` } });
      assert.deepEqual([r.status, r.json().error], [401, 'invalid_token'], `${method} ${where}`);
      assert.match(r.headers['www-authenticate'], /^Bearer /);
    }
  });
});

describe('what cannot be a subject', () => {
  test('is no subject to ask about', async () => {
    for (const bad of ['%ff', 'a%0Ab', '%c3%28', 'x%7f', 'y'.repeat(201)])
      for (const method of ['GET', 'DELETE'])
        assert.equal((await a.request(method, `/v1/sessions?subject=${bad}`, { headers: asAdmin() })).status, 400, `${method} ${bad}`);
  });

  test('is nobody, where the app wrote it into a session', async () => {
    for (const bad of ['1\r\nX-Segue-Roles: admin', '1\n', 'a\tb', 'a\u0000b', 'a\u007fb']) {
      const s = await w.session(bad);
      const r = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
      assert.deepEqual([r.status, r.subject?.trim() ?? '', r.roles?.trim() ?? ''], [200, '', ''], JSON.stringify(bad));
      assert.equal((await a.exchange(s)).status, 400);
    }
    assert.ok(a.alive());
  });

  test('logs in nowhere', async () => {
    const r = await a.request('POST', '/realms/end/v1/login', { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ login: 'x', password: PASSWORD }) });
    if (r.status === 200) await a.verify({ realm: 'end', bearer: r.json().access_token });
    assert.deepEqual([r.status, a.alive()], [401, true]);
    const imported = await run(segue, ['credentials', 'import', '--config', w.file, '--realm', 'main', '--json'],
      { input: JSON.stringify({ login: 'eve', subject: '7\n8', hash: scrypt(PASSWORD) }) });
    assert.notEqual(imported.code, 0);
  });
});

test('whose sessions they are is not known, rather than nobody\'s, while a store is down', async () => {
  const s = await tokens('web');
  const ask = () => a.request('GET', '/v1/sessions', { headers: { authorization: `Bearer ${s.signed}` }, timeout: 10_000 });
  assert.equal((await ask()).status, 200);
  await w.cluster.pause('redis');
  try {
    const r = await ask();
    assert.deepEqual([r.status, r.json().error], [503, 'temporarily_unavailable']);
  } finally {
    await w.cluster.resume('redis');
  }
});

test('the budget of tries is that of the address the nearest proxy added', async () => {
  const status = (spoofed) => new Promise((resolve, reject) => {
    const body = JSON.stringify({ login: `nobody${spoofed}`, password: 'x' });
    const socket = net.connect(a.port, '127.0.0.1', () => socket.write(
      `POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Forwarded-For: 203.0.113.${spoofed}\r\n` +
      `X-Forwarded-For: 198.51.100.9\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`));
    let text = '';
    socket.on('data', (d) => (text += d)).on('end', () => resolve(Number(text.split(' ')[1]))).on('error', reject);
  });
  const seen = [];
  for (let i = 1; i <= 5; i++) seen.push(await status(i));
  assert.deepEqual(seen, [401, 401, 401, 429, 429]);
});

test('the budget of tries is one for all the spellings that a source may take for one login', async () => {
  const seen = [];
  for (const name of ['mallory', 'Mallory', ' MALLORY', 'mallory ', 'mALLORY']) seen.push((await login({ login: name, password: 'x' })).status);
  assert.deepEqual(seen, [401, 401, 401, 429, 429]);
});

test('a JWT keeps its roles while the identity source is down and the legacy session is looked up for the app', async () => {
  const s = await tokens('web');
  const b = await w.serve('b'); // which has not seen the session
  await w.cluster.pause('appdb');
  try {
    const r = await b.verify({ cookies: { [JWT_COOKIE]: s.access_token }, timeout: 10_000 });
    assert.deepEqual([r.status, r.subject, r.roles, r.permissions], [200, s.subject, 'user', 'read']);
  } finally {
    await w.cluster.resume('appdb');
  }
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
