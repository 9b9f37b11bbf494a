// SPDX-License-Identifier: MIT
// Recomputes tests/vectors/hash.json and digest.json from the layouts written in src/base/hash.h,
// src/keys/digest.h and src/keys/refresh.h, sharing no code with them. Exits 1 on a difference.
// With --write it writes the files anew (the inputs stand below).
import { createHash, createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const bytes = v => (Buffer.isBuffer(v) ? v : Buffer.from(v, 'utf8'));
const hex = s => Buffer.from(s, 'hex');
const u64 = n => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b; };
const F = (tag, ...fields) => Buffer.concat([tag, ...fields].flatMap(f => [u64(bytes(f).length), bytes(f)]));
const sha = input => createHash('sha256').update(input).digest();
const mac = (key, input) => createHmac('sha256', key).update(input).digest();
const V = Buffer.from([1]);

const functions = {
  hash_fields: v => sha(F(v.domain, ...v.fields)).toString('hex'),
  hmac_fields: v => mac(hex(v.key), F(v.domain, ...v.fields)).toString('hex'),
  realm_key: v => mac(hex(v.root), F('segue.realm_key', V, v.realm, v.purpose)).toString('hex'),
  store_key_digest: v => mac(hex(v.realm_key), F('segue.store_key', V, v.store_key)).toString('hex'),
  session_id: v => mac(hex(v.realm_key), F('segue.session_id', V, hex(v.digest), v.subject, u64(v.generation)))
    .subarray(0, 16).toString('hex'),
  legacy_binding: v => mac(hex(v.realm_key), F('segue.legacy_binding', V, hex(v.digest)))
    .subarray(0, 12).toString('base64url'),
  refresh_digest: v => mac(hex(v.realm_key), F('segue.refresh_digest', V, v.token)).toString('hex'),
  login_digest: v => mac(hex(v.realm_key), F('segue.login', V, v.login)).toString('hex'),
  bucket: v => sha(F('segue.bucket', V, v.realm, v.key)).readUInt16BE(0) >> 4,
  refresh_text: v => {
    const b = Buffer.concat([V, Buffer.from([v.bucket >> 8, v.bucket & 255]), hex(v.random)]);
    return 'sgr_' + Buffer.concat([b, sha(F('segue.refresh_checksum', b)).subarray(0, 4)]).toString('base64url');
  },
};

const root = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';
const digest = functions.store_key_digest;
function inputs() {
  const shop = functions.realm_key({ root, realm: 'shop', purpose: 'digest' });
  const d1 = digest({ realm_key: shop, store_key: 'sess:Kx3tB0Gv' });
  const token = functions.refresh_text({ bucket: 2748, random: root });
  return {
    'hash.json': [
      { fn: 'hash_fields', domain: 'segue.test', fields: [] },
      { fn: 'hash_fields', domain: 'segue.test', fields: ['', 'a', 'bc'] },
      { fn: 'hash_fields', domain: 'segue.test', fields: ['a', '', 'bc'] },
      { fn: 'hash_fields', domain: 'segue.test', fields: ['ab', 'c', 'x'.repeat(600)] },
      { fn: 'hmac_fields', key: root, domain: 'segue.test', fields: ['Zürich', ''] },
      { fn: 'hmac_fields', key: '', domain: '', fields: [] },
    ],
    'digest.json': [
      { fn: 'realm_key', root, realm: 'shop', purpose: 'digest' },
      { fn: 'realm_key', root, realm: 'shop', purpose: 'csrf' },
      { fn: 'realm_key', root, realm: 'forum', purpose: 'digest' },
      { fn: 'store_key_digest', realm_key: shop, store_key: 'sess:Kx3tB0Gv' },
      { fn: 'store_key_digest', realm_key: shop, store_key: '' },
      { fn: 'session_id', realm_key: shop, digest: d1, subject: 'u-1', generation: 0 },
      { fn: 'session_id', realm_key: shop, digest: d1, subject: 'u-1', generation: 1 },
      { fn: 'session_id', realm_key: shop, digest: d1, subject: 'ü', generation: 4294967296 },
      { fn: 'legacy_binding', realm_key: shop, digest: d1 },
      { fn: 'bucket', realm: 'shop', key: 'u-1' },
      { fn: 'bucket', realm: 'forum', key: 'u-1' },
      { fn: 'bucket', realm: 'shop', key: '' },
      { fn: 'refresh_text', bucket: 0, random: root },
      { fn: 'refresh_text', bucket: 2748, random: root },
      { fn: 'refresh_text', bucket: 4095, random: 'ff'.repeat(32) },
      { fn: 'refresh_digest', realm_key: shop, token },
      { fn: 'login_digest', realm_key: shop, login: 'ada@example.org' },
    ],
  };
}

let different = 0, replayed = 0;
for (const [name, list] of Object.entries(inputs())) {
  const file = new URL(name, import.meta.url);
  if (process.argv.includes('--write'))
    writeFileSync(file, JSON.stringify(list.map(v => ({ ...v, out: functions[v.fn](v) })), null, 1) + '\n');
  for (const v of JSON.parse(readFileSync(file, 'utf8'))) {
    replayed++;
    if (functions[v.fn](v) !== v.out) {
      different++;
      console.error(`${name}: ${JSON.stringify(v)}: got ${functions[v.fn](v)}`);
    }
  }
}
console.log(`${replayed} vectors, ${different} different`);
process.exit(different || !replayed ? 1 : 0);
