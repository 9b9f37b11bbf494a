// SPDX-License-Identifier: MIT
// Everything that runs: databases, app, nginx, clients, Segue. Started in this order, ended in the reverse one.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startCluster } from '../../tests/lib/cluster.mjs';
import { segue as binary } from '../../tests/lib/paths.mjs';
import { openStore } from '../app/sessions.mjs';
import { Users } from '../app/users.mjs';
import { Clients } from './clients.mjs';
import { writeConfig } from './config.mjs';
import { Nginx } from './nginx.mjs';
import { freePorts } from './ports.mjs';
import { start, until } from './proc.mjs';
import { makeAccounts, seedSessions, seedUndecodable } from './seed.mjs';
import { Segue } from './segue.mjs';

const APP = fileURLToPath(new URL('../app/main.mjs', import.meta.url));
export const REALM = 'main';
export const PREFIX = 'sess:';
export const MAX_AGE_MS = 15 * 60_000;
const BROWSERS = 120;
const API_CLIENTS = 84;
const ACTORS = 60;
const OTHERS = 400;
const WITH_SESSION = 0.7; // of the clients were logged in before Segue came
const SEEDED = 2050;
const ANONYMOUS = 60;

export class Stage {
  constructor(options) {
    this.options = options;
    this.dir = mkdtempSync(join(tmpdir(), 'segue-demo-'));
  }

  file(name) {
    return join(this.dir, name);
  }

  async startLegacySystem() {
    this.clusterStarting = startCluster({ shards: 4, appDb: true, appendonly: true });
    this.cluster = await this.clusterStarting;
    const [port, a, b] = await freePorts(3);
    this.nginx = new Nginx({
      dir: this.file('nginx'), port, appSocket: this.file('app.sock'), segue: [a, b].map((p) => `127.0.0.1:${p}`), realm: REALM,
      audience: `https://localhost:${port}`,
    });
    await this.nginx.makeCertificate();
    this.config = writeConfig({ dir: this.dir, origin: this.nginx.origin, cluster: this.cluster, timeScale: this.options.timeScale });
    this.segue = new Segue({ binary, config: this.config.file, dir: this.dir, realm: REALM, ports: { a, b } });
    await this.#seed();
    await this.#startApp();
    await this.nginx.start('before');
  }

  async #seed() {
    const accounts = makeAccounts(BROWSERS + API_CLIENTS + 1 + ACTORS + OTHERS);
    const take = (n) => accounts.splice(0, n);
    const cast = { browsers: take(BROWSERS), apiClients: take(API_CLIENTS), admin: take(1)[0], actors: take(ACTORS), others: accounts };
    cast.admin.roles = ['admin'];
    const users = new Users(this.cluster.appdb.conninfo);
    await users.createSchema();
    await users.create([...cast.browsers, ...cast.apiClients, cast.admin, ...cast.actors, ...cast.others]);
    await users.close();

    const { client, store } = await openStore(`${this.cluster.redis.url}/0`);
    const first = (list) => list.slice(0, Math.round(list.length * WITH_SESSION));
    const { credentials, all } = await seedSessions({
      store, secret: this.config.sessionSecret, maxAgeMs: MAX_AGE_MS, owners: [...first(cast.browsers), ...first(cast.apiClients)],
      others: cast.others, many: SEEDED, anonymous: ANONYMOUS,
    });
    const undecodable = await seedUndecodable(client);
    client.destroy();
    for (const account of [...cast.browsers, ...cast.apiClients]) account.credential = credentials.get(account.id);
    this.cast = cast;
    this.seeded = { sessions: all.length, undecodable, credentials: all };
  }

  async #startApp() {
    const options = this.file('app.json');
    writeFileSync(
      options,
      JSON.stringify({
        socket: this.file('app.sock'),
        adminSocket: this.file('app-admin.sock'),
        redisUrl: `${this.cluster.redis.url}/0`,
        usersUrl: this.cluster.appdb.conninfo,
        secrets: [this.config.sessionSecret],
        maxAgeMs: MAX_AGE_MS,
        segue: {
          issuer: this.nginx.origin,
          audience: this.nginx.origin,
          urls: [this.segue.url('a'), this.segue.url('b')],
          backend: { id: 'backend', secret: this.config.backendSecret },
        },
      }),
      { mode: 0o600 },
    );
    this.app = start(process.execPath, [APP, options], { log: this.file('app.log'), env: { ...process.env, NODE_EXTRA_CA_CERTS: this.nginx.cert } });
    await until('the app', () => this.#admin('GET', '/'));
  }

  #admin(method, path) {
    return new Promise((done, failed) => {
      request({ socketPath: this.file('app-admin.sock'), method, path }, (res) => {
        res.resume().on('end', () => (res.statusCode === 200 ? done(true) : failed(new Error(`the app answered ${res.statusCode}`))));
      })
        .on('error', failed)
        .end();
    });
  }

  /** What the app takes for true: 'session' | 'jwt' | 'login' | 'segue'. */
  appTrusts(what) {
    return this.#admin('PUT', `/trust/${what}`);
  }

  async startClients() {
    this.clients = new Clients({ log: this.file('clients.log') });
    return this.clients.do('start', {
      world: {
        origin: this.nginx.origin, ca: this.nginx.cert, realm: REALM, instances: [this.segue.url('a'), this.segue.url('b')],
        usersUrl: this.cluster.appdb.conninfo, thinkMs: this.options.thinkMs, logoutShare: 0.03, tokenEndpoint: false,
      },
      ...this.cast,
    });
  }

  async endClients() {
    return this.clients.do('stop', { secretsFile: this.file('clients-secrets'), endedFile: this.file('clients-ended') });
  }

  async end({ keepFiles }) {
    await this.clients?.end();
    await this.nginx?.end();
    await this.app?.end();
    await this.segue?.end();
    await (await this.clusterStarting?.catch(() => null))?.stop(); // it may be starting still
    if (keepFiles) for (const name of ['clients-secrets', 'clients-ended', 'app.json']) rmSync(this.file(name), { force: true });
    else rmSync(this.dir, { recursive: true, force: true });
  }
}
