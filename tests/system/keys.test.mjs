// SPDX-License-Identifier: MIT
// Signing keys: rotated on a schedule and by command with no token refused (P6), sealed, revoked, never shown.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';

import { run } from '../lib/proc.mjs';
import { segue } from '../lib/paths.mjs';
import { AUDIENCE, JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const token = { lifetime: '20s', leeway: '0s' };
let w, a, b;

before(async () => {
  w = await startWorld({
    main: { time_scale: 0.1 }, // of lifetimes: a token lives 2 s, a key is published 1 s ahead
    realms: {
      turning: { token, keys: { rotate_every: '20s', publish_ahead: '10s' } },
      byhand: { token, keys: { rotate_every: '0s', publish_ahead: '5s' } },
      secret: { token: { alg: 'HS256' } },
    },
  });
  // To the instances a pending key of `byhand` is never due, so that their schedule stays out of what the commands do.
  const { byhand } = w.config.realms;
  const config = w.write('serve.yaml', { ...w.config, realms: { ...w.config.realms, byhand: { ...byhand, keys: { ...byhand.keys, publish_ahead: '1h' } } } });
  [a, b] = await Promise.all([w.serve('a', { config }), w.serve('b', { config })]);
  for (const realm of w.realms) await w.policy(realm, { phase: 'exchange', percent: 100 });
});
after(() => w?.stop());

const keys = (what, realm, ...args) => w.run(`keys ${what}`, '--realm', realm, ...args);
const done = (r) => {
  assert.equal(r.code, 0, r.stderr);
  return r;
};
const refused = async (text, r) => {
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
    assert.equal((await jwks(a, 'turning')).headers['cache-control'], 'public, max-age=0'); // half of 1 s, in whole seconds
    assert.equal((await jwks(a, 'secret')).headers['cache-control'], 'public, max-age=180'); // half of the default hour, scaled
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
    const old = (await a.exchange(sessions[3])).json().access_token;
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
    // A browser that comes back after two rotations holds a token of a retired key: it is renewed, not logged out (P1).
    const kid = decodeJwt(old).header.kid;
    await until('its key to be retired', async () => (await byKid(realm, kid)).state === 'retired');
    assert.ok(!checkJwks(await jwks(a, realm)).keys.some((k) => k.kid === kid));
    for (const i of [a, b]) {
      const back = await i.verify({ realm, cookies: { [JWT_COOKIE]: old } });
      assert.deepEqual([back.status, back.subject], [200, '4']);
      assert.notEqual(decodeJwt(back.handed).header.kid, kid);
      assert.equal((await i.verify({ realm, bearer: old })).status, 401, 'expired it is all the same');
    }
    for (const e of await journal(realm)) assert.ok(e.action === 'init-key' || /^schedule of [abc]$/.test(e.actor), JSON.stringify(e));
    const rows = await w.control(`SELECT state, (private_sealed IS NULL)::int FROM segue_control.signing_key WHERE realm = '${realm}'`);
    assert.ok(rows.includes('retired|1'), 'private halves of retired keys are gone');
    assert.ok(!rows.includes('retired|0'));
  });
});

describe('by command', () => {
  const realm = 'byhand';
  let first, next;

  test('a new key is published and does not sign until every instance and every copy of the JWKS can know it', async (t) => {
    first = await active(realm);
    const began = Date.now();
    next = JSON.parse(done(await keys('add', realm, '--alg', 'RS256', '--why', 'a drill', '--json')).stdout);
    assert.deepEqual([next.state, next.instances, next.behind], ['pending', 2, '']);
    await refused(/published [\d.]+ s ago, and copies of the JWKS may be without it for/, await keys(`activate ${next.kid}`, realm));
    for (const i of [a, b]) assert.ok(checkJwks(await jwks(i, realm)).keys.some((k) => k.kid === next.kid), 'pending keys are published');
    t.diagnostic(`heard of by all: ${await w.control(`SELECT round(extract(epoch FROM max(i.keys_at) - k.created_at) * 1000) FROM segue_control.instance i, segue_control.signing_key k
      WHERE i.realm = '${realm}' AND k.realm = i.realm AND k.kid = '${next.kid}' GROUP BY k.created_at`)} ms after it was stored (the command took ${Date.now() - began} ms)`);
    await refused(/is pending already/, await keys('add --alg RS256', realm));
    await sleep(600);
    await w.control(`INSERT INTO segue_control.instance (instance, realm, policy_version) VALUES ('ghost', '${realm}', 1)`);
    await refused(/instance ghost, seen .* ago, has not loaded it/, await keys(`activate ${next.kid}`, realm));
    await w.control(`UPDATE segue_control.instance SET unopened = '{${next.kid}}', seen_at = clock_timestamp() WHERE instance = 'ghost'`);
    await refused(/instance ghost cannot open it: its keyring lacks the key k1/, await keys(`activate ${next.kid}`, realm));
    await w.control("DELETE FROM segue_control.instance WHERE instance = 'ghost'");
  });
  test('a dry run says what would be and changes nothing', async () => {
    const rows = () => w.control(`SELECT md5(string_agg(k::text, ',' ORDER BY kid)) || (SELECT count(*) FROM segue_control.journal WHERE realm = '${realm}') FROM segue_control.signing_key k WHERE realm = '${realm}'`);
    const was = await rows();
    for (const what of [`activate ${next.kid}`, `retire ${next.kid}`, `revoke ${first.kid} --why x`, 'reseal', 'rotate']) done(await keys(what, realm, '--dry-run'));
    assert.equal(await rows(), was);
  });
  test('a key made active takes the former one out of use, journaled, with one that signs at any time', async () => {
    const s = await w.session(7, { realm });
    const before = (await a.exchange(s)).json().access_token;
    const said = JSON.parse(done(await keys(`activate ${next.kid}`, realm, '--why', 'CHG-9', '--json')).stdout);
    assert.deepEqual([said.state, said.behind], ['active', '']);
    for (const i of [a, b]) {
      const { header } = decodeJwt((await i.exchange(s)).json().access_token);
      assert.deepEqual([header.kid, header.alg], [next.kid, 'RS256'], 'all sign with it when the command ends');
      assert.equal((await i.verify({ realm, bearer: before })).status, 200);
    }
    const entries = (await journal(realm)).filter((e) => e.why === 'CHG-9').map((e) => [e.action, e.to.kid, e.from.state, e.to.state]);
    assert.deepEqual(entries, [['key-retiring', first.kid, 'active', 'retiring'], ['key-activate', next.kid, 'pending', 'active']]);
  });
  test('a key is not retired while tokens it signed live, nor while it signs', async () => {
    await refused(/cannot become retired yet: tokens it signed may live for [\d.]+ s more/, await keys(`retire ${first.kid}`, realm));
    await refused(/signs: make another one active first/, await keys(`retire ${next.kid}`, realm));
    await refused(/signs: make another one active first|is active: it cannot become active/, await keys(`activate ${next.kid}`, realm));
    await refused(/has no key nothing/, await keys('retire nothing', realm));
    for (const wrong of ['retire', 'list x', 'revoke x', 'activate x --now']) assert.equal((await keys(wrong, realm)).code, 2, wrong);
  });
  test('a rotation is undone by activating the former key again', async () => {
    done(await keys(`activate ${first.kid}`, realm));
    assert.deepEqual([(await active(realm)).kid, (await byKid(realm, next.kid)).state], [first.kid, 'retiring']);
  });
  test('a compromised key stops counting everywhere within a second; sessions go on', async (t) => {
    const [s, browser] = [await w.session(8, { realm }), await w.session(9, { realm })];
    const jwt = (await b.exchange(s)).json();
    const cookie = (await a.verify({ realm, cookies: { [LEGACY_COOKIE]: browser.cookie } })).handed;
    assert.equal(decodeJwt(jwt.access_token).header.kid, first.kid);
    const began = Date.now();
    const said = JSON.parse(done(await keys(`revoke ${first.kid}`, realm, '--why', 'INC-7', '--json')).stdout);
    t.diagnostic(`revoked and confirmed by ${said.instances} instances in ${Date.now() - began} ms`);
    assert.ok(Date.now() - began < 1000);
    for (const i of [a, b]) {
      assert.equal((await i.verify({ realm, bearer: jwt.access_token })).status, 401);
      const both = await i.verify({ realm, cookies: { [JWT_COOKIE]: cookie, [LEGACY_COOKIE]: browser.cookie } });
      assert.deepEqual([both.status, both.subject], [200, '9']);
      assert.ok(!checkJwks(await jwks(i, realm)).keys.some((k) => k.kid === first.kid));
    }
    const renewed = (await b.refresh(jwt.refresh_token, { realm })).json();
    assert.equal((await a.verify({ realm, bearer: renewed.access_token })).status, 200);
    // Whoever has the key can write expired tokens too: none is renewed.
    await sleep(2100);
    assert.equal((await a.verify({ realm, cookies: { [JWT_COOKIE]: cookie } })).subject, '');
    assert.deepEqual([(await byKid(realm, first.kid)).compromised, (await byKid(realm, first.kid)).state], [true, 'retired']);
  });
  test('a crash while a key is made leaves the schedule to the others', async () => {
    const file = w.write('es.yaml', { ...w.config, realms: { ...w.config.realms, [realm]: { ...w.config.realms[realm], token: { ...token, alg: 'EdDSA' } } } });
    const d = await w.serve('d', { faults: 'keys.before_add=kill', config: file });
    await d.ended;
    await w.control("DELETE FROM segue_control.instance WHERE instance = 'd'"); // it counts for 5 s at least, or as long as a key is published ahead
    assert.equal((await list(realm)).filter((k) => k.alg === 'EdDSA').length, 0);
    const e = await w.serve('e', { config: file });
    await until('EdDSA to sign', async () => (await active(realm))?.alg === 'EdDSA');
    await e.stop();
  });
});

describe('HS256', () => {
  const realm = 'secret';
  test('tokens are good at every instance, and the secret is nowhere', async () => {
    const s = await w.session(11, { realm });
    const jwt = (await a.exchange(s)).json().access_token;
    assert.equal(decodeJwt(jwt).header.alg, 'HS256');
    for (const i of [a, b]) {
      assert.deepEqual([(await i.verify({ realm, bearer: jwt })).subject, checkJwks(await jwks(i, realm)).keys], ['11', []]);
    }
    assert.equal(await w.control(`SELECT count(*) FROM segue_control.signing_key WHERE alg = 'HS256' AND public_jwk IS NULL AND private_sealed IS NOT NULL`), '1');
    const [k] = await list(realm);
    assert.deepEqual(Object.keys(k).sort(), ['alg', 'compromised', 'for', 'instances', 'kid', 'sealed_with', 'state']);
    const next = JSON.parse(done(await keys('rotate', realm, '--json')).stdout);
    assert.equal(next.state, 'pending');
    await until('it to sign', async () => (await active(realm)).kid === next.kid, 3000); // nobody has a copy of a JWKS to wait for
    for (const i of [a, b]) assert.equal((await i.verify({ realm, bearer: jwt })).status, 200);
    await refused(/tokens it signed may live for/, await keys(`retire ${k.kid}`, realm));
    assert.match(done(await keys('list', realm)).stdout, /resource servers introspect/);
  });
});

describe('the keyring', () => {
  const realm = 'secret';
  const rings = {};
  const config = (name, keyring) => w.write(name, { ...w.config, segue: { ...w.config.segue, keyring } });
  const withRing = (what, file, env = {}) => run(segue, [...`keys ${what}`.split(' '), '--config', file, '--realm', 'byhand'], { env: { ...process.env, ...env } });

  before(() => {
    const [root, k1] = w.keys;
    const k2 = 'ab'.repeat(32);
    w.keep('ring2', `root:${root}\nk2:${k2}\nk1:${k1}\n`);
    w.keep('keyring-k1-first', `root:${root}\nk1:${k1}\nk2:${k2}\n`);
    w.keep('ring-foreign', `root:${'cd'.repeat(32)}\nk1:${k1}\nk2:${k2}\n`);
    rings.text = `root:${root},k2:${k2},k1:${k1}`;
    w.secrets.add(k2);
  });

  test('with a new first key seals the signing keys again, from a file or the environment', async () => {
    const file = config('ring2.yaml', 'ring2');
    const sealed = (id) => w.total(`SELECT count(*) FROM segue.session WHERE realm = 'byhand' AND ended_at IS NULL AND handle IS NOT NULL
      AND convert_from(substring(handle FROM 3 FOR 2), 'UTF8') = '${id}' AND convert_from(substring(record FROM 3 FOR 2), 'UTF8') = '${id}'`);
    assert.equal((await a.exchange(await w.session(10, { realm: 'byhand' }))).status, 200);
    const before = await sealed('k1');
    assert.ok(before > 0);
    const said0 = JSON.parse(done(await withRing('reseal --json --why yearly', file)).stdout);
    assert.deepEqual([said0.rows, said0.lost, await sealed('k1'), await sealed('k2')], [before, 0, 0, before]);
    assert.equal(JSON.parse(done(await withRing('reseal --json', file)).stdout).rows, 0, 'a second time there is nothing left');
    const rows = await w.control("SELECT DISTINCT sealed_with FROM segue_control.signing_key WHERE realm = 'byhand' AND state <> 'retired'");
    assert.equal(rows, 'k2');
    const env = config('env.yaml', '${SEGUE_TEST_RING}');
    const said = done(await withRing('list --json', env, { SEGUE_TEST_RING: rings.text }));
    assert.ok(JSON.parse(said.stdout).every((k) => k.unopened === undefined));
    assert.match((await withRing('list', env)).stderr, /environment variable SEGUE_TEST_RING: is not set/);
  });

  test('without the key that sealed them: told by name, verified by public halves, sessions pass', async () => {
    const realms = { realm: 'byhand' };
    const s = await w.session(12, realms);
    const jwt = (await a.exchange(s)).json().access_token;
    const file = path.join(w.dir, 'segue.yaml'); // its keyring has k1 alone
    const lost = await w.serve('lost', { ready: false, config: file });
    await until('it to say so', async () => /signing key \S+ cannot be opened: .*sealed with key 'k2', which is not in the keyring: add it back/.test((await lost.request('GET', '/readyz')).body));
    assert.deepEqual([(await lost.verify({ ...realms, bearer: jwt })).subject, (await lost.exchange(s)).status], ['12', 503]);
    const legacy = await lost.verify({ ...realms, cookies: { [LEGACY_COOKIE]: s.cookie } });
    assert.deepEqual([legacy.status, legacy.credential, legacy.handed], [200, 'legacy', undefined]);
    assert.deepEqual(checkJwks(await jwks(lost, 'byhand')).keys.map((k) => k.kid).sort(), checkJwks(await jwks(a, 'byhand')).keys.map((k) => k.kid).sort());
    const told = lost.log().split('\n').filter((l) => l.includes('a signing key cannot be opened')).map((l) => / key (\S+): /.exec(l)[1]);
    assert.ok(told.length > 0);
    assert.equal(new Set(told).size, told.length, 'told once a key');
    assert.match(done(await withRing('list', file)).stdout, /CANNOT BE OPENED: sealed with key 'k2'/);
    const other = JSON.parse(done(await withRing('add --alg HS256 --json', config('ring2.yaml', 'ring2'))).stdout);
    await refused(/instance (a|b|lost) cannot open it: its keyring lacks the key k2/, await withRing(`activate ${other.kid}`, config('ring2.yaml', 'ring2')));
    const blind = JSON.parse(done(await run(segue, ['keys', 'reseal', '--dry-run', '--json', '--config', file, '--realm', 'secret'])).stdout);
    assert.equal(blind.lost, 0);
    // Sealed again with a key it has, it opens them without a restart.
    done(await withRing('reseal', config('back.yaml', 'keyring-k1-first')));
    await until('it to be ready', async () => (await lost.request('GET', '/readyz')).status === 200);
    await lost.stop();
  });

  test('with another root is refused before it makes strangers of everybody', async () => {
    const file = config('foreign.yaml', 'ring-foreign');
    await refused(/its root is not the one realm byhand was laid out with/, await withRing('rotate', file));
    await refused(/its root is not the one realm byhand was laid out with/, await run(segue, ['transfer', 'run', '--config', file, '--realm', 'byhand']));
    const refs = () => w.total('SELECT count(*) FROM segue.token_ref');
    const was = await refs();
    const foreign = await w.serve('foreign', { ready: false, config: file });
    const s = await w.session(13, { realm });
    await until('it to say so', async () => /another root than the one this realm was laid out with/.test((await foreign.request('GET', '/readyz')).body));
    assert.equal((await foreign.verify({ realm, cookies: { [LEGACY_COOKIE]: s.cookie } })).status, 503);
    assert.equal((await foreign.exchange(s)).status, 503);
    assert.equal(await refs(), was);
    await foreign.stop();
  });
});

test('no key, token or secret stands in a log, a metric or a table', async () => {
  assert.deepEqual(await w.leaks(), []);
  assert.ok(readFileSync(path.join(w.dir, 'keyring')).length > 0);
});
