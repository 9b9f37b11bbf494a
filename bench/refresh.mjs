// SPDX-License-Identifier: MIT
// What using a refresh token costs: each in a transaction of its own, and sharing transactions as the store has them do, in one run,
// against one shard and four. PostgreSQL writes to the disk before it answers (fsync).
// usage: ./dev bench refresh [--json] [--seconds N]
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { startCluster } from '../tests/lib/cluster.mjs';
import { root } from '../tests/lib/paths.mjs';
import { sql } from '../tests/lib/proc.mjs';
import { sleep } from '../tests/lib/wait.mjs';

const { values } = parseArgs({ options: { json: { type: 'boolean' }, seconds: { type: 'string', default: '4' } } });
const build = path.join(root, process.env.SEGUE_BUILD ?? 'build-release');
const TOKENS = 40960;
const HZ = 100; // of /proc, on every Linux that Debian runs on

const run = (command, ...args) => {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}\n${done.stderr || done.error?.message}`);
  return done.stdout;
};

function compile() {
  mkdirSync(path.join(build, 'bench'), { recursive: true });
  const tool = path.join(build, 'bench/rotate');
  const libs = ['store', 'shard', 'keys', 'jwt', 'pg', 'event', 'base'].flatMap((l) =>
    readdirSync(path.join(build, 'src', l)).filter((f) => f.endsWith('.a')).map((f) => path.join(build, 'src', l, f)));
  run('cc', '-std=gnu11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror', '-Isrc', '-Iinclude', ...run('pkg-config', '--cflags', 'libpq', 'libuv').trim().split(/\s+/),
    '-o', tool, 'bench/refresh/rotate.c', '-Wl,--start-group', ...libs, '-Wl,--end-group',
    ...run('pkg-config', '--libs', 'libpq', 'libuv', 'libssl', 'libcrypto', 'libsodium', 'jansson').trim().split(/\s+/), '-pthread');
  return tool;
}

/** CPU seconds of a postmaster and all that it started, those that have ended too. */
function cpuOf(postmaster) {
  const stat = (pid) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').map(Number);
  let ticks = 0;
  for (const pid of readdirSync('/proc').filter((n) => /^\d+$/.test(n))) {
    let f;
    try {
      f = stat(pid);
    } catch {
      continue;
    }
    if (Number(pid) === postmaster) ticks += f[11] + f[12] + f[13] + f[14];
    else if (f[1] === postmaster) ticks += f[11] + f[12];
  }
  return ticks / HZ;
}

const tool = compile();
const cluster = await startCluster({ shards: 4, redis: false });
const figures = [];
const rates = {};
let round = 0;
try {
  const schema = readFileSync(path.join(root, 'sql/shard/001_init.sql'), 'utf8');
  for (const s of cluster.shards) {
    await sql(s.conninfo, schema);
    await sql(s.admin_conninfo, 'ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()');
  }
  for (const n of [1, 4]) {
    const shards = cluster.shards.slice(0, n);
    for (const [i, s] of shards.entries())
      await sql(s.conninfo, `TRUNCATE segue.bucket_owner, segue.session, segue.refresh_token;
        INSERT INTO segue.bucket_owner SELECT b, b * ${n} / 4096 = ${i} FROM generate_series(0, 4095) b;
        INSERT INTO segue.session (realm, bucket, sid, subject, origin, client_id, exp_source)
          SELECT 'bench', g % 4096, decode(lpad(to_hex(g), 32, '0'), 'hex'), 'u' || g, 'legacy', 'web', now() + interval '1 d'
          FROM generate_series(0, ${TOKENS - 1}) g WHERE (g % 4096) * ${n} / 4096 = ${i};
        INSERT INTO segue.refresh_token (realm, bucket, digest, sid, chain, client_id, audience, expires_at)
          SELECT realm, bucket, decode('${'0'.repeat(32)}', 'hex') || sid, sid, sid, 'web', 'https://app.example', now() + interval '1 d' FROM segue.session;
        ANALYZE`);
    for (const [name, outstanding, connections] of [['each alone, one at a time', 's1', 1], ['each alone, 16 at once', 's16', 16], ['sharing transactions, 64 at once', '64', 2], ['sharing transactions, 256 at once', '256', 2]]) {
      // Every run begins with tokens that were not used.
      for (const s of shards)
        await sql(s.conninfo, `DELETE FROM segue.refresh_token; INSERT INTO segue.refresh_token (realm, bucket, digest, sid, chain, client_id, audience, expires_at)
          SELECT realm, bucket, decode('${'0'.repeat(32)}', 'hex') || sid, sid, sid, 'web', 'https://app.example', now() + interval '1 d' FROM segue.session; VACUUM ANALYZE segue.refresh_token`);
      const before = shards.map((s) => cpuOf(s.pid));
      const [rotations, seconds, own] = run(tool, outstanding, String(connections), values.seconds, String(TOKENS), String(round), ...shards.map((s) => s.conninfo)).split(' ').map(Number);
      await sleep(500); // the tool's backends are over, and counted
      const pg = shards.reduce((sum, s, i) => sum + cpuOf(s.pid) - before[i], 0);
      const series = `${n} shard${n > 1 ? 's' : ''}, ${name}`;
      rates[`${n} ${outstanding}`] = { rate: rotations / seconds, cpu: (1e6 * (pg + own)) / rotations };
      for (const [what, value, unit] of [['rotations', rotations / seconds, '1/s'], ['CPU of PostgreSQL', (1e6 * pg) / rotations, 'µs'], ['CPU of the store', (1e6 * own) / rotations, 'µs']])
        figures.push({ name: `${series}: ${what}`, value: Number(value.toFixed(unit === '1/s' ? 0 : 1)), unit, bound: null, holds: true, peers: {} });
      console.log(`${series}: ${(rotations / seconds).toFixed(0)} a second, CPU ${((1e6 * pg) / rotations).toFixed(0)} µs PostgreSQL + ${((1e6 * own) / rotations).toFixed(0)} µs store each`);
    }
    const [alone, shared] = [rates[`${n} s1`], rates[`${n} 64`]];
    for (const [what, value, least] of [['times as many sharing as one at a time', shared.rate / alone.rate, 3], ['times the CPU of one alone', alone.cpu / shared.cpu, 1.5]]) {
      figures.push({ name: `${n} shard${n > 1 ? 's' : ''}: ${what}`, value: Number(value.toFixed(2)), unit: '×', bound: `>= ${least}`, holds: value >= least, peers: {} });
      console.log(`${n} shard${n > 1 ? 's' : ''}: ${what}: ${value.toFixed(2)} (>= ${least})`);
    }
  }
} finally {
  await cluster.stop();
}
if (values.json) console.log(JSON.stringify({ figures }));
if (figures.some((f) => !f.holds)) process.exitCode = 1;
