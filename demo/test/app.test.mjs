// SPDX-License-Identifier: MIT
// The app and nginx alone, without Segue: what is carried over must be right before it is carried anywhere.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request as plainRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import { startCluster } from '../../tests/lib/cluster.mjs';
import { startApp } from '../app/server.mjs';
import { Users } from '../app/users.mjs';
import { Http } from '../clients/http.mjs';
import { Nginx } from '../lib/nginx.mjs';
import { freePorts } from '../lib/ports.mjs';

const accounts = [1, 2].map((id) => ({ id, name: `user${id}`, password: `word${id}`, roles: ['reader'], permissions: ['read'] }));
const dir = mkdtempSync(join(tmpdir(), 'segue-demo-app-'));
let cluster, app, nginx, users, redis, segue, seen;

before(async () => {
  cluster = await startCluster({ shards: 1, appDb: true });
  users = new Users(cluster.appdb.conninfo);
  await users.createSchema();
  await users.create(accounts);
  redis = await createClient({ url: cluster.redis.url }).connect();
  const [port, seguePort] = await freePorts(2);
  nginx = new Nginx({ dir, port, appSocket: join(dir, 'app.sock'), segue: [`127.0.0.1:${seguePort}`], realm: 'main', audience: 'app' });
  await nginx.makeCertificate();
  // Stands where Segue would: says what was asked, and answers as told.
  seen = { answer: [200, {}] };
  segue = createServer((req, res) => {
    seen.headers = req.headers;
    res.writeHead(...seen.answer).end();
  }).listen(seguePort, '127.0.0.1');
  app = await startApp({
    socket: join(dir, 'app.sock'),
    adminSocket: join(dir, 'admin.sock'),
    redisUrl: cluster.redis.url,
    usersUrl: cluster.appdb.conninfo,
    secrets: ['one secret'],
    maxAgeMs: 600_000,
    segue: { issuer: nginx.origin, audience: 'app', urls: [], backend: {} },
  });
  await nginx.start();
});
after(async () => {
  await nginx?.end();
  await app?.close();
  segue?.closeAllConnections();
  segue?.close();
  redis?.destroy();
  await users?.close();
  await cluster?.stop();
  rmSync(dir, { recursive: true });
});

const client = () => new Http({ origin: nginx.origin, ca: nginx.cert });
const logIn = (http, query = '', headers = {}) =>
  http.once('POST', `/login${query}`, { headers, json: { username: 'user1', password: 'word1' } });
const sidOf = (cookie) => decodeURIComponent(cookie).slice(2).split('.')[0];
const cookieOf = (answer) => /connect\.sid=([^;]+)/.exec(answer.headers['set-cookie'])[1];

test('straight: a browser logs in, is known, writes and logs out; Redis holds its session only in between', async () => {
  await nginx.route('straight');
  const http = client();
  assert.equal((await http.once('GET', '/page')).status, 302);
  const login = await logIn(http);
  assert.equal(login.status, 200);
  const cookie = cookieOf(login);
  const headers = { Cookie: `connect.sid=${cookie}` };
  const record = JSON.parse(await redis.get(`sess:${sidOf(cookie)}`));
  assert.equal(record.passport.user, 1);
  assert.deepEqual((await http.once('GET', '/me', { headers })).json(), { id: '1', roles: ['reader'], permissions: ['read'], via: 'session' });
  assert.match((await http.once('GET', '/page', { headers })).body, /id="user">1</);
  assert.equal((await http.once('POST', '/note', { headers, json: {} })).status, 201);
  assert.ok(JSON.parse(await redis.get(`sess:${sidOf(cookie)}`)).note);
  assert.equal((await http.once('POST', '/logout', { headers })).status, 204);
  assert.equal(await redis.exists(`sess:${sidOf(cookie)}`), 0);
  assert.equal((await http.once('GET', '/me', { headers })).status, 401);
});

test('a wrong password, a banned user and a signature of somebody else are refused', async () => {
  await nginx.route('straight');
  const http = client();
  assert.equal((await http.once('POST', '/login', { json: { username: 'user1', password: 'word2' } })).status, 401);
  await users.setActive(2, false);
  assert.equal((await http.once('POST', '/login', { json: { username: 'user2', password: 'word2' } })).status, 401);
  const cookie = cookieOf(await logIn(http));
  const forged = cookie.replace(/.{8}$/, 'AAAAAAAA');
  assert.equal((await http.once('GET', '/me', { headers: { Cookie: `connect.sid=${forged}` } })).status, 401);
});

test('an API client uses the signed session id as bearer token', async () => {
  await nginx.route('straight');
  const http = client();
  const { token } = (await logIn(http, '?api=1')).json();
  assert.match(token, /^s:[\w-]{32}\.[\w+/]{43}$/);
  const headers = { Authorization: `Bearer ${token}` };
  assert.equal((await http.once('GET', '/me', { headers })).json().id, '1');
});

test('a role change shows at the next request; only an admin may make one', async () => {
  await nginx.route('straight');
  const http = client();
  const headers = { Cookie: `connect.sid=${cookieOf(await logIn(http))}` };
  assert.equal((await http.once('POST', '/admin/role', { headers, json: { id: 1, roles: [] } })).status, 403);
  await users.setRoles(1, ['admin']);
  assert.deepEqual((await http.once('GET', '/me', { headers })).json().roles, ['admin']);
  assert.equal((await http.once('POST', '/admin/role', { headers, json: { id: 1, roles: ['reader'] } })).status, 204);
  assert.deepEqual((await http.once('GET', '/me', { headers })).json().roles, ['reader']);
});

test('headers that only Segue may set reach neither Segue nor the app, on both ways', async (t) => {
  // The app's place is taken by one that answers with the headers it got.
  const echo = createServer((req, res) => res.end(JSON.stringify(req.headers)));
  await new Promise((done) => echo.listen(join(dir, 'echo.sock'), done));
  const [port] = await freePorts(1);
  const front = new Nginx({ ...nginx, dir: join(dir, 'front'), port, appSocket: join(dir, 'echo.sock') });
  await front.makeCertificate();
  await front.start('through');
  t.after(async () => {
    await front.end();
    echo.closeAllConnections();
    echo.close();
  });
  const names = ['Subject', 'Roles', 'Permissions', 'Session', 'Jwt', 'Cookie', 'Authorization', 'Credential', 'Phase', 'Policy', 'Realm', 'Audience', 'Auth'];
  const headers = Object.fromEntries(names.flatMap((name) => [[`X-Segue-${name}`, 'forged'], [`X_Segue_${name}`, 'forged']]));
  const http = new Http({ origin: front.origin, ca: front.cert });
  seen.answer = [200, { 'Content-Length': 0, 'X-Segue-Subject': '7' }];
  const got = (await http.once('GET', '/me', { headers })).json();
  assert.equal(got['x-segue-subject'], '7');
  assert.ok(!JSON.stringify(got).includes('forged'));
  assert.ok(!JSON.stringify(seen.headers).includes('forged'));
  assert.equal(seen.headers['x-segue-realm'], 'main');
  assert.equal(seen.headers['x-segue-audience'], 'app');
  assert.equal(seen.headers['x-segue-auth'], 'optional');
  await front.route('straight');
  assert.ok(!(await http.once('GET', '/me', { headers })).body.includes('forged'));
});

test('through: what Segue says goes on to the app and to the client, and its cookie with every status', async () => {
  await nginx.route('through');
  const http = client();
  const cookie = cookieOf(await logIn(http));
  seen.answer = [200, { 'Content-Length': 0, 'X-Segue-Cookie': `connect.sid=${cookie}`, 'Set-Cookie': 'segue_jwt=x; Path=/', 'Cache-Control': 'private, no-store' }];
  const known = await http.once('GET', '/me', { headers: { Cookie: 'segue_jwt=old', 'Sec-Fetch-Dest': 'document' } });
  assert.equal(known.json().id, '1');
  assert.deepEqual(known.headers['set-cookie'], ['segue_jwt=x; Path=/']);
  assert.equal(known.headers['cache-control'], 'private, no-store');
  assert.equal(seen.headers['x-forwarded-method'], 'GET');
  assert.equal(seen.headers['x-forwarded-uri'], '/me');
  assert.equal(seen.headers['sec-fetch-dest'], 'document');
  seen.answer = [401, { 'Content-Length': 0, 'WWW-Authenticate': 'Bearer error="invalid_token"', 'Set-Cookie': 'segue_jwt=; Max-Age=0' }];
  const refused = await http.once('GET', '/me');
  assert.equal(refused.status, 401);
  assert.match(refused.headers['www-authenticate'], /invalid_token/);
  assert.match(refused.headers['set-cookie'][0], /Max-Age=0/);
});

test('through: Segue down or unable to say is 503 with Retry-After, never an open door', async () => {
  await nginx.route('through');
  const http = client();
  seen.answer = [503, { 'Content-Length': 0 }];
  const unable = await http.once('GET', '/me');
  assert.deepEqual([unable.status, unable.headers['retry-after']], [503, '1']);
  segue.closeAllConnections();
  await new Promise((done) => segue.close(done));
  const down = await http.once('GET', '/me');
  assert.deepEqual([down.status, down.headers['retry-after']], [503, '1']);
  await nginx.route('straight');
  assert.equal((await http.once('GET', '/me')).status, 401);
  assert.equal((await http.once('GET', '/api/me')).status, 503);
});

test('the app listens on its sockets only', async () => {
  const status = await new Promise((done) => plainRequest({ socketPath: join(dir, 'admin.sock'), path: '/' }, (res) => done(res.statusCode)).end());
  assert.equal(status, 200);
});
