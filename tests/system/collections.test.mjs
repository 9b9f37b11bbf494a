// SPDX-License-Identifier: MIT
// Collections by a mapping: a shop in Redis into four shards, killed and gone on with, verified, mended.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { root, segue } from '../lib/paths.mjs';
import { sql, start } from '../lib/proc.mjs';
import { until } from '../lib/wait.mjs';
import { generate } from '../fixtures/shop/generate.mjs';
import { startRealm } from './transfer_realm.mjs';

const lines = (text) => text.trim().split('\n').filter(Boolean).map((l) => JSON.parse(l));

/** A shop of n users in Redis; returns the records by key. */
async function fill(t, n, seed = 7) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sg-shop-'));
  generate(dir, n, seed);
  const records = new Map();
  let multi = t.r.multi();
  for (const name of ['user', 'product', 'order', 'cart'])
    for (const { $key, $expires, $value } of lines(readFileSync(path.join(dir, `${name}.jsonl`), 'utf8'))) {
      records.set($key, $value);
      multi.set($key, JSON.stringify($value), $expires ? { PXAT: $expires + 86400e3 * 365 } : {});
      if (records.size % 1000 === 0) {
        await multi.exec();
        multi = t.r.multi();
      }
    }
  await multi.exec();
  rmSync(dir, { recursive: true });
  return records;
}

describe('collections into tables', () => {
  let t;
  let records;
  const mapping = path.join(root, 'tests/fixtures/shop/mapping.yaml');
  const command = async (words, args = [], env = {}) => {
    const p = start(segue, [...words.split(' '), '--config', t.config, '--mapping', mapping, '--source', t.c.redis.url, '--json', ...args],
      { env: { ...process.env, ...env } });
    const r = { ...(await p.ended), stdout: p.lines.join('\n'), stderr: p.stderr };
    return { ...r, last: r.stdout.trim() ? lines(r.stdout).at(-1) : undefined };
  };
  const load = (args, env) => command('transfer load', args, env);
  const counts = async (table) => t.number(`SELECT count(*) FROM app.${table}`);
  const each = (query) => Promise.all(t.c.shards.map((s) => sql(s.conninfo, query)));
  const anew = async () => {
    await each('DROP SCHEMA IF EXISTS app CASCADE; TRUNCATE segue.transfer_ledger, segue.reject');
    await t.control('TRUNCATE segue_control.collection_job CASCADE');
  };
  /** What the tables say, the time of reading apart. */
  const content = async () => {
    const tables = ['users', 'users_addresses', 'users_roles', 'products', 'orders', 'orders_lines', 'carts', 'carts_items'];
    const out = await t.all(tables.map((table) =>
      `SELECT '${table}', count(*), md5(string_agg(r, ',' ORDER BY r)) FROM (SELECT (to_jsonb(x) - 'row_version')::text AS r FROM app.${table} AS x) AS y;`).join('\n'));
    return JSON.stringify(out);
  };
  let whole;

  before(async () => {
    t = await startRealm({ shards: 4 });
    records = await fill(t, 600);
  });
  after(() => t?.stop());

  test('a dry run reads everything and writes nothing', async () => {
    const r = await load(['--dry-run']);
    assert.equal(r.code, 0, r.stderr);
    assert.equal(r.last.read, records.size);
    assert.equal(r.last.rejected, 0);
    assert.equal(await t.number("SELECT count(*) FROM pg_namespace WHERE nspname = 'app'"), 0);
  });

  test('every record is a row, every element a child row, and the ledger adds up', async () => {
    const r = await load();
    assert.equal(r.code, 0, r.stderr);
    assert.deepEqual([r.last.state, r.last.read, r.last.stored, r.last.rejected], ['done', records.size, records.size, 0]);
    const of = (kind) => [...records].filter(([k]) => k.startsWith(`${kind}:`)).map(([, v]) => v);
    assert.equal(await counts('users'), of('user').length);
    assert.equal(await counts('products'), of('product').length);
    assert.equal(await counts('orders'), of('order').length);
    assert.equal(await counts('orders_lines'), of('order').reduce((n, o) => n + o.lines.length, 0));
    assert.equal(await counts('carts_items'), of('cart').reduce((n, c) => n + Object.keys(c.items).length, 0));
    assert.equal(await t.number('SELECT sum(stored) FROM segue.transfer_ledger'), records.size);
    assert.equal(await t.number("SELECT count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid WHERE c.relname = 'orders' AND indisprimary"), 4);
    whole = await content();
  });

  test('a job that is done is not done again; another one merges without a trace', async () => {
    assert.equal((await load()).last.state, 'was done');
    const r = await load(['--job', 'second']);
    assert.equal(r.code, 0, r.stderr);
    assert.equal(r.last.stored, records.size);
    assert.equal(await content(), whole);
  });

  test('verify: both sides are the same', async () => {
    const r = await command('verify');
    assert.equal(r.code, 0, r.stdout + r.stderr);
    assert.deepEqual([r.last.records, r.last.differences, r.last.buckets_differed], [records.size, 0, 0]);
  });

  test('the references that the mapping proposes hold: what they join is in one bucket', async () => {
    const ddl = start(segue, ['mapping', 'ddl', mapping, '--part', 'references']);
    assert.equal((await ddl.ended).code, 0, ddl.stderr);
    assert.match(ddl.lines.join('\n'), /FOREIGN KEY \(bucket, user_id\) REFERENCES app.users/);
    await each(`BEGIN; ${ddl.lines.join('\n')} ROLLBACK`);
  });

  test('a corrupted value, a missing row and one too many are each found, shown and mended', async () => {
    const [one] = (await t.all('SELECT id FROM app.users ORDER BY id LIMIT 1'))[0];
    const corrupt = async () => {
      await each(`UPDATE app.users SET email = 'evil' || email, extra = '{"a": 1}' WHERE id = ${one};
        DELETE FROM app.products WHERE sku = 'AK-1000';
        DELETE FROM app.orders_lines WHERE order_id = (SELECT min(order_id::text)::uuid FROM app.orders_lines WHERE bucket < 1024) AND ordinal = 0`);
      await sql(t.c.shards[0].conninfo, `INSERT INTO app.users (bucket, id, created_at, email, name, newsletter, password_hash, tier, row_version)
        VALUES (1, 999999, now(), 'x', 'x', false, 'x', 'gold', 1)`);
    };
    // each column by itself, in a row of its own
    const values = { created_at: "created_at + interval '1 ms'", name: "name || ' '", newsletter: 'NOT newsletter', password_hash: "'x'", phone: "'1'", tier: "CASE tier WHEN 'gold' THEN 'silver' ELSE 'gold' END" };
    await each(Object.entries(values).map(([c, v], i) => `UPDATE app.users SET ${c} = ${v} WHERE id = ${101 + i};`).join(''));
    const alone = (await command('verify')).last.found.filter((d) => Number(d.key) > 100 && Number(d.key) < 200);
    assert.deepEqual(alone.map((d) => `${d.key} ${d.columns}`).sort(), Object.keys(values).map((c, i) => `${101 + i} ${c}`));
    await command('repair', ['--apply']);
    assert.equal(await content(), whole);
    await corrupt();
    const r = await command('verify');
    assert.equal(r.code, 1, r.stdout + r.stderr);
    const found = r.last.found.map((d) => `${d.kind} ${d.table} ${d.columns}`).sort();
    assert.deepEqual(found, ['differs users email, extra', 'extra users ', 'missing orders_lines ', 'missing products ']);
    assert.equal(r.last.found.find((d) => d.kind === 'differs').key, one);
    assert.equal(r.last.found.find((d) => d.kind === 'extra').key, '999999');
    assert.equal(r.last.found.find((d) => d.table === 'products').key, 'AK-1000');
    const shown = await command('repair');
    assert.equal(shown.last.mended, 0);
    const mended = await command('repair', ['--apply']);
    assert.equal(mended.code, 0, mended.stderr);
    assert.equal(mended.last.mended, 4);
    assert.equal((await command('verify')).code, 0);
    assert.equal(await content(), whole);
  });

  describe('killed', () => {
    const points = ['collect.before_commit=kill@9', 'collect.after_position=kill@4', 'collect.before_keys=kill',
      ...(process.env.SEGUE_LONG ? ['collect.after_read=kill@3', 'collect.after_commit=kill@10', 'collect.after_keys=kill',
        ...Array.from({ length: 12 }, (_, i) => `collect.before_commit=kill@${5 * i + 2}`)] : [])];
    for (const point of points)
      test(`at ${point}, a first load goes on to the same end`, async () => {
        await anew();
        const killed = await load(['--chunk-records', '200'], { SEGUE_FAULTS: point });
        assert.equal(killed.signal, 'SIGKILL', killed.stdout + killed.stderr);
        const r = await load(['--chunk-records', '200']);
        assert.equal(r.code, 0, r.stderr);
        assert.equal(r.last.state, 'done');
        assert.equal(await content(), whole);
        assert.equal(await t.number('SELECT sum(stored) FROM segue.transfer_ledger'), records.size);
      });

    test('in a merge, it goes on too, and what was corrupted is as the source is', async () => {
      await each("UPDATE app.orders SET status = 'new'; DELETE FROM app.users_roles");
      const killed = await load(['--job', 'again', '--chunk-records', '200'], { SEGUE_FAULTS: 'collect.before_commit=kill@9' });
      assert.equal(killed.signal, 'SIGKILL');
      const r = await load(['--job', 'again', '--chunk-records', '200']);
      assert.equal(r.code, 0, r.stderr);
      assert.equal(await content(), whole);
    });
  });

  test('stopped by SIGTERM it ends cleanly and goes on', async () => {
    await anew();
    const child = start(segue, ['transfer', 'load', '--config', t.config, '--mapping', mapping, '--source', t.c.redis.url, '--chunk-records', '100', '--json'],
      { env: { ...process.env, SEGUE_FAULTS: 'collect.after_read=delay:100' } });
    await until('a chunk to be stored', async () => (await t.number('SELECT count(*) FROM segue.transfer_ledger')) > 4);
    child.kill('SIGTERM');
    assert.equal((await child.ended).code, 1);
    assert.match(child.stderr, /stopped/);
    const before = await t.number('SELECT sum(stored) FROM segue.transfer_ledger');
    assert.ok(before > 0 && before < records.size, `${before}`);
    const r = await load();
    assert.ok(r.last.read < records.size, 'what was stored is not read again');
    assert.equal(await content(), whole);
  });

  test('of a record that was written, not noted, changed and written again, the later copy stays with its own elements', async () => {
    await anew();
    const killed = await load(['--chunk-records', '200'], { SEGUE_FAULTS: 'collect.after_commit=kill@10' }); // users, behind eight of products
    assert.equal(killed.signal, 'SIGKILL');
    assert.ok((await counts('users')) > 0, 'some users were stored');
    for (const [key, value] of records)
      if (key.startsWith('user:')) await t.r.set(key, JSON.stringify({ ...value, name: `${value.name} II`, roles: ['support'], addresses: value.addresses.slice(1) }));
    assert.equal((await load(['--chunk-records', '200'])).code, 0);
    const v = await command('verify');
    assert.equal(v.code, 0, v.stdout + v.stderr);
  });

  test('what cannot be stored is kept with its reason, and the rest goes on', async () => {
    const user = JSON.parse(JSON.stringify(records.get('user:7')));
    const bad = {
      'user:bad1': [{ ...user, id: 'seven' }, 'type'],
      'user:bad2': [{ ...user, id: 5001, tier: 'iron' }, 'range'],
      'user:bad3': [{ ...user, id: 5002, name: 'a\0b' }, 'nul'],
      'user:bad4': [{ ...user, id: null }, 'missing-key'],
      'user:bad5': ['{"id": 5003, "id": 5004}', 'type'], // no JSON, so it is a string
      'user:bad6': [null, 'unreadable'], // a stream
      'user:0007': [{ ...user, name: 'the second with this id' }, 'same-key'],
      'user:5005': [{ ...user, id: 5005 }, 'constraint'], // the email is unique on the shard it shares with another
    };
    await t.r.xAdd('user:bad6', '*', { a: 'b' });
    for (const [key, [value]] of Object.entries(bad))
      if (value) await t.r.set(key, typeof value === 'string' ? value : JSON.stringify(value));
    for (let id = 5006; id < 5030; id++) await t.r.set(`user:${id}`, JSON.stringify({ ...user, id }));
    await anew();
    const stopped = await load(['--max-rejects', '2', '--job', 'strict']);
    assert.equal(stopped.code, 1);
    assert.match(stopped.stderr, /more than 2 records were rejected/);
    const r = await load(['--job', 'strict']);
    assert.equal(r.code, 0, r.stderr);
    const read = await t.r.dbSize();
    assert.equal(r.last.stored + r.last.rejected, r.last.read);
    const own = Number((await t.r.keys('segue:*')).length);
    const rejects = await t.all("SELECT reason, count(*) FROM segue.reject WHERE realm = 'app/user:*' AND resolved_at IS NULL GROUP BY 1");
    const by = {};
    for (const [reason, n] of rejects) by[reason] = (by[reason] ?? 0) + Number(n);
    const stored = (await counts('users')) + (await counts('products')) + (await counts('orders')) + (await counts('carts'));
    assert.equal(stored + Object.values(by).reduce((a, b) => a + b, 0), read - own, JSON.stringify(by));
    for (const reason of new Set(Object.values(bad).map(([, why]) => why))) assert.ok(by[reason] > 0, `${reason}: ${JSON.stringify(by)}`);
    assert.ok(by.constraint >= 20, 'at most one user a shard has the email');
    const sealed = await t.all("SELECT encode(value_sealed, 'escape') FROM segue.reject WHERE value_sealed IS NOT NULL");
    assert.ok(!JSON.stringify(sealed).includes(user.name), 'rejects are sealed');
    const v = await command('verify');
    assert.equal(v.code, 0, v.stdout + v.stderr);
  });

  test('a value of every type is the same on both sides', async () => {
    const file = path.join(t.dir, 'types.yaml');
    const column = (name, type) => `      ${name}: {from: ${name}, type: ${JSON.stringify(type)}}\n`;
    const types = { int: 'integer', yes: 'boolean', real: 'double precision', num: 'numeric', name: 'text', uid: 'uuid', any: 'jsonb', tags: 'text[]',
      dims: 'bigint[]', amounts: 'numeric[]' };
    writeFileSync(file, `mapping: 1\nschema: types\ncollections:\n  "type:*":\n    table: things\n    key: [id]\n    shard_key: id\n    expires: expires_at\n    rest: extra\n    columns:\n`
      + `      id: {from: $key, type: text, not_null: true}\n${Object.entries(types).map(([n, ty]) => column(n, ty)).join('')}`);
    const docs = [
      '{"int": -2147483648, "yes": false, "real": 1e-300, "num": 0, "name": "", "tags": [], "dims": [], "amounts": []}',
      '{"int": 0, "yes": true, "real": -0.5, "num": 100.00, "name": "\\u00e9\\ud83d\\ude00", "uid": "6f1d2c3a-0000-4000-8000-00000000000a", "tags": ["a", ""], "dims": [1, -9007199254740993], "amounts": [0.10, 1e20]}',
      '{"num": 1e300, "any": {"z": [1.0, 10, 1e2, 0.00010, -0.0], "a": {"b": null, "\\u0001": "\\"\\\\"}, "ab": true}, "more": [{"x": 1.50}]}',
      '{"num": -0.0000000000000000000000000000012345678901234567890, "any": "text", "real": 5e-324}',
      '{"num": 123456789012345678901234567890.10, "any": [], "real": 1.7976931348623157e308, "int": 2147483647}',
      '{"any": null, "num": 10000, "x": null, "y": {}}',
    ];
    for (const [i, doc] of docs.entries()) await t.r.set(`type:${i}`, doc, i === 1 ? { EX: 3600 } : {});
    const on = async (words) => command(words, ['--mapping', file]);
    const r = await on('transfer load');
    assert.deepEqual([r.code, r.last?.stored, r.last?.rejected], [0, docs.length, 0], r.stderr + r.stdout);
    const v = await on('verify');
    assert.equal(v.code, 0, v.stdout + v.stderr);
    assert.equal(v.last.buckets_differed, 0, v.stdout);
    await each("UPDATE types.things SET amounts = '{0.2,1e20}' WHERE id = '1'; UPDATE types.things SET expires_at = expires_at + interval '1 h'");
    const w = await on('verify');
    assert.deepEqual(w.last.found.map((d) => `${d.key} ${d.columns}`), ['1 amounts, expires_at'], w.stdout);
  });
});
