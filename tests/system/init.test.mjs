// SPDX-License-Identifier: MIT
// `segue init`: lays everything out once, does nothing the second time, and refuses what would lose something.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startCluster } from '../lib/cluster.mjs';
import { segue } from '../lib/paths.mjs';
import { run, sql } from '../lib/proc.mjs';

const SHARDS = 3;
let c, dir;

/** Writes a configuration over those shards; returns its path. */
function config(name, { shards = c.shards.map((s) => s.conninfo), realms = ['main'], alg = 'ES256', keyring = 'keyring', control = c.control.conninfo } = {}) {
  const realm = (r) => `  ${r}:
    issuer: https://login.example.org/${r}
    audiences: [https://app.example.org]
    legacy:
      store: redis
      url: redis://127.0.0.1:1/0
      codec: express-session
      key_prefix: "sess:"
      cookie: connect.sid
      subject_path: passport.user
      secrets_file: secrets
      default_idle: 1d
    identity:
      source: sql
      url: postgresql://nobody@127.0.0.1:1/none
      lookup: "SELECT 1"
      changes: "SELECT 1"
    token:
      alg: ${alg}
    clients:
      - id: web
`;
  const file = path.join(dir, name);
  writeFileSync(
    file,
    `segue:
  instance: a
  listen: 127.0.0.1:0
  control: ${control}
  shards:
${shards.map((s) => `    - ${s}`).join('\n')}
  keyring: ${keyring}
realms:
${realms.map(realm).join('')}`,
  );
  return file;
}

const init = (file, ...args) => run(segue, ['init', '--config', file, ...args]);
const control = (q) => sql(c.control.conninfo, q);
const journal = () => control('SELECT count(*) FROM segue_control.journal');

describe('segue init', () => {
  before(async () => {
    c = await startCluster({ shards: SHARDS, redis: false });
    dir = mkdtempSync(path.join(os.tmpdir(), 'sg-init-'));
    writeFileSync(path.join(dir, 'secrets'), 'a session secret\n', { mode: 0o600 });
  });
  after(async () => {
    await c?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('lays out schemas, map, policies, keys and a keyring, and says so', async () => {
    const r = await init(config('segue.yaml', { realms: ['main', 'other'] }));
    assert.equal(r.code, 0, r.stderr);
    for (const line of ['control: applying control schema 1 of 1', 'shard 2: applying shard schema 1 of 1', 'keyring: made', 'realm main: observe (new policy)'])
      assert.match(r.stdout, new RegExp(line.replace(/[()]/g, '\\$&')));
    assert.equal(statSync(path.join(dir, 'keyring')).mode & 0o777, 0o600);
    assert.equal(await control('SELECT count(*) FROM segue_control.bucket_map'), '4096');
    assert.equal(await control('SELECT count(DISTINCT shard) FROM segue_control.bucket_map'), String(SHARDS));
    assert.equal(await control("SELECT string_agg(realm || ':' || phase, ',' ORDER BY realm) FROM segue_control.policy"), 'main:observe,other:observe');
    assert.equal(await control("SELECT count(*) FROM segue_control.signing_key WHERE state = 'active' AND alg = 'ES256'"), '2');
    assert.equal(await control("SELECT count(*) FROM segue_control.signing_key WHERE public_jwk ? 'd' OR position('\"d\"' IN encode(private_sealed, 'escape')) > 0"), '0');
    assert.equal(await journal(), '4');
    for (let i = 0; i < SHARDS; i++) {
      const owned = await sql(c.shards[i].conninfo, "SELECT string_agg(bucket::text, ',' ORDER BY bucket) FROM segue.bucket_owner WHERE owned");
      assert.equal(owned, await control(`SELECT string_agg(bucket::text, ',' ORDER BY bucket) FROM segue_control.bucket_map WHERE shard = ${i}`));
    }
  });

  test('does nothing the second time', async () => {
    const keyring = readFileSync(path.join(dir, 'keyring'), 'utf8');
    const r = await init(config('segue.yaml', { realms: ['main', 'other'] }), '--json');
    assert.equal(r.code, 0, r.stderr);
    const report = JSON.parse(r.stdout);
    assert.equal(report.ok, true);
    assert.deepEqual(report.control, { schema: 1, applied: 0 });
    assert.deepEqual(report.shards.map((s) => s.applied), [0, 0, 0]);
    assert.equal(report.shards.reduce((n, s) => n + s.buckets, 0), 4096);
    for (const realm of report.realms) {
      assert.equal(realm.policy_created, false);
      assert.equal(realm.key_created, false);
    }
    assert.equal(await journal(), '4');
    assert.equal(readFileSync(path.join(dir, 'keyring'), 'utf8'), keyring);
  });

  test('a realm that was added gets what it needs; two at once do it once', async () => {
    const file = config('more.yaml', { realms: ['main', 'third'], alg: 'EdDSA' });
    const both = await Promise.all([init(file), init(file)]);
    for (const r of both) assert.equal(r.code, 0, r.stderr);
    assert.equal(await control("SELECT string_agg(alg, ',') FROM segue_control.signing_key WHERE realm = 'third'"), 'EdDSA');
    assert.equal(await journal(), '6');
    assert.match(both[0].stdout, /realm main: token.alg is EdDSA/);
  });

  test('another number of shards, another order and one database twice are refused', async () => {
    const all = c.shards.map((s) => s.conninfo);
    const before = await journal();
    const fewer = await init(config('fewer.yaml', { shards: all.slice(0, 2) }));
    assert.equal(fewer.code, 1);
    assert.match(fewer.stderr, /lists 2, but the buckets are laid out over 3/);
    const swapped = await init(config('swapped.yaml', { shards: [all[1], all[0], all[2]] }), '--json');
    assert.equal(swapped.code, 1);
    assert.match(JSON.parse(swapped.stdout).error, /order of segue.shards changed/);
    const twice = await init(config('twice.yaml', { shards: [all[0], all[0], all[2]] }));
    assert.equal(twice.code, 1);
    assert.match(twice.stderr, /shard 1: bucket 0 is shard 0's by the map/);
    assert.equal(await journal(), before);
  });

  test('another keyring, or none, is refused once keys are sealed', async () => {
    const keyring = path.join(dir, 'keyring');
    const missing = await init(config('missing.yaml', { keyring: 'nowhere' }));
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /there is no such keyring/);
    assert.equal(existsSync(path.join(dir, 'nowhere')), false);
    renameSync(keyring, `${keyring}.true`);
    writeFileSync(keyring, readFileSync(`${keyring}.true`, 'utf8').replace(/(k1:)[0-9a-zA-Z_-]{8}/, '$100000000'), { mode: 0o600 });
    const wrong = await init(config('segue.yaml'));
    renameSync(`${keyring}.true`, keyring);
    assert.equal(wrong.code, 1);
  });

  test('a database newer than the program is refused', async () => {
    await sql(c.shards[1].conninfo, 'INSERT INTO segue.schema_version (version) VALUES (7)');
    const r = await init(config('segue.yaml'));
    await sql(c.shards[1].conninfo, 'DELETE FROM segue.schema_version WHERE version = 7');
    assert.equal(r.code, 1);
    assert.match(r.stderr, /shard 1: its shard schema has version 7, this binary knows up to 1/);
  });

  test('a shard that is down is named, without its password', async () => {
    const shards = c.shards.map((s) => s.conninfo);
    shards[2] = 'postgresql://segue:geheim@127.0.0.1:1/segue';
    const r = await init(config('down.yaml', { shards }));
    assert.equal(r.code, 1);
    assert.match(r.stderr, /shard 2: .*refused/);
    shards[2] = 'postgresql://segue:geheim@[bad';
    const bad = await init(config('bad.yaml', { shards }));
    assert.equal(bad.code, 1);
    for (const out of [r, bad]) assert.doesNotMatch(out.stdout + out.stderr, /geheim/);
  });

  test('a migration that breaks off leaves nothing half-made', async () => {
    const conninfo = c.shards[1].conninfo; // a database without a control schema
    await sql(conninfo, 'CREATE SCHEMA segue_control; CREATE TABLE segue_control.journal (id int)');
    const r = await init(config('broken.yaml', { control: conninfo, keyring: 'other' }));
    assert.equal(r.code, 1);
    assert.equal(await sql(conninfo, "SELECT to_regclass('segue_control.schema_version') IS NULL"), 't');
  });
});
