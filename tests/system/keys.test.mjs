// SPDX-License-Identifier: MIT
// Signing keys: rotated on a schedule and by command with no token refused (P6), sealed, revoked, never shown.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';

import { AUDIENCE, JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const token = { lifetime: '10s', leeway: '0s' };
let w, a, b;

before(async () => {
  w = await startWorld({
    main: { time_scale: 0.2 }, // lifetimes only: a token lives 2 s, a key is published 2 s ahead
    realms: {
      turning: { token, keys: { rotate_every: '20s', publish_ahead: '10s' } },
      byhand: { token, keys: { rotate_every: '0s', publish_ahead: '5s' } },
      secret: { token: { alg: 'HS256' } },
    },
  });
  [a, b] = await Promise.all([w.serve('a'), w.serve('b')]);
  for (const realm of w.realms) await w.policy(realm, { phase: 'exchange', percent: 100 });
});
after(() => w?.stop());

const keys = (what, realm, ...args) => w.run(`keys ${what}`, '--realm', realm, ...args);
const done = (r) => {
  assert.equal(r.code, 0, r.stderr);
  return r;
};
const refused = async (text, before, r) => {
  assert.equal(r.code, 1, r.stdout);
  assert.match(r.stderr, text);
};
const list = async (realm) => JSON.parse(done(await keys('list', realm, '--json')).stdout);
const active = async (realm) => (await list(realm)).find((k) => k.state === 'active');
const byKid = async (realm, kid) => (await list(realm)).find((k) => k.kid === kid);
const journal = async (realm) =>
  (await w.control(`SELECT json_build_object('actor', actor, 'action', action, 'why', why, 'from', from_state, 'to', to_state)
    FROM segue_control.journal WHERE realm = '${realm}' AND action LIKE '%key%' ORDER BY id`)).split('\n').map((l) => JSON.parse(l));
const jwks = (i, realm, headers = {}) => i.request('GET', `/realms/${realm}/.well-known/jwks.json`, { headers });

/** Looks at every member of a JWKS answer at any depth. */
function checkJwks(answer) {
  const set = answer.json();
  const look = (v) => {
    if (v === null || typeof v !== 'object') return;
    for (const [name, inner] of Object.entries(v)) {
      assert.ok(!PRIVATE.includes(name), `private member ${name}`);
      look(inner);
    }
  };
  look(set);
  for (const k of set.keys) {
    assert.ok(['EC', 'OKP', 'RSA'].includes(k.kty), k.kty);
    assert.equal(k.use, 'sig');
  }
  return set;
}

describe('JWKS', () => {
  test('is cached for at most half of the time a key is published ahead, and answers 304', async () => {
    const first = await jwks(a, 'byhand');
    assert.equal(first.status, 200);
    assert.equal(first.headers['cache-control'], 'public, max-age=0'); // of 1 s, in whole seconds
    assert.equal((await jwks(a, 'secret')).headers['cache-control'], 'public, max-age=300');
    assert.match(first.headers.etag, /^"[0-9a-f]{32}"$/);
    assert.equal((await jwks(b, 'byhand')).headers.etag, first.headers.etag, 'every instance says the same');
    for (const match of [first.headers.etag, `"other", W/${first.headers.etag}`, '*']) {
      const again = await jwks(a, 'byhand', { 'if-none-match': match });
      assert.deepEqual([again.status, again.body, again.headers.etag], [304, '', first.headers.etag]);
    }
    assert.equal((await jwks(a, 'byhand', { 'if-none-match': '"other"' })).status, 200);
  });
});

describe('a rotation on schedule', () => {
  test('refuses no token, on either instance or with jose, while the algorithm changes too', async (t) => {
    const realm = 'turning';
    const remote = createRemoteJWKSet(new URL(`http://127.0.0.1:${b.port}/realms/${realm}/.well-known/jwks.json`), { cooldownDuration: 200, cacheMaxAge: 60_000 });
    const seen = { tokens: 0, verified: 0, outside: 0, kids: new Set(), algs: new Set(), refused: [] };
    let running = true;
    const sessions = await Promise.all(Array.from({ length: 4 }, (_, i) => w.session(i + 1, { realm })));
    const alive = []; // tokens not expired yet
    const check = async (jwt) => {
      const { claims, header } = decodeJwt(jwt);
      for (const i of [a, b]) {
        if (claims.exp * 1000 < Date.now() + 300) return;
        const r = await i.verify({ realm, bearer: jwt });
        if (r.status !== 200) seen.refused.push([i.name, header, r.status, r.headers['www-authenticate']]);
        seen.verified++;
      }
      if (header.alg === 'HS256' || claims.exp * 1000 < Date.now() + 300) return;
      await jwtVerify(jwt, remote, { issuer: 'https://login.example', audience: AUDIENCE, typ: 'at+jwt' }).catch((e) => seen.refused.push(['jose', header, e.code]));
      seen.outside++;
    };
    const mint = async (i, s) => {
      while (running) {
        const r = await i.exchange(s);
        if (r.status !== 200) {
          seen.refused.push([i.name, 'exchange', r.status, r.body]);
          continue;
        }
        const jwt = r.json().access_token;
        const { header } = decodeJwt(jwt);
        seen.tokens++;
        seen.kids.add(header.kid);
        seen.algs.add(header.alg);
        alive.push(jwt);
        while (alive.length > 40) alive.shift();
        await check(jwt);
        await check(alive[Math.floor(alive.length * Math.random())]);
        checkJwks(await jwks(i, realm));
        await sleep(10);
      }
    };
    const clients = [mint(a, sessions[0]), mint(b, sessions[1])];
    // Two by age; then another algorithm by configuration, one instance after the other.
    await until('three keys to have signed', () => seen.kids.size >= 3, 15_000);
    const other = w.write('eddsa.yaml', { ...w.config, realms: { ...w.config.realms, [realm]: { ...w.config.realms[realm], token: { ...token, alg: 'Ed25519' }, keys: { rotate_every: '0s', publish_ahead: '5s' } } } });
    const c = await w.serve('c', { config: other });
    const third = mint(c, sessions[2]);
    await until('EdDSA', () => seen.algs.has('EdDSA'), 10_000);
    running = false;
    await Promise.all([...clients, third]);
    await c.stop();
    t.diagnostic(`${seen.tokens} tokens by ${seen.kids.size} keys (${[...seen.algs]}), ${seen.verified} verified here, ${seen.outside} by jose, ${seen.refused.length} refused`);
    assert.deepEqual(seen.refused.slice(0, 5), []);
    assert.ok(seen.kids.size >= 4);
    for (const e of await journal(realm)) assert.ok(e.action === 'init-key' || /^schedule of [abc]$/.test(e.actor), JSON.stringify(e));
    const rows = await w.control(`SELECT state, (private_sealed IS NULL)::int FROM segue_control.signing_key WHERE realm = '${realm}'`);
    assert.ok(rows.includes('retired|1'), 'private halves of retired keys are gone');
    assert.ok(!rows.includes('retired|0'));
  });
});
