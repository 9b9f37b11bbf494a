// SPDX-License-Identifier: MIT
// How fast the sessions of a Redis come into four shards, beside a batched Python script in the same run: into empty tables (in bulk), with
// live indexes, and once more over what is there.
// usage: ./dev bench transfer [--json] [--records N] [--live N]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { root } from '../tests/lib/paths.mjs';
import { run } from '../tests/lib/proc.mjs';
import { until } from '../tests/lib/wait.mjs';
import { record, startRealm } from '../tests/system/transfer_realm.mjs';

const { values } = parseArgs({ options: { json: { type: 'boolean' }, records: { type: 'string', default: '1000000' }, live: { type: 'string', default: '200000' } } });
const RECORDS = Number(values.records);
const LIVE = Math.min(RECORDS, Number(values.live));
const USERS = 50_000;
const HZ = 100; // of /proc, on every Linux that Debian runs on

/** CPU seconds of a process and all that it started, those that have ended too. */
function cpuOf(parent) {
  let ticks = 0;
  for (const pid of readdirSync('/proc').filter((n) => /^\d+$/.test(n))) {
    let f;
    try {
      f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').map(Number);
    } catch {
      continue;
    }
    if (Number(pid) === parent) ticks += f[11] + f[12] + f[13] + f[14];
    else if (f[1] === parent) ticks += f[11] + f[12];
  }
  return ticks / HZ;
}

/** n sessions of about 400 bytes, by redis-cli --pipe. */
async function fill(t, n) {
  const pipe = spawn('redis-cli', ['-u', t.c.redis.url, '--pipe'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const cart = JSON.stringify({ items: Array.from({ length: 6 }, (_, i) => ({ sku: `SKU-${1000 + i}`, quantity: 1 + i })) });
  for (let i = 0; i < n; i += 1000) {
    let text = '';
    for (let k = i; k < Math.min(n, i + 1000); k++) {
      const value = record(`u${1 + (k % USERS)}`).replace(/}$/, `,"cart":${cart}}`);
      const args = ['SET', `sess:s${k}-${'x'.repeat(20)}`, value, 'PX', String(86_400_000 + k)];
      text += `*${args.length}\r\n${args.map((a) => `$${a.length}\r\n${a}\r\n`).join('')}`;
    }
    if (!pipe.stdin.write(text)) await once(pipe.stdin, 'drain');
  }
  pipe.stdin.end();
  await once(pipe, 'close');
}

const t = await startRealm({ shards: 4, users: USERS });
const conninfos = t.c.shards.map((s) => s.conninfo);
const servers = () => t.c.shards.reduce((sum, s) => sum + cpuOf(s.pid), 0);
const figures = [];
const add = (name, value, unit, bound, holds, peers = {}) => {
  figures.push({ name, value: Number(value.toFixed(2)), unit, bound, holds, peers });
  console.log(`${name}: ${value.toFixed(2)} ${unit}${bound ? ` (${bound}: ${holds ? 'holds' : 'DOES NOT HOLD'})` : ''}`);
};
const at = (p, text) => {
  const line = p.stderr.split('\n').find((l) => l.includes(text));
  return line && Date.parse(JSON.parse(line).at);
};
const emptied = async () => {
  await t.all('TRUNCATE segue.session, segue.token_ref, segue.outbox, segue.reject, segue.transfer_ledger, segue.revocation, segue.heartbeat, segue.subject');
  await t.control('TRUNCATE segue_control.transfer_job; TRUNCATE segue_control.continuity');
};

/** One transfer up to its snapshot's end; what it cost. */
async function transfer(n, args = []) {
  const before = servers();
  const redisBefore = cpuOf(t.c.redis.pid);
  const p = t.transfer(args);
  await until('snapshot done', () => at(p, 'snapshot done') ?? (p.over ? Promise.reject(new Error(p.stderr)) : false), 600_000, 50);
  const status = readFileSync(`/proc/${p.pid}/status`, 'utf8');
  const mine = cpuOf(p.pid);
  const cost = { seconds: (at(p, 'snapshot done') - at(p, 'snapshot begins')) / 1000, mine, pg: servers() - before, redis: cpuOf(t.c.redis.pid) - redisBefore,
    peak: Number(status.match(/VmHWM:\s+(\d+)/)[1]) / 1024 };
  cost.rate = n / cost.seconds;
  cost.us = ((cost.mine + cost.pg) / n) * 1e6;
  await p.proven().catch(() => {});
  await p.stop();
  return cost;
}

async function script(mode, n) {
  const before = servers();
  const out = await run('/usr/bin/python3', [path.join(root, 'bench/transfer/script.py'), mode, t.c.redis.url, ...conninfos]);
  if (out.code !== 0) throw new Error(out.stderr);
  const told = JSON.parse(out.stdout);
  return { rate: n / told.seconds, us: ((told.cpu + servers() - before) / n) * 1e6 };
}

const say = (c) => `${c.seconds.toFixed(1)} s; CPU ${c.mine.toFixed(1)} s Segue, ${c.pg.toFixed(1)} s PostgreSQL, ${c.redis.toFixed(1)} s Redis; peak ${c.peak.toFixed(0)} MiB`;
try {
  console.log(`${RECORDS} sessions, four shards`);
  await fill(t, RECORDS);
  const bulk = await transfer(RECORDS);
  console.log(`in bulk: ${say(bulk)}`);
  const stored = await t.number('SELECT count(*) FROM segue.session');
  if (stored !== RECORDS) throw new Error(`${stored} stored of ${RECORDS}`);
  const copied = await script('copy', RECORDS);
  add('initial load', bulk.rate, 'sessions/s', '>= 100000', bulk.rate >= 100_000, { script: Math.round(copied.rate) });
  add('initial load, rows (a session and its reference)', 2 * bulk.rate, 'rows/s', null, true);
  add('initial load, CPU of Segue and PostgreSQL a session', bulk.us, 'us', '<= 12', bulk.us <= 12, { script: Number(copied.us.toFixed(1)) });
  add('initial load against the script', bulk.rate / copied.rate, 'times', '>= 8', bulk.rate >= 8 * copied.rate);
  add('initial load, peak memory', bulk.peak, 'MiB', '<= 256', bulk.peak <= 256);
  await emptied();
  await t.all('DROP SCHEMA script CASCADE');
  await t.r.flushAll();
  await fill(t, LIVE);
  console.log(`${LIVE} sessions, indexes live`);
  const live = await transfer(LIVE, ['--no-bulk', '--page-keys', '1000']);
  console.log(`page by page: ${say(live)}`);
  const upserted = await script('upsert', LIVE);
  add('live load', live.rate, 'sessions/s', '>= 45000', live.rate >= 45_000, { script: Math.round(upserted.rate) });
  add('live load, CPU of Segue and PostgreSQL a session', live.us, 'us', '<= 23', live.us <= 23, { script: Number(upserted.us.toFixed(1)) });
  add('live load against the script', live.rate / upserted.rate, 'times', '>= 3.5', live.rate >= 3.5 * upserted.rate);
} finally {
  await t.stop();
}
if (values.json) console.log(JSON.stringify({ figures }));
if (figures.some((f) => !f.holds)) process.exitCode = 1;
