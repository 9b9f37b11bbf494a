// SPDX-License-Identifier: MIT
// Segue over a throw-away cluster: configuration, genuine session records, instances, tokens.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, chmodSync, openSync, closeSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';

import { startCluster } from './cluster.mjs';
import { client, parseSetCookie } from './http.mjs';
import { root, segue } from './paths.mjs';
import { alive, run, sql } from './proc.mjs';
import { until } from './wait.mjs';

export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const LEGACY = 'urn:segue:params:oauth:token-type:legacy-session';
export const AUDIENCE = 'https://app.example';
export const JWT_COOKIE = 'segue_jwt';
export const LEGACY_COOKIE = 'connect.sid';

const npm = createRequire(path.join(root, 'tests/system/package.json'));
const deployed = (name) => readFileSync(path.join(root, 'deploy/identity', `${name}.sql`), 'utf8').replace(/^--.*\n/gm, '').trim();
const isPlain = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);

/** b laid over a, mapping by mapping; null takes a key away. */
export function overlay(a, b) {
  const out = { ...a };
  for (const [k, v] of Object.entries(b ?? {})) {
    if (v === null) delete out[k];
    else out[k] = isPlain(v) && isPlain(out[k]) ? overlay(out[k], v) : v;
  }
  return out;
}

export function decodeJwt(token) {
  const [header, claims] = token.split('.', 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  return { header, claims };
}

/** The same token with a bit of its signature turned over. */
export function tamper(token) {
  const [h, c, s] = token.split('.');
  const bytes = Buffer.from(s, 'base64url');
  bytes[5] ^= 1;
  return [h, c, bytes.toString('base64url')].join('.');
}

export const cookieHeader = (cookies) => Object.entries(cookies).map(([k, v]) => `${k}=${v}`).join('; ');
const form = (fields) => new URLSearchParams(fields).toString();

/** What an answer of /verify said, by short names. */
export function identity(answer) {
  const h = answer.headers;
  const set = (h['set-cookie'] ?? []).map(parseSetCookie);
  return {
    status: answer.status,
    subject: h['x-segue-subject'],
    roles: h['x-segue-roles'],
    permissions: h['x-segue-permissions'],
    session: h['x-segue-session'],
    jwt: h['x-segue-jwt'],
    cookie: h['x-segue-cookie'],
    authorization: h['x-segue-authorization'],
    credential: h['x-segue-credential'],
    phase: h['x-segue-phase'],
    policy: Number(h['x-segue-policy']),
    set,
    handed: set.find((c) => c.name === JWT_COOKIE && c.attributes['max-age'] !== '0')?.value,
    removed: set.some((c) => c.name === JWT_COOKIE && c.attributes['max-age'] === '0'),
  };
}

/**
 * A cluster with Segue laid out on it. realms: {name: overlay over the default realm}; each has its own Redis database.
 * `main` (or what it gives for the cluster) is overlaid on the configuration's "segue" part. Nothing is served yet.
 */
export async function startWorld({ shards = 2, realms = { main: {} }, main = {}, users = 200, appendonly = false, init = true } = {}) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sg-w-'));
  chmodSync(dir, 0o755);
  const cluster = await startCluster({ shards, appDb: true, appendonly });
  const world = new World(dir, cluster);
  try {
    await world.prepare({ realms, main, users, init });
  } catch (e) {
    await world.stop();
    throw e;
  }
  return world;
}

class World {
  constructor(dir, cluster) {
    Object.assign(this, { dir, cluster, instances: [], secrets: new Set(), counted: 0, watchers: [], beating: new Set() });
    const secret = () => randomBytes(32).toString('hex');
    this.sessionSecret = secret();
    this.backendSecret = secret();
    this.keep('session-secrets', `${this.sessionSecret}\n`);
    this.keep('backend-secret', `${this.backendSecret}\n`);
    this.keys = [secret(), secret()];
    this.keep('keyring', `root:${this.keys[0]}\nk1:${this.keys[1]}\n`);
    for (const s of [this.sessionSecret, this.backendSecret, ...this.keys]) this.secrets.add(s);
    mkdirSync(path.join(dir, 'logs'));
  }

  keep(name, text) {
    writeFileSync(path.join(this.dir, name), text, { mode: 0o600 });
  }

  realmConfig(index, over) {
    return overlay(
      {
        issuer: 'https://login.example',
        audiences: [AUDIENCE, 'https://api.example'],
        origins: [AUDIENCE],
        legacy: {
          store: 'redis', url: `${this.cluster.redis.url}/${index}`, codec: 'express-session', key_prefix: 'sess:', cookie: LEGACY_COOKIE,
          cookie_secure: true, subject_path: 'passport.user', secrets_file: 'session-secrets', default_idle: '1d',
        },
        identity: { source: 'sql', url: this.cluster.appdb.conninfo, lookup: deployed('lookup'), changes: deployed('changes') },
        token: { alg: 'ES256', lifetime: '5m', leeway: '0s' },
        clients: [{ id: 'web' }, { id: 'api' }, { id: 'other' }, { id: 'backend', secret_file: 'backend-secret' }],
      },
      over,
    );
  }

  async prepare({ realms, main, users, init }) {
    const c = this.cluster;
    await sql(c.appdb.conninfo, `${readFileSync(path.join(root, 'deploy/identity/users.sql'), 'utf8')};
      INSERT INTO users (id, name, password, roles, permissions)
      SELECT g, 'user' || g, '-', ARRAY['user'], ARRAY['read'] FROM generate_series(1, ${users}) g;`);
    this.realms = Object.keys(realms);
    this.config = {
      segue: overlay(
        {
          instance: 'a', listen: '127.0.0.1:0', loops: 1, control: c.control.conninfo, shards: c.shards.map((s) => s.conninfo),
          keyring: 'keyring', feed: { when_stale: 'accept' },
        },
        typeof main === 'function' ? main(c) : main,
      ),
      realms: Object.fromEntries(this.realms.map((name, i) => [name, this.realmConfig(i, realms[name])])),
    };
    this.shards = this.config.segue.shards;
    this.file = this.write('segue.yaml', this.config);
    // npm's redis client, one connection a realm: redis-cli costs a process a command.
    const { createClient } = npm('redis');
    this.redis = await Promise.all(
      this.realms.map(async (_, i) => {
        const r = createClient({ url: `${c.redis.url}/${i}`, disableOfflineQueue: true });
        r.on('error', () => {});
        return r.connect();
      }),
    );
    if (init) {
      const r = await this.run('init');
      assert.equal(r.code, 0, r.stderr);
    }
  }

  /** Writes a configuration; YAML is a superset of JSON. Returns its path. */
  write(name, config) {
    const file = path.join(this.dir, name);
    writeFileSync(file, JSON.stringify(config, null, 2));
    return file;
  }

  /** Runs one command of segue to its end. */
  async run(command, ...args) {
    const words = [...command.split(' '), '--config', this.file, ...args];
    const r = await run(segue, words);
    appendFileSync(path.join(this.dir, 'logs/commands.log'), `$ segue ${words.join(' ')}\n${r.stdout}${r.stderr}(${r.code})\n`);
    return r;
  }

  // ---- instances ----

  /**
   * Starts `segue serve`; resolves once /readyz says 200 (once it listens, with ready: false; once absences
   * can be proven to it, with watched). faults: text for SEGUE_FAULTS.
   * The instance has request, verify, exchange, refresh, revoke, token, kill, stop, log().
   */
  async serve(name = 'a', { faults = '', ready = true, watched = false, args = [], config = this.file } = {}) {
    const file = path.join(this.dir, 'logs', `serve-${name}-${++this.counted}.log`);
    const fd = openSync(file, 'a');
    const child = spawn(segue, ['serve', '--config', config, '--instance', name, '--listen', '127.0.0.1:0', ...args], {
      stdio: ['ignore', fd, fd],
      env: { ...process.env, SEGUE_FAULTS: faults },
    });
    closeSync(fd);
    const instance = new Instance(this, name, child, file);
    this.instances.push(instance);
    await until(`serve ${name} to listen`, () => {
      if (!alive(child.pid)) throw new Error(`serve ${name} ended: ${instance.log()}`);
      instance.port = Number(/"serving".*"port":"?(\d+)/.exec(instance.log())?.[1]);
      return instance.port > 0;
    });
    instance.http = client(instance.port, { saw: (a) => this.saw(a) });
    if (ready) await until(`serve ${name} to be ready`, async () => (await instance.request('GET', '/readyz')).status === 200);
    if (watched) await this.#knowsBeats([instance], [...this.beating]);
    return instance;
  }

  /** Until the instances know that somebody watches the realms' legacy stores: before that no absence proves anything to them. */
  async #knowsBeats(instances, realms) {
    for (const i of instances)
      for (const realm of realms)
        await until(`${i.name} to know a beat of ${realm}`, async () => (await i.metric(`segue_heartbeat_age_seconds{realm="${realm}"}`)) < 1, 10_000);
  }

  /** Keeps what an answer holds that must not show anywhere. */
  saw(answer) {
    const add = (v) => v && v.length > 20 && this.secrets.add(v);
    for (const c of answer.headers['set-cookie'] ?? []) add(parseSetCookie(c).value);
    add(answer.headers['x-segue-jwt']);
    if (answer.body.startsWith('{')) {
      const body = JSON.parse(answer.body);
      add(body.access_token);
      add(body.refresh_token);
      for (const c of [body.set_cookie, body.legacy_cookie]) if (c) add(parseSetCookie(c).value);
    }
  }

  // ---- the legacy side ----

  redisOf(realm) {
    return this.redis[this.realms.indexOf(realm)];
  }

  /**
   * A session as express-session and connect-redis write it. subject undefined = anonymous. Returns {sid, key, signed (as API
   * clients send it), cookie (as browsers do), subject, realm}.
   */
  async session(subject, { realm = this.realms[0], idleSec = 3600, ttlSec = idleSec } = {}) {
    const sid = randomBytes(24).toString('base64url');
    const s = this.credential(sid, realm);
    await this.writeRecord(s, subject, { idleSec, ttlSec });
    return { ...s, subject: subject === undefined ? undefined : String(subject) };
  }

  credential(sid, realm = this.realms[0]) {
    const mac = createHmac('sha256', this.sessionSecret).update(sid).digest('base64').replace(/=+$/, '');
    const signed = `s:${sid}.${mac}`;
    for (const s of [sid, signed, encodeURIComponent(signed), mac]) this.secrets.add(s);
    return { sid, realm, key: `sess:${sid}`, signed, cookie: encodeURIComponent(signed) };
  }

  async writeRecord(s, subject, { idleSec = 3600, ttlSec = idleSec } = {}) {
    const record = {
      cookie: { originalMaxAge: idleSec * 1000, expires: new Date(Date.now() + ttlSec * 1000).toISOString(), secure: true, httpOnly: true, path: '/' },
      ...(subject === undefined ? {} : { passport: { user: subject } }),
    };
    await this.redisOf(s.realm).set(s.key, JSON.stringify(record), { PX: Math.round(ttlSec * 1000) });
  }

  // ---- the capture ----

  /** Starts `segue transfer run` for a realm; resolves once it follows and absences are proven. */
  async transfer(realm = this.realms[0]) {
    const fd = openSync(path.join(this.dir, 'logs', `transfer-${realm}-${++this.counted}.log`), 'a');
    const child = spawn(segue, ['transfer', 'run', '--config', this.file, '--realm', realm], { stdio: ['ignore', fd, fd] });
    closeSync(fd);
    this.watchers.push(child);
    await until(`the transfer of ${realm} to follow`, async () =>
      (await this.control(`SELECT count(*) FROM segue_control.continuity WHERE realm = '${realm}' AND proven`)) === '1', 20_000);
    return child;
  }

  // For tests that want none of its other effects:


  /** Says, as `segue transfer run` would, that absences in the legacy store are proven for this realm, and that somebody watches. */
  async proveContinuity(realm = this.realms[0], { beats = true } = {}) {
    const r = this.redisOf(realm);
    await r.set(`segue:sentinel:${realm}`, 'test-sentinel');
    const info = await r.sendCommand(['INFO']);
    const field = (name) => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? '0';
    const stats = await r.sendCommand(['INFO', 'commandstats']);
    const flushes = ['flushall', 'flushdb'].reduce((n, c) => n + Number(new RegExp(`^cmdstat_${c}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0), 0);
    await this.control(`INSERT INTO segue_control.continuity (realm, proven, run_id, sentinel, evicted, flushes)
      VALUES ('${realm}', true, '${field('run_id')}', 'test-sentinel', ${field('evicted_keys')}, ${flushes})
      ON CONFLICT (realm) DO UPDATE SET proven = true, run_id = excluded.run_id, sentinel = excluded.sentinel,
        evicted = excluded.evicted, flushes = excluded.flushes`);
    await this.policy(realm); // both are read together
    if (!beats || this.beating.has(realm)) return;
    this.startBeats([realm]);
    await this.#knowsBeats(this.instances.filter((i) => i.alive()), [realm]);
  }

  /** A heartbeat for the realms on every shard, as the capture brings it. */
  startBeats(realms = this.realms) {
    for (const realm of realms) this.beating.add(realm);
    const values = realms.map((r) => `('${r}', (extract(epoch FROM clock_timestamp()) * 1000)::bigint, clock_timestamp())`).join(', ');
    for (const conninfo of this.shards) {
      const child = spawn('psql', ['-XAtq', conninfo], { stdio: ['pipe', 'ignore', 'ignore'] });
      child.stdin.on('error', () => {});
      child.stdin.write(`INSERT INTO segue.heartbeat AS h (realm, beat, sent_at) VALUES ${values}
        ON CONFLICT (realm) DO UPDATE SET beat = excluded.beat, sent_at = excluded.sent_at, at = clock_timestamp() \\watch 0.25\n`);
      this.watchers.push(child);
    }
  }

  stopBeats() {
    for (const w of this.watchers) w.kill('SIGKILL');
    this.watchers = [];
    this.beating.clear();
  }

  // ---- databases ----

  control(text) {
    return sql(this.config.segue.control, text);
  }

  app(text) {
    return sql(this.cluster.appdb.conninfo, text);
  }

  shard(i, text) {
    return sql(this.shards[i], text);
  }

  /** Rows of all shards, each split at '|'. */
  async everyShard(text) {
    const answers = await Promise.all(this.shards.map((_, i) => this.shard(i, text)));
    return answers.flatMap((a) => (a === '' ? [] : a.split('\n'))).map((l) => l.split('|'));
  }

  /** Sum of a count over the shards. */
  async total(text) {
    return (await this.everyShard(text)).reduce((n, [v]) => n + Number(v), 0);
  }

  everyInstance(f) {
    return Promise.all(this.instances.filter((i) => i.alive()).map(f));
  }

  /** Sets a realm's policy without `segue phase` and waits until every instance is under it. */
  async policy(realm, { phase, percent, cohorts, distrust = false } = {}) {
    const version = Number(
      await this.control(`UPDATE segue_control.policy SET version = version + 1
        ${phase ? `, phase = '${phase}', phase_entered_at = clock_timestamp()` : ''}
        ${percent === undefined ? '' : `, percent_e2 = ${Math.round(percent * 100)}`}
        ${cohorts ? `, cohorts = '{${cohorts.join(',')}}'` : ''}
        ${distrust ? ', realm_epoch = realm_epoch + 1' : ''} WHERE realm = '${realm}' RETURNING version`),
    );
    await this.everyInstance((i) => until(`instance ${i.name} to be under policy ${version} of ${realm}`, async () => (await i.policy(realm)) >= version));
    return version;
  }

  /** Every secret seen that stands in clear in a log of Segue's, in its metrics or in its tables: [place]. */
  async leaks() {
    const texts = readdirSync(path.join(this.dir, 'logs')).map((f) => [f, readFileSync(path.join(this.dir, 'logs', f), 'utf8')]);
    await this.everyInstance(async (i) => texts.push([`metrics of ${i.name}`, (await i.request('GET', '/metrics')).body]));
    for (const conninfo of [...this.shards, this.config.segue.control]) {
      const r = await run('pg_dump', ['--data-only', '--inserts', conninfo]);
      assert.equal(r.code, 0, r.stderr);
      texts.push([`tables of ${conninfo}`, r.stdout]);
    }
    assert.ok(this.secrets.size > 0);
    // The first and the last 16 characters of each are looked for: what is cut short is found too. Tables hold bytea in hexadecimal.
    const marks = new Map();
    const hex = (t) => Buffer.from(t).toString('hex');
    for (const secret of this.secrets)
      for (const part of [secret.slice(0, 16), secret.slice(-16)]) {
        if (part.length < 16) continue;
        marks.set(part, secret);
        marks.set(hex(part).slice(0, 16), secret);
      }
    const found = new Set();
    for (const [place, text] of texts)
      for (let i = 0; i + 16 <= text.length; i++) {
        const secret = marks.get(text.substring(i, i + 16));
        if (secret !== undefined) found.add(`${place}: …${text.slice(Math.max(0, i - 60), i)}[${secret.slice(0, 6)}…]`);
      }
    return [...found].slice(0, 5);
  }

  async stop() {
    this.stopBeats();
    for (const i of this.instances) i.kill('SIGKILL');
    for (const r of this.redis ?? []) r.destroy();
    await this.cluster.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

class Instance {
  constructor(world, name, child, file) {
    Object.assign(this, { world, name, child, file, pid: child.pid });
    this.ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
  }

  alive() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  log() {
    return readFileSync(this.file, 'utf8');
  }

  kill(signal = 'SIGKILL') {
    this.child.kill(signal);
    this.http?.close();
    return this.ended;
  }

  stop() {
    return this.kill('SIGTERM');
  }

  request(method, where, options) {
    return this.http.request(method, where, options);
  }

  /** /verify as a proxy asks it: cookies {name: value}, bearer, realm, and headers of the client's request. */
  async verify({ realm = this.world.realms[0], cookies, bearer, headers = {}, timeout } = {}) {
    const h = { 'x-segue-realm': realm, ...headers };
    if (cookies) h.cookie = typeof cookies === 'string' ? cookies : cookieHeader(cookies);
    if (bearer) h.authorization = `Bearer ${bearer}`;
    const answer = await this.request('GET', '/verify', { headers: h, timeout });
    return { ...identity(answer), headers: answer.headers, ms: answer.ms };
  }

  post(realm, where, fields, headers = {}) {
    return this.request('POST', `/realms/${realm}${where}`, {
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: form(fields),
    });
  }

  exchange(session, { client_id = 'api', ...fields } = {}) {
    return this.post(session.realm, '/oauth2/token', {
      grant_type: EXCHANGE, subject_token: session.signed, subject_token_type: LEGACY, client_id, ...fields,
    });
  }

  refresh(refresh_token, { realm = this.world.realms[0], client_id = 'api' } = {}) {
    return this.post(realm, '/oauth2/token', { grant_type: 'refresh_token', refresh_token, client_id });
  }

  revoke(token, { realm = this.world.realms[0], client_id = 'api' } = {}) {
    return this.post(realm, '/oauth2/revoke', { token, client_id });
  }

  /** The version of the policy it answers under. */
  async policy(realm = this.world.realms[0]) {
    return (await this.verify({ realm })).policy;
  }

  /** A sample of /metrics whose name and labels begin so; undefined where there is none. */
  async metric(name) {
    const line = (await this.request('GET', '/metrics')).body.split('\n').find((l) => l.startsWith(name));
    return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
  }
}
