// SPDX-License-Identifier: MIT
// How long POST /v1/login takes for a login that exists and for one that does not: their means may differ by 5 % at most.
// Hashes cost little here (bcrypt at cost 4 takes 1 ms), so that whatever else differs shows; half of them are of another form.
//   ./dev bench login [--tries N] [--json]
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';

import { run } from '../tests/lib/proc.mjs';
import { segue } from '../tests/lib/paths.mjs';
import { startWorld } from '../tests/lib/segue.mjs';
import { until } from '../tests/lib/wait.mjs';

const { values: options } = parseArgs({ options: { tries: { type: 'string', default: '1000' }, json: { type: 'boolean', default: false } } });
const tries = Number(options.tries);
const BOUND = 5;

// cost 4, of "correct horse"; the tries are wrong ones
const bcrypt = '$2b$04$DExyShzhRt7SCId2CzT8p.xrmsYlbRozFm2kENlfQrY2uZtjfQTa6';
const django = () => {
  const salt = randomBytes(9).toString('hex');
  return `pbkdf2_sha256$5000$${salt}$${pbkdf2Sync('correct horse', salt, 5000, 32, 'sha256').toString('base64')}`;
};

const w = await startWorld({
  users: tries,
  realms: { main: { login: { address_header: 'X-Real-IP', tries_per_address: 100000, tries_per_login: 100000, tries_per_pair: 100000 } } },
});
try {
  const lines = Array.from({ length: tries }, (_, i) => JSON.stringify({ login: `user${i + 1}`, subject: String(i + 1), hash: i % 2 ? bcrypt : django() }));
  const r = await run(segue, ['credentials', 'import', '--config', w.file], { input: lines.join('\n') });
  if (r.code !== 0) throw new Error(r.stderr);
  const instance = await w.serve('bench');
  const ask = async (login) => {
    const answer = await instance.request('POST', '/v1/login', {
      headers: { 'content-type': 'application/json', 'x-real-ip': '192.0.2.1' }, body: JSON.stringify({ login, password: 'wrong' }),
    });
    return answer;
  };
  await until('the hashes to be known', async () => (await ask('nobody')).status === 401);
  for (let i = 1; i <= 100; i++) await ask(i % 2 ? `user${i}` : `warm${i}`);

  // Interleaved, in an order that is drawn anew for each pair, so that what else the machine does meets both alike; and each login
  // three times, of which the shortest counts: a login costs the same each time, so the rest of it is the machine.
  const times = { known: [], unknown: [] };
  for (let i = 1; i <= tries; i++) {
    const least = { known: Infinity, unknown: Infinity };
    for (let k = 0; k < 3; k++) {
      const pair = [['known', `user${i}`], ['unknown', `nobody${i}`]];
      if (Math.random() < 0.5) pair.reverse();
      for (const [kind, login] of pair) {
        const answer = await ask(login);
        if (answer.status !== 401) throw new Error(`${login}: ${answer.status}`);
        least[kind] = Math.min(least[kind], answer.ms);
      }
    }
    for (const kind of ['known', 'unknown']) times[kind].push(least[kind]);
  }
  // The slowest 2 % of either are the machine's too.
  const mean = (list) => {
    const kept = [...list].sort((a, b) => a - b).slice(0, Math.ceil(list.length * 0.98));
    return kept.reduce((a, b) => a + b, 0) / kept.length;
  };
  const [known, unknown] = [mean(times.known), mean(times.unknown)];
  const difference = Math.abs(known - unknown) / known * 100;
  const figures = [
    { name: 'login, known, wrong password, mean', value: Number(known.toFixed(3)), unit: 'ms' },
    { name: 'login, unknown, mean', value: Number(unknown.toFixed(3)), unit: 'ms' },
    { name: `difference of the means over ${tries} tries`, value: Number(difference.toFixed(2)), unit: '%', bound: BOUND, holds: difference <= BOUND },
  ];
  if (options.json) console.log(JSON.stringify({ figures }));
  else for (const f of figures) console.log(`${f.name}: ${f.value} ${f.unit}${f.bound === undefined ? '' : `, at most ${f.bound}: ${f.holds ? 'holds' : 'BROKEN'}`}`);
  process.exitCode = difference <= BOUND ? 0 : 1;
} finally {
  await w.stop();
}
