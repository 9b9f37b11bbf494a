// SPDX-License-Identifier: MIT
// The checker must agree with the published vectors, and must see each kind of difference.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compare } from '../checker/compare.mjs';
import { decode } from '../checker/decode.mjs';
import { bucket, realmKey, rootKey, sessionId, storeKeyDigest } from '../checker/formulas.mjs';

const VECTORS = JSON.parse(readFileSync(new URL('../../tests/vectors/digest.json', import.meta.url)));
const hex = (text) => Buffer.from(text, 'hex');
const root = Buffer.alloc(32, 7);
const realm = 'main';
const prefix = 'sess:';

test('the formulas give the published vectors', () => {
  const ours = {
    realm_key: (v) => realmKey(hex(v.root), v.realm, v.purpose).toString('hex'),
    store_key_digest: (v) => storeKeyDigest(hex(v.realm_key), v.store_key).toString('hex'),
    session_id: (v) => sessionId(hex(v.realm_key), hex(v.digest), v.subject, v.generation).toString('hex'),
    bucket: (v) => bucket(v.realm, v.key),
  };
  const checked = VECTORS.filter((v) => ours[v.fn]);
  assert.ok(checked.length >= 10);
  for (const v of checked) assert.equal(ours[v.fn](v), v.out, v.fn);
});

test('a keyring in hex or base64url gives the same root', () => {
  assert.deepEqual(rootKey(`# c\nroot:${root.toString('hex')}\na:x\n`), root);
  assert.deepEqual(rootKey(`root:${root.toString('base64url')}\n`), root);
});

test('what is a session and what is not', () => {
  const string = (text) => decode({ type: 'string', value: Buffer.from(text) });
  assert.deepEqual(string('{"cookie":{"originalMaxAge":1000},"passport":{"user":5}}'), { subject: '5', idleMs: 1000 });
  assert.deepEqual(string('{"cookie":{}}'), { subject: null, idleMs: 0 });
  for (const bad of ['', 'null', '[]', '{', '{"passport":{}}', '{"cookie":[]}']) assert.equal(string(bad), undefined, bad);
  assert.equal(decode({ type: 'hash', value: null }), undefined);
});

/** Two sides that agree: one session of user 5, one anonymous, one reject. */
function world() {
  const key = realmKey(root, realm);
  const ids = ['a', 'b', 'bad'].map((name) => storeKeyDigest(key, prefix + name));
  const bucketMap = Array.from({ length: 4096 }, (_, i) => i % 4);
  const row = (digest, by, more) => ({ digest: digest.toString('hex'), bucket: bucket(realm, by), shard: bucketMap[bucket(realm, by)], ended: false, ...more });
  const session = (digest, subject, by) =>
    row(digest, by, { sid: sessionId(key, digest, subject ?? '', 0).toString('hex'), subject, generation: 0, origin: 'legacy', life_ms: 600_000 });
  const value = (more) => Buffer.from(JSON.stringify({ cookie: { originalMaxAge: 600_000 }, ...more }));
  return {
    redis: new Map([
      ['sess:a', { type: 'string', value: value({ passport: { user: 5 } }), ttlMs: 600_000 }],
      ['sess:b', { type: 'string', value: value({}), ttlMs: 600_000 }],
      ['sess:bad', { type: 'string', value: Buffer.from('{'), ttlMs: -1 }],
    ]),
    segue: {
      bucketMap,
      refs: [row(ids[0], ids[0], { subject: '5', generation: 0 }), row(ids[1], ids[1], { subject: null, generation: 0 })],
      sessions: [session(ids[0], '5', '5'), session(ids[1], null, ids[1])],
      rejects: [row(ids[2], ids[2], { reason: 'x', place: 'y' })],
    },
    root, realm, prefix, ended: [], legacyIsComplete: true,
  };
}

test('two sides that agree', () => {
  const result = compare(world());
  assert.deepEqual(result, { stored: 2, rejected: 1, anonymous: 1, live: 2, lost: [], mismatches: [], duplicates: [], endedAlive: [] });
});

const DIFFERENCES = {
  'has no token_ref': (w) => w.segue.refs.shift(),
  'token_ref has ended': (w) => (w.segue.refs[0].ended = true),
  'has no session': (w) => w.segue.sessions.shift(),
  'whose session has ended': (w) => (w.segue.sessions[0].ended = true),
  'the subject differs': (w) => (w.segue.refs[0].subject = '6'),
  'says something else': (w) => (w.segue.sessions[0].subject = '6'),
  'wrong place': (w) => (w.segue.sessions[0].shard = 9),
  'remaining life': (w) => (w.segue.sessions[0].life_ms += 3_600_000),
  'not among the rejects': (w) => w.segue.rejects.pop(),
  'not in the legacy store': (w) => w.redis.delete('sess:a'),
};
for (const [what, harm] of Object.entries(DIFFERENCES))
  test(`it sees: ${what}`, () => {
    const w = world();
    harm(w);
    const { mismatches } = compare(w);
    assert.equal(mismatches.length, 1);
    assert.match(mismatches[0].what, new RegExp(what));
  });

test('it sees two live sessions of one key, and a logout that did not take on either side', () => {
  const w = world();
  w.segue.sessions.push({ ...w.segue.sessions[0], sid: 'ff' });
  assert.equal(compare(w).duplicates.length, 1);
  const alive = compare({ ...world(), ended: ['a'] }).endedAlive;
  assert.deepEqual(alive.map((a) => a.where), ['legacy store', 'PostgreSQL']);
});
