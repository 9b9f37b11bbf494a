// SPDX-License-Identifier: MIT
// What verifying a JWT costs with libsegue, and with libcjose, libjwt and librhonabwy beside it in the same run.
// usage: ./dev bench jwt [--json] [--quick]
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { root } from '../tests/lib/paths.mjs';

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
const build = path.join(root, process.env.SEGUE_BUILD ?? 'build-release');
const [rounds, sliceMs] = quick ? [7, 10] : [21, 20];

const run = (command, ...args) => {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}\n${done.stderr || done.error?.message}`);
  return done.stdout;
};

/** Builds bench/jwt against the release build's library and the peers. */
const compile = () => {
  const out = path.join(build, 'bench');
  mkdirSync(out, { recursive: true });
  const driver = path.join(out, 'jwt');
  const sources = readdirSync(path.join(root, 'bench/jwt')).filter((f) => f.endsWith('.c')).map((f) => path.join('bench/jwt', f));
  const peers = run('pkg-config', '--cflags', '--libs', 'cjose', 'libjwt', 'librhonabwy', 'jansson').trim().split(/\s+/);
  run('cc', '-std=gnu11', '-D_GNU_SOURCE', '-O3', '-Wall', '-Wextra', '-Wno-unused-parameter', '-Werror', '-Iinclude', '-o', driver, ...sources,
    path.join(build, 'src/jwt/libsegue.a'), ...peers, '-lcrypto', '-lsodium', '-pthread');
  return driver;
};

const measured = Object.fromEntries(run(compile(), String(rounds), String(sliceMs)).trim().split('\n').map((line) => {
  const [name, number] = line.split(' ');
  return [name, Number(number)];
}));

const algs = ['HS256', 'RS256', 'ES256', 'EdDSA'];
const libraries = ['cjose', 'libjwt', 'rhonabwy'];
const round = (v, digits) => Number(v.toFixed(digits));
const peersOf = (alg) => Object.fromEntries(libraries.filter((l) => measured[`${alg}/${l}`]).map((l) => [l, round(measured[`${alg}/${l}`], 0)]));

const figures = [];
/** bound: '>= 8' or '<= 400'; none: a figure to know, not to hold. */
const figure = (name, value, unit, bound, peers = {}) => {
  const [, op, limit] = bound?.match(/^([<>]=) ([\d.]+)$/) ?? [];
  figures.push({ name, value, unit, bound: bound ?? null, holds: !bound || (op === '<=' ? value <= Number(limit) : value >= Number(limit)), peers });
};

for (const [alg, peer, least] of [['HS256', 'cjose', 8], ['RS256', 'cjose', 1.3], ['ES256', 'cjose', 1.05], ['EdDSA', 'rhonabwy', 2]]) {
  figure(`${alg}: whole verify`, round(measured[`${alg}/segue`], 0), 'ns', null, peersOf(alg));
  figure(`${alg}: times as fast as ${peer}`, round(measured[`${alg}/${peer}`] / measured[`${alg}/segue`], 3), '×', `>= ${least}`);
}
figure('around the signature (HS256 less the bare HMAC)', round(measured['HS256/segue'] - measured['HS256/bare-hmac'], 0), 'ns', '<= 400',
  { 'bare HMAC': round(measured['HS256/bare-hmac'], 0) });
figure('verified-token cache, a hit', round(Math.max(...algs.map((a) => measured[`${a}/segue-cached`])), 0), 'ns', '<= 300');
for (const alg of algs) figure(`${alg}: two threads against one`, round(measured[`${alg}/two-threads`], 3), '×', '>= 1.9', { waits: measured[`${alg}/two-threads-waits`] });

console.log(`Tokens of ${algs.map((a) => `${measured[`${a}/bytes`]} (${a})`).join(', ')} bytes; 1,000 different ones in turn; medians of ${rounds} rounds of ${sliceMs} ms`
  + ' each; CPU time of the thread. Every library verifies the signature, parses the claims and checks typ, iss, aud, exp and nbf (libjwt: the same claims under typ JWT, which it insists on).\n');
const rows = figures.map((f) => [f.name, f.value.toLocaleString('en'), f.unit, f.bound ? `${f.bound} ${f.holds ? 'holds' : 'DOES NOT HOLD'}` : '',
  Object.entries(f.peers).map(([k, v]) => `${k} ${v.toLocaleString('en')}`).join(', ')]);
const widths = rows[0].map((_, i) => Math.max(...rows.map((r) => r[i].length)));
for (const row of rows) console.log(row.map((cell, i) => (i === 1 ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  ').trimEnd());
if (json) console.log(JSON.stringify({ figures }));
if (figures.some((f) => !f.holds)) process.exitCode = 1;
