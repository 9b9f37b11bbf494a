// SPDX-License-Identifier: MIT
// The digests of docs (src/keys/digest.h), written again from their description: F(tag, f1, …) is, for the tag and each field,
// its length as 8 bytes big-endian and its bytes; the first field is the version byte 1.
import { createHash, createHmac } from 'node:crypto';

const VERSION = Buffer.from([1]);

const number = (n) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(n));
  return bytes;
};

const fields = (tag, ...parts) =>
  Buffer.concat([tag, VERSION, ...parts].flatMap((part) => [number(Buffer.byteLength(part)), Buffer.from(part)]));

const hmac = (key, input) => createHmac('sha256', key).update(input).digest();

export const realmKey = (root, realm, purpose = 'digest') => hmac(root, fields('segue.realm_key', realm, purpose));
export const storeKeyDigest = (key, storeKey) => hmac(key, fields('segue.store_key', storeKey));
export const sessionId = (key, digest, subject, generation) =>
  hmac(key, fields('segue.session_id', digest, subject, number(generation))).subarray(0, 16);
export const bucket = (realm, key) => createHash('sha256').update(fields('segue.bucket', realm, key)).digest().readUInt16BE(0) >> 4;

/** The root key of a keyring file. */
export function rootKey(text) {
  const line = /^root:(\S+)$/m.exec(text)[1];
  return Buffer.from(line, line.length === 64 ? 'hex' : 'base64url');
}
