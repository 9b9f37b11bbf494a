// SPDX-License-Identifier: MIT
// The clients against the app alone: nobody may count as logged out while nothing happens, and everybody must when it does.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCluster } from '../../tests/lib/cluster.mjs';
import { startApp } from '../app/server.mjs';
import { openStore } from '../app/sessions.mjs';
import { Users } from '../app/users.mjs';
import { Clients } from '../lib/clients.mjs';
import { Nginx } from '../lib/nginx.mjs';
import { freePorts } from '../lib/ports.mjs';
import { makeAccounts, seedSessions, seedUndecodable } from '../lib/seed.mjs';

const dir = mkdtempSync(join(tmpdir(), 'segue-demo-clients-'));
const accounts = makeAccounts(40);
let cluster, app, nginx, users, store, clients;

before(async () => {
  cluster = await startCluster({ shards: 1, appDb: true });
  users = new Users(cluster.appdb.conninfo);
  await users.createSchema();
  await users.create(accounts);
  await users.setRoles('40', ['admin']);
  store = await openStore(cluster.redis.url);
  const [port, seguePort] = await freePorts(2);
  nginx = new Nginx({ dir, port, appSocket: join(dir, 'app.sock'), segue: [`127.0.0.1:${seguePort}`], realm: 'main', audience: 'app' });
  await nginx.makeCertificate();
  app = await startApp({
    socket: join(dir, 'app.sock'),
    adminSocket: join(dir, 'admin.sock'),
    redisUrl: cluster.redis.url,
    usersUrl: cluster.appdb.conninfo,
    secrets: ['one secret'],
    maxAgeMs: 600_000,
    segue: { issuer: nginx.origin, audience: 'app', urls: [], backend: {} },
  });
  await nginx.start('before');
  const { credentials } = await seedSessions({
    ...store, secret: 'one secret', maxAgeMs: 600_000, owners: accounts.slice(0, 20), others: accounts.slice(30, 39), many: 50, anonymous: 5,
  });
  assert.ok((await seedUndecodable(store.client)) >= 20);
  const withSession = accounts.map((a) => ({ ...a, credential: credentials.get(a.id) }));
  clients = new Clients({ log: join(dir, 'clients.log') });
  await clients.do('start', {
    world: { origin: nginx.origin, ca: nginx.cert, instances: [], realm: 'main', usersUrl: cluster.appdb.conninfo, thinkMs: 60, logoutShare: 0.05 },
    browsers: withSession.slice(0, 20),
    apiClients: withSession.slice(20, 30),
    admin: { ...withSession[39], roles: ['admin'] },
    actors: withSession.slice(30, 39),
  });
});
after(async () => {
  await clients?.end();
  await nginx?.end();
  await app?.close();
  store?.client.destroy();
  await users?.close();
  await cluster?.stop();
  rmSync(dir, { recursive: true });
});

test('left alone, they browse, write, log out and change roles, and miss nothing', async (t) => {
  await sleep(4000);
  await clients.do('pause');
  const counts = await clients.do('counts');
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.requests > 500);
  assert.ok(counts.logouts > 5 && counts.roleChanges > 3);
  for (const kind of ['forced_relogins', 'resurrected_logouts', 'stale_roles', 'wrong_identity', 'retried']) assert.equal(counts[kind], 0, kind);
  await clients.do('resume');
});

test('sessions that vanish are noticed as forced re-logins', async () => {
  const before = (await clients.do('counts')).forced_relogins;
  const keys = [];
  for await (const page of store.client.scanIterator({ MATCH: 'sess:*', COUNT: 1000 })) keys.push(...page);
  await store.client.del(keys);
  await sleep(1500);
  assert.ok((await clients.do('counts')).forced_relogins - before > 20);
});

test('a stop writes what was secret and what was ended into files of their own', async () => {
  const files = { secretsFile: join(dir, 'secrets'), endedFile: join(dir, 'ended') };
  const results = await clients.do('stop', files);
  assert.ok(results.latencies.start.length > 500);
  assert.ok(JSON.parse(readFileSync(files.secretsFile)).length > 60);
  assert.equal(JSON.parse(readFileSync(files.endedFile)).length, results.counts.logouts);
});
