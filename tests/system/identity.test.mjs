// SPDX-License-Identifier: MIT
// Roles and custom claims from the user's own database, over SQL and over HTTP: what is minted, and what is not when the source is
// down or makes no sense. Never more rights than were last known.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { root, segue } from '../lib/paths.mjs';
import { run } from '../lib/proc.mjs';
import { LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { until } from '../lib/wait.mjs';

const TIMEOUT_MS = 500;
const claims = {
  tenant: { path: 'org.id', type: 'string', required: true },
  level: { type: 'int' },
  beta: { path: 'flags.beta', type: 'bool' },
  'https://example.com/profile': { path: 'profile', type: 'json' },
};

// ---- a user service ----

const people = new Map();
let broken = null; // (res, answer) of every lookup
const asked = [];
const users = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://x');
  asked.push({ url: req.url, authorization: req.headers.authorization });
  const json = (status, body) => res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  const id = decodeURIComponent(url.pathname.split('/').pop());
  const who = people.get(id);
  const answer = who && { data: who };
  if (broken) return broken(res, answer);
  return answer ? json(200, answer) : json(404, { error: 'unknown' });
});
const put = (id, over = {}) =>
  people.set(String(id), {
    user: { id }, enabled: true, roles: ['user', 'clerk'], rights: ['read'], rev: (people.get(String(id))?.rev ?? 0) + 1, extra: { org: { id: 'acme' }, level: 7 }, ...over,
  });

// The same over TLS, with a certificate of an authority of its own.
let tls;
async function startTls() {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sg-tls-'));
  const openssl = async (...args) => {
    const r = await run('openssl', args, { cwd: dir });
    assert.equal(r.code, 0, r.stderr);
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=test', '-days', '2'];
  await openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem');
  await openssl('req', '-x509', ...key, '-keyout', 'key.pem', '-out', 'cert.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE');
  const read = (name) => readFileSync(path.join(dir, name));
  tls = https.createServer({ key: read('key.pem'), cert: read('cert.pem') }, (req, res) => users.emit('request', req, res));
  await new Promise((done) => tls.listen(0, '127.0.0.1', done));
  const ca = read('ca.pem').toString();
  rmSync(dir, { recursive: true });
  return { port: tls.address().port, ca };
}

let w, a;
before(async () => {
  await new Promise((done) => users.listen(0, '127.0.0.1', done));
  const { port, ca } = await startTls();
  const identity = (when_down, base = `http://127.0.0.1:${users.address().port}`) => ({
    source: 'http', url: `${base}/v1/users/{subject}`, lookup: null, changes: null, when_down, timeout: `${TIMEOUT_MS}ms`, bearer_file: 'users-token',
    paths: { subject: 'data.user.id', active: 'data.enabled', roles: 'data.roles', permissions: 'data.rights', version: 'data.rev', attributes: 'data.extra' }, claims,
  });
  const sql = (when_down) => ({ lookup: 'SELECT * FROM said($1)', when_down, timeout: `${TIMEOUT_MS}ms`, claims });
  w = await startWorld({
    users: 300, init: false,
    realms: { main: { identity: sql('refuse') }, known: { identity: sql('last_known') }, http: { identity: identity('refuse') }, httpknown: { identity: identity('last_known') },
      https: { identity: { ...identity('refuse', `https://127.0.0.1:${port}`), ca_file: 'users-ca.pem' } },
      httpsystem: { identity: identity('refuse', `https://127.0.0.1:${port}`) },
      httpsname: { identity: { ...identity('refuse', `https://localhost:${port}`), ca_file: 'users-ca.pem' } },
    },
  });
  w.keep('users-ca.pem', ca);
  w.keep('users-token', 'sesame-open-up-now-please\n');
  w.secrets.add('sesame-open-up-now-please');
  const init = await w.run('init');
  assert.equal(init.code, 0, init.stderr);
  await w.app(`ALTER TABLE users ADD COLUMN attributes jsonb NOT NULL DEFAULT '{"org": {"id": "acme"}, "level": 7}'`);
  await say();
  a = await w.serve('a');
  for (const realm of w.realms) {
    await w.proveContinuity(realm);
    await w.policy(realm, { phase: 'exchange', percent: 100 });
  }
});
after(async () => {
  await w?.stop();
  for (const server of [users, tls]) {
    server?.closeAllConnections();
    server?.close();
  }
});

/** What the SQL source answers: columns of users u, and where they come from. */
const say = (columns = 'u.id::text, u.active, u.roles, u.permissions, u.version, u.attributes', rest = 'FROM users u WHERE u.id = who::bigint') =>
  w.app(`CREATE OR REPLACE FUNCTION said(who text) RETURNS TABLE (subject text, active boolean, roles text[], permissions text[], version bigint, attributes jsonb)
    LANGUAGE sql AS $$ SELECT ${columns} ${rest} $$`);

let next = 1;
/** A subject that both kinds of source know, with its session in the realm. */
async function person(realm, over) {
  const id = next++;
  put(id, over);
  return { id, s: await w.session(String(id), { realm }) };
}
const page = (s) => a.verify({ realm: s.realm, cookies: { [LEGACY_COOKIE]: s.cookie } });
const claimsOf = (answer) => {
  assert.equal(answer.status, 200, answer.body);
  return decodeJwt(answer.json().access_token).claims;
};

describe('custom claims', () => {
  const set = (id, attributes, more = '') => w.app(`UPDATE users SET attributes = '${JSON.stringify(attributes)}'${more} WHERE id = ${id}`);

  test('are minted from the attributes, by their paths and types', async () => {
    const { id, s } = await person('main');
    await set(id, { org: { id: 'acme' }, level: -3, flags: { beta: false }, profile: { a: [1, { b: null }], 'é': 'ü"\\' }, secret: 'x' });
    const c = claimsOf(await a.exchange(s));
    assert.deepEqual([c.tenant, c.level, c.beta, c['https://example.com/profile']], ['acme', -3, false, { a: [1, { b: null }], 'é': 'ü"\\' }]);
    assert.equal(JSON.stringify(c).includes('secret'), false);
  });
  test('that are optional are left out where they are absent, null or of another type', async () => {
    const { id, s } = await person('main');
    for (const attributes of [{}, { level: null, flags: null }, { level: '7', flags: { beta: 1 } }, { level: 7.5, flags: 'beta' }, { level: { n: 7 }, flags: [true] }]) {
      await set(id, { org: { id: 'acme' }, ...attributes });
      const c = claimsOf(await a.exchange(s));
      assert.equal(c.tenant, 'acme');
      for (const name of ['level', 'beta', 'https://example.com/profile']) assert.equal(name in c, false, name);
    }
  });
  test('that are required and do not fit: no token, and a legacy session stays what it is', async () => {
    const { id, s } = await person('main');
    const held = (await a.exchange(s)).json();
    for (const attributes of [{}, { org: { id: null } }, { org: { id: 7 } }, { org: 'acme' }, { org: { id: { $gt: '' } } }]) {
      await set(id, attributes);
      const again = await a.exchange(s);
      assert.equal(again.status, 503, again.body);
      assert.match(again.json().error_description, /required claim/);
      assert.equal((await a.refresh(held.refresh_token, { realm: s.realm })).status, 503);
      const seen = await page(s);
      assert.deepEqual([seen.status, seen.subject, seen.roles, seen.jwt, seen.handed], [200, String(id), 'user', '', undefined]);
    }
    await set(id, { org: { id: 'back' } });
    const fresh = await a.refresh(held.refresh_token, { realm: s.realm });
    assert.equal(claimsOf(fresh).tenant, 'back');
    assert.match(a.log(), /claim 'tenant' is required: the attribute 'org.id' is not there/);
  });
  test('never outgrow their bounds or nest deeper than a verifier takes', async () => {
    const { id, s } = await person('main');
    const nested = (n) => (n ? { n: nested(n - 1) } : 1);
    for (const [profile, there] of [[nested(5), true], [nested(6), false], ['x'.repeat(1500), true]]) {
      await set(id, { org: { id: 'acme' }, profile });
      const answer = await a.exchange(s);
      assert.equal('https://example.com/profile' in claimsOf(answer), there);
      assert.equal((await a.verify({ realm: s.realm, bearer: answer.json().access_token })).status, 200);
    }
    await set(id, { org: { id: 'acme' }, profile: 'x'.repeat(2100) });
    assert.equal((await a.exchange(s)).status, 503); // larger than attributes may be: no answer
  });
  test('do not go upstream in an old token once they have changed', async () => {
    const { id, s } = await person('main');
    const { access_token } = (await a.exchange(s)).json();
    const bucket = (await w.everyShard(`SELECT bucket FROM segue.subject WHERE realm = 'main' AND subject = '${id}'`))[0][0];
    const shard = Number(bucket) < 2048 ? 0 : 1;
    const change = (attributes, version) =>
      w.shard(shard, `BEGIN; UPDATE segue.subject SET attributes = '${attributes}', source_version = ${version} WHERE subject = '${id}' AND realm = 'main';
        INSERT INTO segue.revocation (realm, bucket, kind, subject, status, epoch, source_version, roles, permissions, attributes)
        SELECT realm, bucket, 'subject', subject, status, epoch, source_version, roles, permissions, attributes FROM segue.subject WHERE subject = '${id}' AND realm = 'main'; COMMIT`);
    await change('{"org": {"id": "other"}}', 5);
    const seen = await until('the new claim upstream', async () => {
      const v = await a.verify({ realm: s.realm, bearer: access_token });
      return v.jwt !== access_token && v;
    }, 2000);
    assert.equal(decodeJwt(seen.jwt).claims.tenant, 'other');
    await change('{}', 6); // nothing that the required claim could be made of
    const none = await until('no token upstream', async () => {
      const v = await a.verify({ realm: s.realm, bearer: access_token });
      return v.jwt === '' && v;
    }, 2000);
    assert.deepEqual([none.status, none.subject], [200, String(id)]);
  });
});

describe('the source http', () => {
  test('is asked with the subject escaped and the credentials of the file', async () => {
    const odd = 'a/b?c=d#e%2F ü&{subject}';
    people.set(odd, { ...put(0).get('0'), user: { id: odd } });
    const s = await w.session(odd, { realm: 'http' });
    asked.length = 0;
    const c = claimsOf(await a.exchange(s));
    assert.deepEqual([c.sub, c.roles, c.permissions, c.tenant], [odd, ['user', 'clerk'], ['read'], 'acme']);
    assert.deepEqual([...new Set(asked.map((q) => q.url))], [`/v1/users/${encodeURIComponent(odd)}`]);
    assert.deepEqual([...new Set(asked.map((q) => q.authorization))], ['Bearer sesame-open-up-now-please']);
  });
  test('says by 404 that there is no such subject, and by active that one is banned', async () => {
    const { id, s } = await person('http');
    people.delete(String(id));
    assert.equal((await a.exchange(s)).json().error, 'invalid_grant');
    put(id, { enabled: false });
    assert.equal((await a.exchange(s)).json().error, 'invalid_grant');
    put(id, { rev: 3 });
    assert.equal((await a.exchange(s)).status, 200);
  });
  test('is trusted over TLS only with a certificate of the configured authority, for the name in the URL', async () => {
    const got = async (realm) => (await a.exchange((await person(realm)).s)).status;
    assert.deepEqual([await got('https'), await got('httpsystem'), await got('httpsname')], [200, 503, 503]);
    assert.match(a.log(), /identity source of httpsystem.*certificate/i);
  });
  test('is asked at most so often at once, over connections that are kept', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => person('http')));
    const sockets = new Set();
    let now = 0, most = 0;
    broken = (res, answer) => {
      sockets.add(res.socket);
      most = Math.max(most, ++now);
      setTimeout(() => {
        now--;
        res.writeHead(200).end(JSON.stringify(answer));
      }, 5);
    };
    const answers = await Promise.all(all.map(({ s }) => a.exchange(s)));
    broken = null;
    assert.deepEqual([...new Set(answers.map((r) => r.status))], [200]);
    assert.ok(most <= 4 && sockets.size <= 5, `${most} at once over ${sockets.size} connections`);
  });
});

// ---- down, or nonsense ----

const http_ = (over) => (res, answer) => res.writeHead(200).end(JSON.stringify({ data: { ...answer.data, ...over } }));
const many = Array.from({ length: 65 }, (_, i) => `role${i}`);
const cases = {
  http: {
    'that refuses connections': (res) => res.socket.resetAndDestroy(),
    'that hangs': () => {},
    'that answers 500': (res) => res.writeHead(500).end('{}'),
    'that answers 401': (res) => res.writeHead(401).end('{}'),
    'that redirects': (res) => res.writeHead(302, { location: '/v1/users/1' }).end(),
    'that answers no JSON': (res) => res.writeHead(200).end('<html>502 Bad Gateway</html>'),
    'that answers a member twice': (res, answer) => res.writeHead(200).end(JSON.stringify(answer).replace('"roles":', '"roles":["admin"],"roles":')),
    'with too many roles': http_({ roles: many }),
    'with a control character in a role': http_({ roles: ['user', 'ad\nmin'] }),
    'with an empty role': http_({ roles: ['user', ''] }),
    'with roles as a string': http_({ roles: 'admin' }),
    'with a number among the roles': http_({ roles: ['admin', 1] }),
    'without roles': http_({ roles: undefined }),
    'with active as a word': http_({ enabled: 'true', roles: ['admin'] }),
    'with a version that is no number': http_({ rev: '99', roles: ['admin'] }),
    'with a version that goes backwards': http_({ rev: 0, roles: ['admin'] }),
    'about another subject': http_({ user: { id: 999_999 }, roles: ['admin'] }),
    'cut short': (res, answer) => {
      const text = JSON.stringify(answer);
      res.writeHead(200, { 'content-length': text.length });
      res.write(text.slice(0, -10));
      setTimeout(() => res.socket.destroy(), 10);
    },
    'that drips': (res, answer) => {
      const text = JSON.stringify(answer);
      res.writeHead(200, { 'content-length': text.length });
      let i = 0;
      const drip = setInterval(() => (i < text.length && !res.destroyed ? res.write(text[i++]) : clearInterval(drip)), 40);
    },
    'of endless size': (res) => {
      res.writeHead(200);
      const more = () => !res.destroyed && res.write(`"${'x'.repeat(20_000)}",`, () => setTimeout(more, 1));
      res.write('[');
      more();
    },
    'with endless headers': (res) => res.writeHead(200, Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`x-${i}`, 'y'.repeat(1000)]))).end('{}'),
  },
  sql: {
    'that is locked': ["u.id::text, true, ARRAY['admin'], ARRAY['all'], 99::bigint, '{}'::jsonb", 'FROM users u, pg_sleep(1) WHERE u.id = who::bigint'],
    'that fails': ["who, true, ARRAY['admin'], ARRAY['all'], 1 / (length(who) - length(who))::bigint, '{}'::jsonb", ''],
    'with too many roles': [`u.id::text, true, '{${many}}'::text[], '{}'::text[], 99::bigint, u.attributes`],
    'with a control character in a role': ["u.id::text, true, ARRAY[E'ad\\nmin'], '{}'::text[], 99::bigint, u.attributes"],
    'with NULL among the roles': ["u.id::text, true, ARRAY['admin', NULL], '{}'::text[], 99::bigint, u.attributes"],
    'with active NULL': ["u.id::text, NULL::boolean, ARRAY['admin'], '{}'::text[], 99::bigint, u.attributes"],
    'with the version NULL': ["u.id::text, true, ARRAY['admin'], '{}'::text[], NULL::bigint, u.attributes"],
    'with a version that goes backwards': ["u.id::text, true, ARRAY['admin'], '{}'::text[], 0::bigint, u.attributes"],
    'about another subject': ["(u.id + 1)::text, true, ARRAY['admin'], '{}'::text[], 99::bigint, u.attributes"],
    'of two rows': ["u.id::text, true, ARRAY['admin'], '{}'::text[], 99::bigint, u.attributes", 'FROM users u, generate_series(1, 2) WHERE u.id = who::bigint'],
    'with attributes that are no object': ["u.id::text, true, ARRAY['admin'], '{}'::text[], 99::bigint, '[1]'::jsonb"],
  },
};

for (const [kind, realms] of [['http', ['http', 'httpknown']], ['sql', ['main', 'known']]])
  describe(`a source ${kind}`, () => {
    const held = {};
    const roles = { http: ['user', 'clerk'], sql: ['user'] }[kind];
    before(async () => {
      for (const realm of realms) {
        const p = await person(realm, { rev: 5 });
        if (kind === 'sql') await w.app(`UPDATE users SET name = name || 'x' WHERE id = ${p.id}`); // its version grows
        const first = await a.exchange(p.s);
        assert.equal(first.status, 200, first.body);
        // What is last known is what the follower stored; here the test does.
        const version = decodeJwt(first.json().access_token).claims.rv;
        for (let i = 0; i < 2; i++)
          await w.shard(i, `UPDATE segue.subject SET roles = '{${roles}}', permissions = '{read}', source_version = ${version}, attributes = '{"org": {"id": "acme"}}' WHERE realm = '${realm}' AND subject = '${p.id}'`);
        held[realm] = { ...p, refresh: first.json().refresh_token, jwt: first.json().access_token };
      }
    });
    for (const [name, how] of Object.entries(cases[kind]))
      test(`${name}: no first token; renewals as when_down says, and never with more rights`, async () => {
        try {
          if (kind === 'http') broken = how;
          else await say(...how);
          for (const realm of realms) {
            const h = held[realm];
            const [exchanged, renewed, seen] = await Promise.all([a.exchange(h.s), a.refresh(h.refresh, { realm }), page(h.s)]);
            assert.equal(exchanged.status, 503, exchanged.body);
            assert.deepEqual([seen.status, seen.subject, seen.handed], [200, String(h.id), undefined]);
            assert.ok(['', roles.join(',')].includes(seen.roles), seen.roles); // what was read a second ago may still be said
            if (realm.endsWith('known')) {
              const c = claimsOf(renewed);
              assert.deepEqual([c.roles, c.permissions, c.tenant], [roles, ['read'], 'acme']);
              h.refresh = renewed.json().refresh_token;
            } else assert.equal(renewed.status, 503, renewed.body);
            assert.equal((await a.verify({ realm, bearer: h.jwt })).roles, roles.join(','));
          }
        } finally {
          broken = null;
          if (kind === 'sql') await say();
        }
        for (const realm of realms) assert.equal((await a.exchange(held[realm].s)).status, 200);
      });
    test('and what it said wrong is nowhere on the shards', async () => {
      assert.equal(await w.total(`SELECT count(*) FROM segue.subject WHERE 'admin' = ANY (roles) OR source_version > 50`), 0);
    });
  });

test('the example of deploy/ is a configuration', async () => {
  const example = readFileSync(path.join(root, 'deploy/identity/http.yaml'), 'utf8');
  w.keep('users-webhook-secret', 'x\n');
  const { identity: _, ...realm } = w.config.realms.http;
  const keys = Object.entries(realm).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}\n`).join('');
  const file = path.join(w.dir, 'example.yaml');
  writeFileSync(file, `segue: ${JSON.stringify(w.config.segue)}\nrealms:\n  http:\n${keys}${example.replace(/^(?=.)/gm, '    ')}`);
  const r = await run(segue, ['status', '--config', file]);
  assert.equal(r.code, 0, r.stderr);
});

test('no credential of the source shows anywhere', async () => assert.deepEqual(await w.leaks(), []));
