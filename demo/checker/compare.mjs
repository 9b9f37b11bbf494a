// SPDX-License-Identifier: MIT
// Compares the two sides, record by record and row by row. Pure: takes what was read, gives what differs.
import { decode } from './decode.mjs';
import { bucket, realmKey, sessionId, storeKeyDigest } from './formulas.mjs';

// Touches are written on when the expiry moved by an eighth of the lifetime; the rest is time that passes between both reads.
const LIFE_SLACK_MS = 15_000;
const EXPIRING_MS = 5000; // a record this near its end may be gone on one side

/**
 * redis, segue: of sources.mjs; root: the keyring's root key; ended: session ids whose clients logged out.
 * {stored, rejected, anonymous, live: numbers, lost: [digest] (records that are neither), mismatches, duplicates, endedAlive:
 * [{digest, …}]}
 */
export function compare({ redis, segue, root, realm, prefix, ended, legacyIsComplete }) {
  const key = realmKey(root, realm);
  const refs = index(segue.refs);
  const rejects = index(segue.rejects);
  const sessions = new Map(segue.sessions.map((row) => [row.sid, row]));
  const result = { stored: 0, rejected: 0, anonymous: 0, live: 0, lost: [], mismatches: [], duplicates: [], endedAlive: [] };
  const differs = (what, details) => result.mismatches.push({ what, ...details });

  for (const [storeKey, record] of redis) {
    if (record.ttlMs >= 0 && record.ttlMs < EXPIRING_MS) continue;
    const digest = storeKeyDigest(key, storeKey);
    const hex = digest.toString('hex');
    const about = { digest: hex.slice(0, 12) };
    const decoded = decode(record);
    if (!decoded) {
      const reject = rejects.get(hex);
      if (!reject) {
        differs('a record that does not decode is not among the rejects', about);
        result.lost.push(about.digest);
      } else {
        checkPlace(reject, bucket(realm, digest), segue.bucketMap, differs, about);
        result.rejected++;
      }
      continue;
    }
    const row = findSession({ key, digest, hex, decoded, refs, sessions, segue, realm, differs, about });
    if (!row) {
      result.lost.push(about.digest);
      continue;
    }
    result.stored++;
    if (decoded.subject === null) result.anonymous++;
    checkLife(row, record, decoded, differs, about);
  }

  const byDigest = new Map();
  for (const row of segue.sessions) {
    if (row.ended || !row.digest) continue;
    if (row.life_ms > EXPIRING_MS) result.live++;
    if (byDigest.has(row.digest)) result.duplicates.push({ digest: row.digest.slice(0, 12), sids: [byDigest.get(row.digest), row.sid] });
    byDigest.set(row.digest, row.sid);
  }
  if (sessions.size !== segue.sessions.length) result.duplicates.push({ digest: '', what: 'one session id on two shards' });

  // What Segue takes for alive must be in the legacy store too: nobody is logged in who logged out there.
  if (legacyIsComplete) {
    const known = new Set([...redis.keys()].map((storeKey) => storeKeyDigest(key, storeKey).toString('hex')));
    for (const row of segue.sessions)
      if (!row.ended && row.digest && row.life_ms > EXPIRING_MS && !known.has(row.digest))
        differs('a live session is not in the legacy store', { digest: row.digest.slice(0, 12), subject: row.subject, origin: row.origin });
  }

  for (const sid of ended) {
    const digest = storeKeyDigest(key, prefix + sid).toString('hex');
    if (redis.has(prefix + sid)) result.endedAlive.push({ digest: digest.slice(0, 12), where: 'legacy store' });
    if (byDigest.has(digest)) result.endedAlive.push({ digest: digest.slice(0, 12), where: 'PostgreSQL' });
  }
  return result;
}

const index = (rows) => new Map(rows.map((row) => [row.digest, row]));

function findSession({ key, digest, hex, decoded, refs, sessions, segue, realm, differs, about }) {
  const ref = refs.get(hex);
  if (!ref) return void differs('a record has no token_ref', about);
  if (ref.ended) return void differs('a record lives on whose token_ref has ended', about);
  checkPlace(ref, bucket(realm, digest), segue.bucketMap, differs, about);
  if ((ref.subject ?? '') !== (decoded.subject ?? ''))
    return void differs('the subject differs', { ...about, legacy: decoded.subject, segue: ref.subject });
  const sid = sessionId(key, digest, decoded.subject ?? '', ref.generation).toString('hex');
  const row = sessions.get(sid);
  if (!row) return void differs('a record has no session', about);
  if (row.ended) return void differs('a record lives on whose session has ended', { ...about, reason: row.end_reason });
  checkPlace(row, decoded.subject === null ? bucket(realm, digest) : bucket(realm, decoded.subject), segue.bucketMap, differs, about);
  if ((row.subject ?? '') !== (decoded.subject ?? '') || row.digest !== hex) {
    differs('the session says something else', { ...about, legacy: decoded.subject, segue: row.subject });
    return undefined;
  }
  return row;
}

function checkPlace(row, expected, bucketMap, differs, about) {
  if (row.bucket !== expected || row.shard !== bucketMap[expected])
    differs('a row is in the wrong place', { ...about, bucket: row.bucket, shard: row.shard, expected });
}

function checkLife(row, record, decoded, differs, about) {
  if (record.ttlMs < 0) return;
  const slack = Math.max(LIFE_SLACK_MS, decoded.idleMs / 8 + 5000);
  if (Math.abs(row.life_ms - record.ttlMs) > slack)
    differs('the remaining life differs', { ...about, legacy_ms: record.ttlMs, segue_ms: Math.round(row.life_ms) });
}
