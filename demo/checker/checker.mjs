// SPDX-License-Identifier: MIT
// The independent reader of both databases. It shares no code with Segue: digests, buckets and the meaning of records are
// worked out again here.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { compare } from './compare.mjs';
import { rootKey } from './formulas.mjs';
import { readRedis, readSegue } from './sources.mjs';

const TRIES = 8;
const BETWEEN_MS = 500;
const KINDS = ['mismatches', 'duplicates', 'endedAlive'];

/**
 * options: {redisUrl, prefix, control, shards, realm, keyring: file, ended: [session id], legacyIsComplete}. The two sides cannot be read in
 * one instant, and people log in and out meanwhile: only what is found about the same record in every one of several readings,
 * over some seconds, is a finding.
 */
export async function check(options) {
  const root = rootKey(readFileSync(options.keyring, 'utf8'));
  let found;
  for (let i = 0; i < TRIES; i++) {
    if (i > 0) await sleep(BETWEEN_MS);
    const [redis, segue] = await Promise.all([readRedis(options.redisUrl, options.prefix), readSegue(options)]);
    const now = compare({ ...options, redis, segue, root });
    const lasting = (list, before) => list.filter((item) => before?.has(idOf(item)) ?? true);
    for (const kind of [...KINDS, 'lost']) now[kind] = lasting(now[kind], found && new Set(found[kind].map(idOf)));
    found = { ...now, read: now.stored + now.rejected + now.lost.length, ledger: ledger(segue.ledger) };
    if (KINDS.every((kind) => found[kind].length === 0)) break;
  }
  return found;
}

const idOf = (item) => item.digest ?? item;

/** The transfer's own account, over all jobs. */
function ledger(rows) {
  const sum = (name) => rows.reduce((total, row) => total + row[name], 0);
  return { stored: sum('stored'), rejected: sum('rejected'), anonymous: sum('anonymous'), chunks: rows.length };
}
