// SPDX-License-Identifier: MIT
// Mistakes and missing things: each gets a clear error that names the place, and loses nothing.
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import { AUDIENCE, EXCHANGE, LEGACY, LEGACY_COOKIE, overlay, startWorld } from '../lib/segue.mjs';
import { client } from '../lib/http.mjs';
import { segue } from '../lib/paths.mjs';
import { alive, run, sql } from '../lib/proc.mjs';
import { until } from '../lib/wait.mjs';

let w, a;
before(async () => {
  w = await startWorld({ realms: { main: {}, other: {} } });
  a = await w.serve();
  await w.proveContinuity();
  await w.policy('main', { phase: 'exchange', percent: 100 });
});
after(() => w?.stop());

/** A command that must end by itself. */
const segueEnds = (args, options) => run(segue, args, { timeout: 15_000, ...options });

describe('a configuration', () => {
  // A whole one, as a user writes it; each mistake replaces a line of it.
  const lines = () => `segue:
  instance: a
  listen: 127.0.0.1:0
  control: ${w.cluster.control.conninfo}
  shards:
    - ${w.shards[0]}
    - ${w.shards[1]}
  keyring: keyring
  connections: 2
  feed:
    stale_after: 2s
    when_stale: introspect
realms:
  main:
    issuer: https://login.example
    audiences: [https://app.example]
    legacy:
      url: ${w.cluster.redis.url}
      codec: express-session
      cookie: connect.sid
      cookie_secure: true
      secrets_file: session-secrets
      default_idle: 1d
    identity:
      url: ${w.cluster.appdb.conninfo}
      lookup: SELECT 1
      changes: SELECT 1
    token:
      alg: ES256
      lifetime: 5m
    clients:
      - id: web
      - id: backend
        secret_file: backend-secret`.split('\n');

  // [what, the line that is replaced, what stands there instead, column, what the error must say]
  const mistakes = [
    ['an unknown key', '  keyring: keyring', '  keyring: keyring\n  keyrings: two', 3, /keyrings.*keyring/s, 1],
    ['an unknown key deep inside', '      codec: express-session', '      codec: express-session\n      cokie: x', 7, /cokie.*cookie/s, 1],
    ['a key given twice', '  connections: 2', '  connections: 2\n  connections: 3', 3, /connections/, 1],
    ['a number that is none', '  connections: 2', '  connections: two', 3, /connections.*1.*16/s],
    ['a number out of bounds', '  connections: 2', '  connections: 200', 3, /connections.*16/s],
    ['a duration without unit', '      lifetime: 5m', '      lifetime: 5', 7, /lifetime/],
    ['a duration out of bounds', '      lifetime: 5m', '      lifetime: 40d', 7, /lifetime/],
    ['a word that is none of them', '    when_stale: introspect', '    when_stale: sometimes', 5, /when_stale.*accept.*introspect.*reject/s],
    ['an algorithm that is none of them', '      alg: ES256', '      alg: HS512', 7, /alg.*ES256.*EdDSA.*RS256/s],
    ['yes for a truth value', '      cookie_secure: true', '      cookie_secure: maybe', 7, /cookie_secure.*true.*false/s],
    ['an issuer without https', '    issuer: https://login.example', '    issuer: http://login.example', 5, /issuer.*https/s],
    ['text where a list belongs', '    audiences: [https://app.example]', '    audiences: https://app.example', 5, /audiences.*list/s],
    ['an empty list', '    audiences: [https://app.example]', '    audiences: []', 5, /audiences.*at least 1/s],
    ['a client twice', '      - id: backend', '      - id: web', 9, /web.*twice/s],
    ['an environment variable that is not set', `      url: ${'@redis'}`, '      url: ${SEGUE_TEST_NOT_SET}', 7, /SEGUE_TEST_NOT_SET/],
    ['a secrets file that is not there', '      secrets_file: session-secrets', '      secrets_file: nowhere', 7, /nowhere.*No such file/s],
    ['a custom claim of a reserved name', '      lookup: SELECT 1', '      lookup: SELECT 1\n      claims:\n        sub: {path: id}', 9, /claim 'sub' is reserved/, 2],
    ["a custom claim of Segue's own name", '      lookup: SELECT 1', '      lookup: SELECT 1\n      claims:\n        tenant: {}\n        roles: {path: id}', 9, /claim 'roles' is reserved/, 3],
    ['a custom claim of no type', '      lookup: SELECT 1', '      lookup: SELECT 1\n      claims:\n        tenant: {type: text}', 18, /type.*string.*int.*bool.*json/s, 2],
    ['an identity source that is none of them', '      lookup: SELECT 1', '      lookup: SELECT 1\n      source: ldap', 7, /source.*sql.*http.*subject/s, 1],
    ['a key that its identity source has no use for', '      lookup: SELECT 1', '      lookup: SELECT 1\n      bearer_file: x', 7, /bearer_file/, 1],
    ['a right that is none', '        secret_file: backend-secret', '        secret_file: backend-secret\n        rights: [everything]', 18, /rights.*subjects/, 1],
    ['a right of a client without a secret', '      - id: web', '      - id: web\n        rights: [subjects]', 9, /no secret/, 1],
    ['broken YAML', '  connections: 2', '  connections: [2', undefined, /./],
    ['a tab', '  connections: 2', '\tconnections: 2', undefined, /./],
  ];
  const write = (name, text) => {
    const file = path.join(w.dir, name);
    writeFileSync(file, text);
    return file;
  };

  test('without a mistake is taken', async () => {
    const r = await segueEnds(['status', '--config', write('good.yaml', lines().join('\n'))]);
    assert.equal(r.code, 0, r.stderr);
  });

  for (const [what, line, instead, column, says, further = 0] of mistakes)
    test(`with ${what} is refused at its place`, async () => {
      const all = lines();
      const at = all.indexOf(line.replace('@redis', w.cluster.redis.url));
      assert.ok(at >= 0, line);
      all[at] = instead;
      const file = write('mistake.yaml', all.join('\n'));
      for (const command of [['serve'], ['phase', 'dual']]) {
        const r = await segueEnds([...command, '--config', file]);
        assert.equal(r.code, 2, r.stderr);
        const place = column === undefined ? `${file}:\\d+:\\d+` : `${file}:${at + 1 + further}:${column}`;
        assert.match(r.stderr, new RegExp(place.replaceAll('.', '\\.')));
        assert.match(r.stderr, says);
      }
    });

  for (const key of ['  keyring: keyring', '    issuer: https://login.example', '      codec: express-session', '      lookup: SELECT 1'])
    test(`without ${key.trim().split(':')[0]} names the key that is missing`, async () => {
      const r = await segueEnds(['serve', '--config', write('missing.yaml', lines().filter((l) => l !== key).join('\n'))]);
      assert.equal(r.code, 2, r.stderr);
      assert.match(r.stderr, /missing\.yaml:\d+:\d+/);
      assert.match(r.stderr, new RegExp(`'${key.trim().split(':')[0]}'`));
    });

  test('that is not there, or secrets that others may read, are refused', async () => {
    const none = await segueEnds(['serve', '--config', path.join(w.dir, 'none.yaml')]);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /none\.yaml/);
    w.keep('open-secrets', `${w.sessionSecret}\n`);
    chmodSync(path.join(w.dir, 'open-secrets'), 0o644);
    const open = await segueEnds(['serve', '--config', write('open.yaml', lines().join('\n').replace('session-secrets', 'open-secrets'))]);
    assert.equal(open.code, 2);
    assert.match(open.stderr, /open\.yaml:22:7.*open-secrets.*chmod 600/s);
    assert.doesNotMatch(open.stderr, new RegExp(w.sessionSecret));
  });
});

describe('serve', () => {
  test('says which port is in use', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await new Promise((r) => taken.once('listening', r));
    const { port } = taken.address();
    const r = await segueEnds(['serve', '--config', w.file, '--listen', `127.0.0.1:${port}`]);
    taken.close();
    assert.equal(r.code, 1);
    assert.match(r.stderr, new RegExp(`127\\.0\\.0\\.1:${port}.*(in use)`, 's'));
  });

  test('refuses more connections than a shard will bear, with the sum', async () => {
    const file = w.write('budget.yaml', overlay(w.config, { segue: { loops: 64, connections: 16 } }));
    const r = await segueEnds(['serve', '--config', file]);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /64 loops x \(16 connections \+ 1 for the feed\) = 1088 connections/);
  });

  test('refuses a codec that does not exist, by name', async () => {
    const file = w.write('codec.yaml', overlay(w.config, { realms: { main: { legacy: { codec: 'expres-session' } } } }));
    const r = await segueEnds(['serve', '--config', file]);
    assert.notEqual(r.code, 0);
    assert.match(r.stderr, /codec 'expres-session'/);
  });

  test('with another keyring never becomes ready, says which key it cannot open, and mints nothing', async () => {
    w.keep('wrong-keyring', `root:${w.keys[0]}\nk1:${'2'.repeat(64)}\n`);
    const b = await w.serve('wrong', { config: w.write('wrong.yaml', overlay(w.config, { segue: { keyring: 'wrong-keyring' } })), ready: false });
    await until('the log to say so', () => /a signing key cannot be opened/.test(b.log()));
    const ready = await b.request('GET', '/readyz');
    assert.equal(ready.status, 503);
    assert.match(ready.json().missing, /signing key/);
    const s = await w.session(5);
    assert.equal((await b.exchange(s)).status, 503);
    await b.kill();
    assert.equal((await a.exchange(s)).status, 200);
  });

  test('on databases that were never laid out is up and says what to run', async () => {
    await sql(w.cluster.shards[1].admin_conninfo, 'CREATE DATABASE empty OWNER segue');
    const conninfo = w.shards[1].replace(/\/segue(\?|$)/, '/empty$1').replace(/dbname=segue/, 'dbname=empty');
    assert.notEqual(conninfo, w.shards[1]);
    const b = await w.serve('bare', { config: w.write('bare.yaml', overlay(w.config, { segue: { control: conninfo } })), ready: false });
    const ready = await b.request('GET', '/readyz');
    assert.equal(ready.status, 503);
    assert.match(ready.json().missing, /segue init/);
    assert.equal((await b.request('GET', '/healthz')).status, 200);
    await b.kill();
    const phase = await segueEnds(['phase', 'dual', '--realm', 'main', '--config', path.join(w.dir, 'bare.yaml')]);
    assert.equal(phase.code, 1);
  });

  test('started while a shard is down serves, says so, and becomes ready when it comes', async () => {
    await w.cluster.halt('shard1');
    const b = await w.serve('early', { ready: false });
    await until('it to name the shard', async () => {
      const ready = await b.request('GET', '/readyz');
      return ready.status === 503 && /shard 1: .*refused/.test(ready.json().missing);
    });
    assert.equal((await b.request('GET', '/healthz')).status, 200);
    await w.cluster.start('shard1');
    await until('it to be ready', async () => (await b.request('GET', '/readyz')).status === 200, 10_000);
    assert.equal((await b.exchange(await w.session(6))).status, 200);
    await b.kill();
  });

  test('on a database newer than itself does not become ready, and says which and what to do', async () => {
    await w.shard(1, 'INSERT INTO segue.schema_version (version) VALUES (99)');
    const b = await w.serve('old', { ready: false });
    await until('it to say so', async () => {
      const ready = await b.request('GET', '/readyz');
      return ready.status === 503 && /shard 1 .*schema 99.*newer segue/.test(ready.json().missing);
    });
    await b.kill();
    await w.shard(1, 'DELETE FROM segue.schema_version WHERE version = 99');
    const ok = await w.serve('again');
    await ok.kill();
  });

  test('stops by SIGTERM within seconds, and says so', async () => {
    const b = await w.serve('brief');
    const { code, signal } = await b.stop();
    assert.deepEqual([code, signal], [0, null]);
    assert.match(b.log(), /"stopped"/);
  });
});

describe('the token endpoint', () => {
  const token = (fields, headers) => a.post('main', '/oauth2/token', fields, headers);
  const refused = (r, status, error, description) => {
    assert.deepEqual([r.status, r.json().error], [status, error], r.body);
    assert.equal(r.headers['cache-control'], 'no-store');
    assert.match(r.headers['content-type'], /^application\/json/);
    if (description) assert.match(r.json().error_description, description);
  };

  test('refuses each mistake with its RFC 6749 error', async () => {
    const s = await w.session(7);
    const good = { grant_type: EXCHANGE, subject_token: s.signed, subject_token_type: LEGACY, client_id: 'api' };
    const without = (...keys) => Object.fromEntries(Object.entries(good).filter(([k]) => !keys.includes(k)));
    refused(await token(without('client_id')), 401, 'invalid_client');
    refused(await token({ ...good, client_id: 'nobody' }), 401, 'invalid_client');
    refused(await token({ ...good, client_id: 'backend' }), 401, 'invalid_client');
    refused(await token({ ...good, client_id: 'backend', client_secret: 'wrong' }), 401, 'invalid_client');
    refused(await token(without('grant_type')), 400, 'invalid_request', /grant_type/);
    refused(await token({ ...good, grant_type: 'password' }), 400, 'unsupported_grant_type');
    refused(await token(without('subject_token')), 400, 'invalid_request', /subject_token/);
    refused(await token(without('subject_token_type')), 400, 'invalid_request', /subject_token_type/);
    refused(await token({ ...good, subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }), 400, 'invalid_request');
    refused(await token({ ...good, requested_token_type: 'urn:ietf:params:oauth:token-type:saml2' }), 400, 'invalid_request');
    refused(await token({ ...good, actor_token: 'x', actor_token_type: LEGACY }), 400, 'invalid_request');
    refused(await token({ ...good, audience: 'https://evil.example' }), 400, 'invalid_target');
    refused(await token({ ...good, subject_token: 's:forged.signature' }), 400, 'invalid_grant');
    refused(await token({ ...good, subject_token: w.credential('x'.repeat(32)).signed }), 400, 'invalid_grant');
    refused(await token({ ...good, subject_token: (await w.session(undefined)).signed }), 400, 'invalid_grant');
    refused(await token({ grant_type: 'refresh_token', client_id: 'api' }), 400, 'invalid_request', /refresh_token/);
    const twice = await a.request('POST', '/oauth2/token', { body: `${new URLSearchParams(good)}&client_id=web`, headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    refused(twice, 400, 'invalid_request');
    assert.equal((await token({ ...good, client_id: 'backend', client_secret: w.backendSecret, audience: AUDIENCE })).status, 200);
    assert.equal((await token(without('client_id'), { authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}` })).status, 200);
    assert.equal((await token(good)).status, 200);
  });

  test('revokes quietly what it does not know', async () => {
    for (const t of ['unknown', 'sgr_'.padEnd(56, 'A'), 'eyJhbGciOiJub25lIn0.e30.AA'])
      assert.equal((await a.revoke(t)).status, 200, t);
    assert.equal((await a.post('main', '/oauth2/revoke', { client_id: 'api' })).status, 400);
    assert.equal((await a.revoke('x', { client_id: 'nobody' })).status, 401);
  });
});

describe('a request', () => {
  test('of an unknown realm or path, or with another method, is told so', async () => {
    for (const p of ['/realms/nowhere/verify', '/realms/', '/realms/main', '/nothing', '/verify/'])
      assert.equal((await a.request('GET', p)).status, 404, p);
    assert.equal((await a.verify({ realm: 'nowhere' })).status, 404);
    const r = await a.request('GET', '/oauth2/token');
    assert.deepEqual([r.status, r.headers.allow], [405, 'POST']);
  });

  test('with too large a body or headers is refused, and the next one is served', async () => {
    const own = client(a.port); // what is refused costs its connection
    const big = await own.request('POST', '/oauth2/token', { body: 'x='.padEnd(200_000, 'y') }).catch((e) => e);
    assert.ok(big instanceof Error || big.status === 413, String(big.status));
    const s = await w.session(8);
    const headers = await own.request('GET', '/verify', { headers: { cookie: `${LEGACY_COOKIE}=${s.cookie}; pad=${'z'.repeat(40_000)}` } }).catch((e) => e);
    assert.ok(headers instanceof Error || [400, 401, 413, 431].includes(headers.status), String(headers.status));
    own.close();
    assert.equal((await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).subject, '8');
  });

  test('with all the cookies that nginx lets through by default (8 KiB) is served', async () => {
    const s = await w.session(9);
    const r = await a.verify({ cookies: { pad: 'z'.repeat(8000), [LEGACY_COOKIE]: s.cookie } });
    assert.deepEqual([r.status, r.subject], [200, '9']);
  });

  test('that is not JSON where JSON belongs is refused with what was expected', async () => {
    const headers = { authorization: `Basic ${Buffer.from(`backend:${w.backendSecret}`).toString('base64')}` };
    for (const body of ['', '{', '[]', '{}', '{"subject":""}', '{"subject":42}', `{"subject":"${'x'.repeat(201)}"}`, '{"subject":"1","subject":"2"}'])
      assert.equal((await a.request('POST', '/v1/sessions', { headers, body })).status, 400, body);
    assert.equal((await a.request('POST', '/v1/sessions', { headers, body: '{"subject":"1","client_id":"nobody"}' })).status, 400);
    assert.equal((await a.request('POST', '/v1/sessions', { headers, body: '{"subject":"1","audience":"https://evil.example"}' })).json().error, 'invalid_target');
    const web = { authorization: `Basic ${Buffer.from('web:').toString('base64')}` };
    assert.equal((await a.request('POST', '/v1/sessions', { headers: web, body: '{"subject":"1"}' })).status, 401);
  });
});

test('a command that does not exist, and an option, are usage errors with a hint', async () => {
  const r = await segueEnds(['srve']);
  assert.equal(r.code, 2);
  assert.match(r.stderr, /serve/);
  const o = await segueEnds(['serve', '--confg', 'x']);
  assert.equal(o.code, 2);
  assert.match(o.stderr, /--confg/);
});

test('serve goes on through all of this', () => assert.ok(alive(a.pid)));

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
