// SPDX-License-Identifier: MIT
// From collections to a schema: what is proposed for two known systems, on real servers, and what its files may never hold.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { generate as generateForum } from '../fixtures/forum/generate.mjs';
import { generate as generateShop } from '../fixtures/shop/generate.mjs';
import { startCluster } from '../lib/cluster.mjs';
import { root, segue } from '../lib/paths.mjs';
import { run, sql } from '../lib/proc.mjs';

const npm = createRequire(path.join(root, 'tests/system/package.json'));
const shop = ['user', 'product', 'order', 'cart'];
const forum = ['users', 'threads', 'posts', 'sessions'];
let dir;
let cluster;

const at = (name) => path.join(dir, name);
const lines = (name) => readFileSync(at(`${name}.jsonl`), 'utf8').trim().split('\n');
const files = (names) => names.map((n) => at(`${n}.jsonl`));
const fixture = (name) => path.join(root, 'tests/fixtures', name, 'mapping.yaml');

async function ok(...args) {
  const r = await run(segue, args);
  assert.equal(r.code, 0, r.stderr);
  return r.stdout;
}
const plain = (file) => ok('mapping', 'show', file);
async function propose(name, ...args) {
  rmSync(at(name), { force: true });
  await ok('analyze', 'collections', ...args, '--mapping', at(name));
  return plain(at(name));
}

before(async () => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'sg-an-'));
  generateShop(dir, 800);
  generateForum(dir, 600);
  cluster = await startCluster({ shards: 1 });
});
after(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('a password stays out of the list of processes (P9): it comes from the environment', async () => {
  const url = cluster.redis.url.replace('//', '//:not-this@');
  for (const words of [['analyze', 'collections', url], ['analyze', 'tokens', url], ['verify', '--mapping', fixture('shop'), '--source', url],
    ['transfer', 'load', '--mapping', fixture('shop'), '--source', url]]) {
    const r = await run(segue, words);
    assert.notEqual(r.code, 0);
    assert.match(r.stderr, /environment variable/);
    assert.doesNotMatch(r.stderr, /not-this/);
  }
  const say = (...words) => run('redis-cli', ['-u', cluster.redis.url, ...words]);
  await say('SET', 'thing:1', '{"id":1}');
  const r = await run(segue, ['analyze', 'collections', '${SHOP}', '--json'], { env: { ...process.env, SHOP: cluster.redis.url } });
  await say('DEL', 'thing:1');
  assert.equal(r.code, 0, r.stderr);
  const unset = await run(segue, ['analyze', 'collections', '${SHOP_UNSET}']);
  assert.match(unset.stderr, /SHOP_UNSET is not set/);
});

describe('the proposal', () => {
  test('for the shop is what was made by hand', async () => {
    assert.equal(await propose('shop.yaml', ...files(shop)), await plain(fixture('shop')));
  });

  test('for the forum is what was made by hand', async () => {
    assert.equal(await propose('forum.yaml', ...files(forum)), await plain(fixture('forum')));
  });

  test('is the same whatever the order of the records', async () => {
    for (const name of [...shop, ...forum]) writeFileSync(at(`${name}.jsonl`), `${lines(name).reverse().join('\n')}\n`);
    assert.equal(await propose('shop-2.yaml', ...files([...shop].reverse())), await plain(fixture('shop')));
    assert.equal(await propose('forum-2.yaml', ...files([...forum].reverse())), await plain(fixture('forum')));
  });

  test('for the shop in a real Redis is the same', async () => {
    const { createClient } = npm('redis');
    const redis = await createClient({ url: `${cluster.redis.url}/3` }).connect();
    for (const name of shop)
      await Promise.all(lines(name).map((l) => {
        const r = JSON.parse(l);
        return redis.set(r.$key, JSON.stringify(r.$value), r.$expires ? { PX: 3600_000 } : undefined);
      }));
    await redis.close();
    assert.equal(await propose('redis.yaml', `${cluster.redis.url}/3`), await plain(fixture('shop')));
  });

  test('takes text in Redis hashes for the numbers it is', async () => {
    const { createClient } = npm('redis');
    const redis = await createClient({ url: `${cluster.redis.url}/4` }).connect();
    for (let i = 0; i < 150; i++) await redis.hSet(`profile:${i}`, { age: String(i % 90), zip: `0${1000 + i}`, score: (i / 4).toFixed(2), active: String(i % 2 === 0) });
    await redis.close();
    const text = await propose('hash.yaml', `${cluster.redis.url}/4`);
    assert.match(text, /id: \{from: \$key, type: bigint, convert: parse, not_null: true\}/);
    assert.match(text, /age: \{from: age, type: bigint, convert: parse, not_null: true\}/);
    assert.match(text, /score: \{from: score, type: numeric, convert: parse, not_null: true\}/);
    assert.match(text, /active: \{from: active, type: boolean, convert: parse, not_null: true\}/);
    assert.match(text, /zip: \{from: zip, type: text, not_null: true\}/);
  });

  test('does not write over a file', async () => {
    const r = await run(segue, ['analyze', 'collections', at('user.jsonl'), '--mapping', at('shop.yaml')]);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /shop\.yaml: is there already/);
  });
});

/** Tables of a mapping in its plain form: {table: {column: type}}. */
function tables(text) {
  const out = {};
  let table;
  for (const line of text.split('\n')) {
    const name = /^ {4}table: "?(\w+)"?$/.exec(line)?.[1] ?? /^ {6}(\w+):$/.exec(line)?.[1];
    if (name) table = out[name] = {};
    const column = /^ {6,10}(\w+): \{from: .*?, type: "?([^",}]+)"?/.exec(line);
    if (column) table[column[1]] = column[2].replace('timestamptz', 'timestamp with time zone');
  }
  return out;
}

describe('the DDL', () => {
  for (const name of ['shop', 'forum'])
    test(`of the ${name} makes on PostgreSQL what the mapping says`, async () => {
      const db = cluster.shards[0].conninfo;
      const ddl = await ok('mapping', 'ddl', fixture(name));
      await sql(db, `DROP SCHEMA IF EXISTS app CASCADE; BEGIN; ${ddl} COMMIT;`);
      const made = {};
      for (const row of (await sql(db, `SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'app'::regnamespace AND c.relkind = 'r' AND a.attnum > 0`)).split('\n')) {
        const [table, column, type, notNull] = row.split('|');
        (made[table] ??= {})[column] = { type, notNull: notNull === 't' };
      }
      const wanted = tables(await plain(fixture(name)));
      assert.ok(Object.keys(wanted).length >= 7);
      for (const [table, columns] of Object.entries(wanted)) {
        assert.equal(made[table].bucket.type, 'integer');
        for (const [column, type] of Object.entries(columns)) assert.equal(made[table][column]?.type, type, `${table}.${column}`);
        const key = await sql(db, `SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'app.${table}'::regclass AND contype = 'p'`);
        assert.match(key, /^PRIMARY KEY \(bucket, /);
      }
      const defs = await sql(db, `SELECT conrelid::regclass || ': ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'app'::regnamespace`);
      const expected = {
        shop: ['app.orders: FOREIGN KEY (bucket, user_id) REFERENCES app.users(bucket, id)', 'app.users: UNIQUE (email)',
          'app.users_addresses: FOREIGN KEY (country) REFERENCES app.countries(value)',
          'app.orders_lines: FOREIGN KEY (bucket, order_id) REFERENCES app.orders(bucket, id) ON DELETE CASCADE',
          "app.users: CHECK ((tier = ANY (ARRAY['basic'::text, 'gold'::text, 'silver'::text])))"],
        forum: ['app.posts: FOREIGN KEY (bucket, author) REFERENCES app.users(bucket, id)', 'app.users: UNIQUE (handle)'],
      }[name];
      for (const def of expected) assert.ok(defs.split('\n').includes(def), `${def}\nnot in\n${defs}`);
    });

  test('refuses a table that is there already', async () => {
    const db = cluster.shards[0].conninfo;
    await sql(db, 'DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; CREATE TABLE app.users (x int)');
    await assert.rejects(sql(db, `BEGIN; ${await ok('mapping', 'ddl', fixture('shop'))} COMMIT;`), /already exists/);
  });
});

describe('drift', () => {
  test('is none in the data that the mapping was made of', async () => {
    const out = JSON.parse(await ok('analyze', 'collections', ...files(shop), '--against', at('shop.yaml'), '--json'));
    assert.deepEqual(out.drift, []);
  });

  test('is told, and what would be rejected is an exit code', async () => {
    const changed = lines('user').map((l, i) => {
      const r = JSON.parse(l);
      r.$value.nickname = `n${i}`;
      if (i % 2) r.$value.tier = 'platinum';
      if (i === 5) r.$value.id = 'five';
      if (i === 6) delete r.$value.name;
      return JSON.stringify(r);
    });
    writeFileSync(at('user.jsonl'), `${changed.join('\n')}\n`);
    const r = await run(segue, ['analyze', 'collections', ...files(shop), '--against', at('shop.yaml'), '--json']);
    assert.equal(r.code, 1, r.stderr);
    const drift = JSON.parse(r.stdout).drift.map((d) => `${d.place}: ${d.text}: ${d.rejects}`);
    assert.deepEqual(drift, [
      'users.id (id): 1 of 800 values are of another type or form: 1',
      'users.name (name): missing or null in 1 of 800: 1',
      'users.tier (tier): a new value: platinum: 400',
      'user:*: nickname: new, in 100.0 %: kept in the rest: 0',
    ]);
  });
});

describe('what is written', () => {
  test('holds no value of a record but the words that fields consist of', async () => {
    const marks = new Set();
    for (const name of forum)
      for (const l of lines(name).slice(0, 300)) {
        const r = JSON.parse(l);
        for (const v of [r.email, r.handle, r.title, r.ip, r.data?.csrf, r._id, r._id?.$oid, r.user?.$oid]) if (typeof v === 'string' && v.length > 6) marks.add(v);
        for (const k of Object.keys(r.reactions ?? {})) marks.add(k);
      }
    assert.ok(marks.size > 1000);
    await propose('secret.yaml', ...files(forum), '--html', at('secret.html'));
    const text = await ok('analyze', 'collections', ...files(forum));
    const json = await ok('analyze', 'collections', ...files(forum), '--json');
    for (const [where, all] of [['html', readFileSync(at('secret.html'), 'utf8')], ['yaml', readFileSync(at('secret.yaml'), 'utf8')], ['text', text], ['json', json]])
      for (const mark of marks) assert.ok(!all.includes(mark), `${where} holds ${mark}`);
  });

  test('escapes names, in HTML, YAML and on a terminal', async () => {
    const evil = '</td><script>alert(1)</script>"\'&\u001b[2J\n: {x';
    writeFileSync(at('evil.jsonl'), Array.from({ length: 200 }, (_, i) => JSON.stringify({ id: i, [evil]: i % 2 ? 'a"b' : '<b>', 'a.b': 1, '$key': 2, '': 3, [`${'é'.repeat(60)}`]: 4 })).join('\n'));
    const text = await ok('analyze', 'collections', at('evil.jsonl'), '--html', at('evil.html'), '--mapping', at('evil.yaml'));
    assert.ok(!text.includes('\u001b'));
    const html = readFileSync(at('evil.html'), 'utf8');
    assert.ok(!/<script/i.test(html) && !html.includes('\u001b'));
    assert.ok(html.includes('&lt;script&gt;alert(1)'));
    assert.ok(!/(src|href)=|url\(|@import/i.test(html), 'the report loads nothing');
    const shown = await plain(at('evil.yaml'));
    assert.ok(shown.includes('<script>'), shown);
    const db = cluster.shards[0].conninfo;
    await sql(db, `DROP SCHEMA IF EXISTS app CASCADE; BEGIN; ${await ok('mapping', 'ddl', at('evil.yaml'))} COMMIT;`);
    assert.equal(await sql(db, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'app.evils'::regclass AND attnum > 0"), '8'); // the field without a name is in the rest
  });
});

describe('tokens of a store that no configuration speaks of', () => {
  test('are said to be of the framework that wrote them, and no id is shown', async () => {
    const { createClient } = npm('redis');
    const redis = await createClient({ url: `${cluster.redis.url}/5` }).connect();
    const ids = Array.from({ length: 60 }, (_, i) => `4wu4k3hxeuwyB1h8mUjHt7Y9scB1${String(i).padStart(4, 'x')}`);
    for (const [i, id] of ids.entries()) {
      const cookie = { originalMaxAge: 3600e3, expires: new Date(Date.now() + (i % 2 ? 3600e3 : 60e3)).toISOString(), httpOnly: true, path: '/' };
      await redis.set(`sess:${id}`, JSON.stringify({ cookie, passport: { user: i }, cart: [1], csrfSecret: 'x', flash: {} }), { PX: 3600e3 });
    }
    const lone = '9f86d081884c7d659a2feaa0c55ad015';
    await redis.set(`shiro:session:${lone}`, Buffer.from('aced00057372002a6f72672e6170616368652e736869726f2e73657373696f6e2e6d67742e53696d706c6553657373696f6e', 'hex'));
    await redis.set('PHPREDIS_SESSION:abcdefgh1', 'user_id|i:42;');
    await redis.set('PHPREDIS_SESSION:abcdefgh2', 'user_id|i:43;');
    await redis.close();
    const out = await ok('analyze', 'tokens', `${cluster.redis.url}/5`, '--json');
    const text = await ok('analyze', 'tokens', `${cluster.redis.url}/5`);
    for (const all of [out, text]) for (const id of [...ids, lone]) assert.ok(!all.includes(id), all);
    const found = JSON.parse(out).collections;
    const express = found.find((c) => c.name === 'sess:*');
    assert.deepEqual(express.frameworks.map((f) => [f.name, f.n]), [['express-session (connect-redis)', 60]]);
    assert.equal(express.extended, 30);
    assert.equal(express.ids.longest, 32);
    assert.deepEqual(Object.fromEntries(express.members.map((m) => [m.name, m.kind])), { cookie: 'cookie', passport: 'identity', cart: 'cart', csrfSecret: 'csrf', flash: 'flash' });
    assert.deepEqual(found.flatMap((c) => c.frameworks.map((f) => f.name)).sort(), ['Apache Shiro (shiro-redis)', 'PHP (phpredis session handler)', 'express-session (connect-redis)']);
  });
});
