// SPDX-License-Identifier: MIT
// What the login system holds before Segue comes: users, sessions in the framework's own format (written by its own code), and
// what time has left lying about in such a store.
import { randomBytes } from 'node:crypto';
import session from 'express-session';
import { sign } from '../app/sessions.mjs';

const word = () => randomBytes(24).toString('base64url'); // 32 characters, as uid-safe makes for express-session

export function makeAccounts(n) {
  return Array.from({ length: n }, (_, i) => ({
    id: String(i + 1),
    name: `user${i + 1}`,
    password: word(),
    roles: i % 7 === 0 ? ['reader', 'editor'] : ['reader'],
    permissions: i % 7 === 0 ? ['page:read', 'page:write'] : ['page:read'],
  }));
}

/** One session as express-session and passport leave it; answers the signed session id. */
async function putSession(store, secret, maxAgeMs, userId) {
  const sid = word();
  const cookie = new session.Cookie({ maxAge: maxAgeMs, secure: true, httpOnly: true, sameSite: 'lax' });
  const record = { cookie, ...(userId && { passport: { user: Number(userId) } }), ...(!userId && { cart: [1, 2] }) };
  await new Promise((done, failed) => store.set(sid, record, (err) => (err ? failed(err) : done())));
  return sign(sid, secret);
}

/**
 * One session for each of `owners` (answered by user id), `many` more spread over `others`, some of which expire soon, and
 * anonymous ones.
 */
export async function seedSessions({ store, secret, maxAgeMs, owners, others, many, anonymous }) {
  const credentials = new Map();
  await Promise.all(owners.map(async ({ id }) => credentials.set(id, await putSession(store, secret, maxAgeMs, id))));
  const all = [...credentials.values()];
  for (let i = 0; i < many; i += 100)
    all.push(...(await Promise.all(
      Array.from({ length: Math.min(100, many - i) }, (_, j) => {
        const soon = (i + j) % 40 === 0;
        return putSession(store, secret, soon ? 20_000 + 500 * ((i + j) % 120) : maxAgeMs, others[(i + j) % others.length].id);
      }),
    )));
  for (let i = 0; i < anonymous; i++) all.push(await putSession(store, secret, maxAgeMs, null));
  return { credentials, all };
}

const GOOD_COOKIE = '"cookie":{"originalMaxAge":600000,"expires":"2030-01-01T00:00:00.000Z","httpOnly":true,"path":"/"}';
const BAD_VALUES = [
  '', ' ', 'null', '42', '"text"', '[]', 'not json', '{', `{${GOOD_COOKIE}`, `{${GOOD_COOKIE},}`, `{${GOOD_COOKIE}} trailing`,
  `{${GOOD_COOKIE},"passport":{"user":1`, `{${GOOD_COOKIE},"passport":{"user":"\\u12"}}`, `{'cookie':{}}`,
  '\x80\x04\x95\x10', 'a:1:{s:4:"user";i:1;}', `${'['.repeat(5000)}`, Buffer.from([0xff, 0xfe, 0x7b, 0x7d]),
  Buffer.concat([Buffer.from(`{${GOOD_COOKIE},"name":"`), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
  `{${GOOD_COOKIE},"passport":{"user":1}}`.replace('"passport"', 'passport'), '<html>', '{"cookie":{"originalMaxAge":1e',
];

/** Records under the prefix that are no sessions of this framework: how many. */
export async function seedUndecodable(client) {
  let n = 0;
  for (const value of BAD_VALUES) await client.set(`sess:bad-${n++}-${word()}`, value, { expiration: { type: 'EX', value: 3600 } });
  await client.hSet(`sess:bad-${n++}-${word()}`, { user: '1' });
  await client.rPush(`sess:bad-${n++}-${word()}`, ['1', '2']);
  await client.sAdd(`sess:bad-${n++}-${word()}`, ['1']);
  return n;
}
