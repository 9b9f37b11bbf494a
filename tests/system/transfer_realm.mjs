// SPDX-License-Identifier: MIT
// What the tests of `segue transfer` share: a realm on a real cluster, its sessions, and an independent reader of both sides.
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createClient } from 'redis';

import { startCluster } from '../lib/cluster.mjs';
import { segue } from '../lib/paths.mjs';
import { startLink } from '../lib/proxy.mjs';
import { redis as redisCli, run, sql, start } from '../lib/proc.mjs';
import { until } from '../lib/wait.mjs';

const V = Buffer.from([1]);
const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b; };
const bytes = (v) => (Buffer.isBuffer(v) ? v : Buffer.from(v, 'utf8'));
const F = (tag, ...fields) => Buffer.concat([tag, ...fields].flatMap((f) => [u64(bytes(f).length), bytes(f)]));
const mac = (key, input) => createHmac('sha256', key).update(input).digest();

/** A record as express-session with connect-redis writes it. */
export const record = (user, maxAge = 86_400_000) => JSON.stringify({
  cookie: { originalMaxAge: maxAge, expires: new Date(Date.now() + maxAge).toISOString(), httpOnly: true, path: '/' },
  ...(user ? { passport: { user } } : {}),
  views: 1,
});

/**
 * A cluster with one realm "main", laid out by `segue init`. Returns
 *   c (the cluster), config (path), r (a Redis client), digest(key), all(query) (rows of every shard, split at '|'),
 *   transfer(…) (starts `segue transfer run`), segue(part, …args), state(), stop().
 */
export async function startRealm({ shards = 4, appendonly = false, users = 20, hold = '10m', capture = 'events', linked = false } = {}) {
  const c = await startCluster({ shards, appDb: true, appendonly });
  const link = linked ? await startLink(c.redis.url) : null;
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sg-transfer-'));
  writeFileSync(path.join(dir, 'secrets'), 'a session secret\n', { mode: 0o600 });
  const config = path.join(dir, 'segue.yaml');
  writeFileSync(config, `segue:
  instance: a
  listen: 127.0.0.1:0
  control: ${c.control.conninfo}
  shards:
${c.shards.map((s) => `    - ${s.conninfo}`).join('\n')}
  keyring: keyring
realms:
  main:
    issuer: https://login.example.org
    audiences: [https://app.example.org]
    legacy:
      store: redis
      url: ${link?.conninfo ?? c.redis.url}
      capture: ${capture}
      codec: express-session
      key_prefix: "sess:"
      cookie: connect.sid
      subject_path: passport.user
      secrets_file: secrets
      default_idle: 1d
      absence_hold: ${hold}
    identity:
      source: sql
      url: ${c.appdb.conninfo}
      lookup: "SELECT id, active, roles, permissions, version FROM users WHERE id = $1"
      changes: "SELECT id, active, roles, permissions, version, version::text AS cursor FROM users AS u WHERE u.version > coalesce(nullif($1, ''), '0')::bigint ORDER BY u.version LIMIT 1000"
    clients:
      - id: web
`);
  await sql(c.appdb.conninfo, `CREATE TABLE users (id text PRIMARY KEY, active boolean NOT NULL DEFAULT true,
    roles text[] NOT NULL DEFAULT '{member}', permissions text[] NOT NULL DEFAULT '{}', version bigint GENERATED ALWAYS AS IDENTITY);
    INSERT INTO users (id) SELECT 'u' || n FROM generate_series(1, ${users}) AS n;`);
  const init = await run(segue, ['init', '--config', config]);
  if (init.code !== 0) throw new Error(init.stderr);
  const root = readFileSync(path.join(dir, 'keyring'), 'utf8').match(/^root:(.*)$/m)[1].trim();
  const rootKey = Buffer.from(root, /^[0-9a-f]{64}$/i.test(root) ? 'hex' : 'base64url');
  const realmKey = mac(rootKey, F('segue.realm_key', V, 'main', 'digest'));
  const digest = (key) => mac(realmKey, F('segue.store_key', V, key)).toString('hex');
  const r = await createClient({ url: c.redis.url }).on('error', () => {}).connect();
  const running = [];

  const all = async (query) => (await Promise.all(c.shards.map((s) => sql(s.conninfo, query))))
    .flatMap((text) => text.split('\n').filter(Boolean).map((l) => l.split('|')));
  const number = async (query) => (await all(query)).reduce((sum, [n]) => sum + Number(n), 0);
  const control = (query) => sql(c.control.conninfo, query);

  const transfer = (args = [], env = {}) => {
    const p = start(segue, ['transfer', 'run', '--config', config, '--realm', 'main', '--json', ...args],
      { env: { ...process.env, ...env } });
    running.push(p);
    p.proven = () => until('continuity proven', async () => {
      if (p.over) throw new Error(`transfer ended: ${p.stderr}`);
      return (await control("SELECT proven FROM segue_control.continuity WHERE realm = 'main'")) === 't';
    }, 30_000);
    p.stop = async () => {
      p.kill('SIGTERM');
      const { code, signal } = await p.ended;
      if (code !== 0) throw new Error(`transfer ended with ${code ?? signal}: ${p.stderr}`);
    };
    return p;
  };
  const part = async (name, ...args) => {
    const out = await run(segue, ['transfer', name, ...args, '--config', config, '--realm', 'main', '--json']);
    if (out.code !== 0) throw new Error(`transfer ${name}: ${out.stderr}`);
    return out.stdout.trim().split('\n').filter(Boolean).map((l) => JSON.parse(l));
  };
  /**
   * Both sides read independently: problems, [] where the live sessions are exactly the source's records. A touch that moves
   * the expiry by less than an eighth of the lifetime need not be stored; with exact, it must.
   */
  const compare = async ({ exact = false } = {}) => {
    const source = new Map();
    for await (const keys of r.scanIterator({ MATCH: 'sess:*', COUNT: 1000 }))
      for (const key of keys) {
        const value = await r.get(key).catch(() => null);
        const ttl = await r.pTTL(key);
        try {
          const decoded = JSON.parse(value);
          if (!decoded?.cookie) continue;
          source.set(digest(key), { key, subject: decoded.passport?.user ?? '', at: Date.now() + ttl, within: exact ? 3000 : Math.max(3000, ttl / 7) });
        } catch { /* a reject */ }
      }
    const rows = await all(`SELECT encode(store_digest, 'hex'), coalesce(subject, ''), (extract(epoch FROM exp_source) * 1000)::bigint, held_at IS NOT NULL
      FROM segue.session WHERE realm = 'main' AND ended_at IS NULL AND store_digest IS NOT NULL AND exp_source > clock_timestamp()`);
    const problems = [];
    const seen = new Set();
    for (const [d, subject, at, held] of rows) {
      const s = source.get(d);
      if (seen.has(d)) problems.push(`two live sessions of ${s?.key ?? d}`);
      seen.add(d);
      if (!s) problems.push(`${held === 't' ? 'held' : 'live'} without a record: ${d.slice(0, 12)} of ${subject}`);
      else if (s.subject !== subject) problems.push(`${s.key}: subject ${subject}, not ${s.subject}`);
      else if (Math.abs(s.at - Number(at)) > s.within) problems.push(`${s.key}: expires ${Number(at) - s.at} ms off`);
      else if (held === 't') problems.push(`${s.key}: held`);
    }
    for (const [d, s] of source) if (!seen.has(d)) problems.push(`not stored: ${s.key}`);
    return problems;
  };
  const stop = async () => {
    for (const p of running) if (!p.over) p.kill('SIGKILL');
    await r.destroy();
    link?.close();
    await c.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { c, link, dir, config, r, digest, all, number, control, transfer, part, compare, stop, redisCli: (...a) => redisCli(c.redis.url, ...a) };
}

/** n sessions of the users u1…; returns their keys. */
export async function seed(realm, n, { from = 0, users = 20, ttl = 86_400_000 } = {}) {
  const keys = [];
  for (let i = from; i < from + n; i += 500) {
    const multi = realm.r.multi();
    for (let k = i; k < Math.min(i + 500, from + n); k++) {
      const key = `sess:s${k}-${'x'.repeat(20)}`;
      multi.set(key, record(`u${1 + (k % users)}`), { PX: ttl + k });
      keys.push(key);
    }
    await multi.exec();
  }
  return keys;
}
