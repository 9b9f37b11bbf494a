// SPDX-License-Identifier: MIT
// A record that ran out while nobody followed the legacy store may have been logged out before: held, never made again (rule 1, P2).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

let w, a, capture;
let subject = 0;

before(async () => {
  w = await startWorld();
  a = await w.serve('a');
  capture = await w.transfer();
  await w.policy('main', { phase: 'exchange', percent: 100 });
});
after(() => w?.stop());

const row = async (s, what) => (await w.everyShard(`SELECT ${what} FROM segue.session WHERE subject = '${s.subject}'`))[0][0];

/** A session with its tokens, and nothing left to mirror. */
async function login() {
  const s = await w.session(++subject);
  const tokens = (await a.exchange(s)).json();
  await until('the mirror to have nothing to do', async () => (await w.total('SELECT count(*) FROM segue.outbox')) === 0);
  return { ...s, ...tokens };
}
/** Its life in the source, as the source said last, ends in so many ms. */
const endsIn = (s, ms) => w.everyShard(`UPDATE segue.session SET exp_source = segue.in_ms(${ms}) WHERE subject = '${s.subject}' RETURNING 1`);
const exists = (...list) => w.redisOf('main').exists(list.map((s) => s.key));

test('what ran out, or was logged out, behind the back of the capture is held; what ran out before its eyes is made again', async () => {
  const [seen, out, over] = [await login(), await login(), await login()];
  await w.redisOf('main').pExpire(seen.key, 1);
  await until('it to be gone', async () => (await exists(seen)) === 0);
  // Long ago, for an eighth of a life, which a touch may have added unnoticed, counts as unknown too.
  await endsIn(seen, -3600_000);

  capture.kill('SIGKILL');
  for (const s of [out, over]) await endsIn(s, 500);
  await w.redisOf('main').del(out.key); // the logout that nobody sees
  await w.redisOf('main').pExpire(over.key, 500);
  await sleep(2000); // more than two clocks may differ by
  assert.equal(await exists(out, over), 0);

  await w.transfer();
  await until('a beat', async () => (await a.metric('segue_heartbeat_age_seconds{realm="main"}')) < 1);
  for (const s of [out, over]) {
    const r = await a.refresh(s.refresh_token); // held is not ended: nobody is logged out who may not have asked for it
    assert.equal(r.status, 200, r.body);
    assert.equal(await row(s, 'held_at IS NOT NULL AND ended_at IS NULL'), 't');
  }
  assert.equal((await a.refresh(seen.refresh_token)).status, 200);
  await until('the one that merely expired to be made again', async () => (await exists(seen)) === 1);
  assert.equal(await row(seen, 'held_at IS NULL'), 't');
  assert.equal(await exists(out, over), 0, 'made again');
  const status = JSON.parse((await w.run('transfer status', '--realm', 'main', '--json')).stdout);
  assert.ok(JSON.stringify(status).includes('"held":2'), JSON.stringify(status));

  // The operator decides.
  const r = await w.run('transfer resolve', '--realm', 'main', '--end', '--why', 'nobody knows');
  assert.equal(r.code, 0, r.stderr);
  for (const s of [out, over]) assert.equal((await a.refresh(s.refresh_token)).status, 400);
});
