// SPDX-License-Identifier: MIT
// Both databases, read whole: what the legacy store holds, and what Segue holds of one realm.
import pg from 'pg';
import { createClient } from 'redis';

/** Map of key → {type, value: Buffer or null, ttlMs: -1 = none} of every key with the prefix. */
export async function readRedis(url, prefix) {
  const client = createClient({ url, socket: { reconnectStrategy: false } }).on('error', () => {});
  await client.connect();
  const bytes = client.withTypeMapping({ 36: Buffer }); // '$': values may be no text
  const records = new Map();
  try {
    for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 500 })) {
      await Promise.all(
        keys.map(async (key) => {
          const [type, ttlMs] = await Promise.all([client.type(key), client.pTTL(key)]);
          if (type === 'none' || ttlMs === -2) return;
          const value = type === 'string' ? await bytes.get(key) : null;
          if (type === 'string' && value === null) return; // gone in between
          records.set(key, { type, value, ttlMs });
        }),
      );
    }
  } finally {
    client.destroy();
  }
  return records;
}

/** {bucketMap: [shard], sessions, refs, rejects, ledger}; each row carries its shard's number. */
export async function readSegue({ control, shards, realm }) {
  const ask = async (conninfo, text, values) => {
    const client = new pg.Client({ connectionString: conninfo });
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  };
  const everywhere = async (text) => {
    const answers = await Promise.all(shards.map((conninfo) => ask(conninfo, text, [realm])));
    return answers.flatMap((rows, shard) => rows.map((row) => ({ ...row, shard })));
  };
  const bucketMap = [];
  for (const row of await ask(control, 'SELECT bucket, shard FROM segue_control.bucket_map')) bucketMap[row.bucket] = row.shard;
  const life = `extract(epoch FROM least(greatest(exp_source, exp_segue), exp_absolute) - clock_timestamp()) * 1000`;
  return {
    bucketMap,
    sessions: await everywhere(
      `SELECT bucket, encode(sid, 'hex') AS sid, subject, generation, origin, encode(store_digest, 'hex') AS digest,
              (${life})::float8 AS life_ms, idle_ms::float8, ended_at IS NOT NULL AS ended, end_reason, jwt_until IS NOT NULL AS has_jwt
         FROM segue.session WHERE realm = $1`,
    ),
    refs: await everywhere(
      `SELECT bucket, encode(digest, 'hex') AS digest, subject, generation, ended_at IS NOT NULL AS ended
         FROM segue.token_ref WHERE realm = $1`,
    ),
    rejects: await everywhere(`SELECT bucket, encode(key_digest, 'hex') AS digest, reason, place FROM segue.reject WHERE realm = $1`),
    ledger: await everywhere(`SELECT job::int, chunk::int, stored, rejected, anonymous FROM segue.transfer_ledger WHERE realm = $1`),
  };
}
