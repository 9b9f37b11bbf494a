// SPDX-License-Identifier: MIT
// The independent reader of both databases. It shares no code with Segue: digests, buckets and the meaning of records are
// worked out again here.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { compare } from './compare.mjs';
import { rootKey } from './formulas.mjs';
import { readRedis, readSegue } from './sources.mjs';

const SETTLE_TRIES = 6;
const SETTLE_MS = 500;

/**
 * options: {redisUrl, prefix, control, shards, realm, keyring: file, ended: [session id], legacyIsComplete}. What differs is looked at again
 * for a few seconds: while people log in and out, the sides are a moment apart.
 */
export async function check(options) {
  const root = rootKey(readFileSync(options.keyring, 'utf8'));
  let result;
  for (let i = 0; i < SETTLE_TRIES; i++) {
    if (i > 0) await sleep(SETTLE_MS);
    const [redis, segue] = await Promise.all([readRedis(options.redisUrl, options.prefix), readSegue(options)]);
    result = { ...compare({ ...options, redis, segue, root }), ledger: ledger(segue.ledger) };
    if (!result.mismatches.length && !result.duplicates.length && !result.endedAlive.length) break;
  }
  return result;
}

/** The transfer's own account, over all jobs. */
function ledger(rows) {
  const sum = (name) => rows.reduce((total, row) => total + row[name], 0);
  return { stored: sum('stored'), rejected: sum('rejected'), anonymous: sum('anonymous'), chunks: rows.length };
}
