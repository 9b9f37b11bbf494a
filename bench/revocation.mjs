// SPDX-License-Identifier: MIT
// How long a logout, a ban, another role or permission and a disabled client take to reach every instance: undisturbed while a long
// transaction holds xmin on every shard, and after the way to shards and control was cut or stalled and restored.
// usage: ./dev bench revocation [--json] [--times N]
import { parseArgs } from 'node:util';

import { percentile, startRevocations } from '../tests/lib/revocation.mjs';

const { values } = parseArgs({ options: { json: { type: 'boolean' }, times: { type: 'string', default: '40' } } });
const times = Number(values.times);
const INSTANCES = 3;

const figures = [];
/** The figures of one series; the bounds are promise P3's: 250 ms p99, 1 s at most; 1 s more after a cut. */
function add(name, lags, { p99, max }) {
  const round = (v) => Number(v.toFixed(1));
  for (const [what, value, bound] of [['p50', percentile(lags, 50)], ['p99', percentile(lags, 99), p99], ['max', Math.max(...lags), max]])
    figures.push({ name: `${name}, ${what}`, value: round(value), unit: 'ms', bound: bound ? `<= ${bound}` : null, holds: !bound || value <= bound, peers: {} });
  console.log(`${name}: ${lags.length / INSTANCES} times at ${INSTANCES} instances, p50 ${round(percentile(lags, 50))} ms, p99 ${round(percentile(lags, 99))} ms, max ${round(Math.max(...lags))} ms`);
}

const r = await startRevocations({ n: INSTANCES, users: 20 * times + 1000 });
try {
  const letGo = await r.holdXmin();
  for (const kind of Object.keys(r.kinds)) add(kind, await r.measure(kind, times), { p99: 250, max: 1000 });
  for (const [cut, cutMs] of [['cut', 400], ['cut', 2500], ['stall', 1500]]) {
    const all = [];
    for (const kind of Object.keys(r.kinds)) all.push(...(await r.measure(kind, Math.ceil(times / 10), { cut, cutMs })));
    add(`after a ${cut} of up to ${cutMs / 1000} s was restored`, all, { p99: 1250, max: 2000 });
  }
  letGo();
} finally {
  await r.stop();
}
if (values.json) console.log(JSON.stringify({ figures }));
if (figures.some((f) => !f.holds)) process.exitCode = 1;
