// SPDX-License-Identifier: MIT
// Changes of subjects reach every instance: PATCH where the migrated table is the source, a webhook and polls where it is not.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { judged } from '../lib/openapi.mjs';
import { decodeJwt, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const CHANGES = process.env.SEGUE_LONG ? 500 : 25;
const secret = randomBytes(24);

// ---- a user service with a list of changes ----

const people = new Map();
const log = []; // ids, in the order of their changes
const lookups = []; // ids
const users = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://x');
  const json = (status, body) => res.writeHead(status).end(JSON.stringify(body));
  if (url.pathname === '/changes') {
    const from = Number(url.searchParams.get('since') || 0);
    const ids = log.slice(from, from + 500);
    return json(200, { items: ids.map((id) => people.get(id)).filter(Boolean), cursor: from + ids.length });
  }
  const id = decodeURIComponent(url.pathname.split('/').pop());
  lookups.push(id);
  const who = people.get(id);
  return who ? json(200, who) : json(404, {});
});
const put = (id, roles, told = true) => {
  people.set(String(id), { subject: String(id), active: true, roles, permissions: [], version: (people.get(String(id))?.version ?? 0) + 1, profile: { team: `t${roles.length}` } });
  if (told) log.push(String(id));
};

let w, a, b;
before(async () => {
  await new Promise((done) => users.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${users.address().port}`;
  const service = { source: 'http', url: `${url}/users/{subject}`, lookup: null, paths: { attributes: 'profile' }, webhook: { secret_file: 'hook' }, claims: { team: {} } };
  const clients = [{ id: 'web' }, { id: 'api' }, { id: 'backend', secret_file: 'backend-secret', rights: ['subjects'] }, { id: 'plain', secret_file: 'backend-secret' }];
  w = await startWorld({
    users: 300, init: false,
    realms: {
      main: { clients },
      polled: { identity: { ...service, changes: `${url}/changes?since={cursor}`, poll: '50ms' }, clients },
      told: { identity: { ...service, changes: null }, clients },
      own: { identity: { source: 'subject', url: null, lookup: null, changes: null, claims: { tenant: { path: 'org.id', required: true } } }, clients },
    },
  });
  w.keep('hook', `whsec_${secret.toString('base64')}\n`);
  w.secrets.add(secret.toString('base64'));
  const init = await w.run('init');
  assert.equal(init.code, 0, init.stderr);
  [a, b] = (await Promise.all([w.serve('a'), w.serve('b')])).map(judged);
  for (const realm of w.realms) {
    await w.proveContinuity(realm);
    await w.policy(realm, { phase: 'exchange', percent: 100 });
  }
});
after(async () => {
  await w?.stop();
  users.closeAllConnections();
  users.close();
});

const basic = (client, password = w.backendSecret) => ({ authorization: `Basic ${Buffer.from(`${client}:${password}`).toString('base64')}` });
const call = (method, subject, body, headers = {}, { realm = 'own', on = a } = {}) =>
  on.request(method, `/realms/${realm}/v1/subjects/${subject}`, { headers: { ...basic('backend'), ...headers }, body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body) });
const patch = (subject, body, headers, options) => call('PATCH', subject, body, headers, options);
const get = async (subject) => (await call('GET', subject)).json();
const told = (subjects, { realm = 'told', on = a, headers = basic('backend'), body = JSON.stringify({ subjects }) } = {}) =>
  on.request('POST', `/realms/${realm}/v1/subjects/changed`, { headers, body });

let next = 1;
const fresh = async (over = {}) => {
  const id = String(next++);
  const made = await patch(id, { roles: ['user'], attributes: { org: { id: 'acme' } }, ...over }, { 'if-none-match': '*' });
  assert.equal(made.status, 200, made.body);
  return id;
};

describe('PATCH /v1/subjects', () => {
  test('makes a subject, changes it member by member, and says its version', async () => {
    const id = await fresh({ permissions: ['read', 'a,b'], attributes: { org: { id: 'acme', size: 3 }, keep: [1] } });
    const answer = await call('GET', id);
    assert.equal(answer.headers.etag, '"1"');
    assert.deepEqual(answer.json(), { subject: id, active: true, roles: ['user'], permissions: ['read', 'a,b'], attributes: { org: { id: 'acme', size: 3 }, keep: [1] }, version: 1 });
    const changed = await patch(id, { roles: ['admin', 'user'], attributes: { org: { size: null, plan: { name: 'x' } } } }, { 'if-match': '"1"' });
    assert.deepEqual([changed.status, changed.headers.etag], [200, '"2"'], changed.body);
    assert.deepEqual(await get(id), { subject: id, active: true, roles: ['admin', 'user'], permissions: ['read', 'a,b'], attributes: { org: { id: 'acme', plan: { name: 'x' } }, keep: [1] }, version: 2 });
    assert.equal((await patch(id, { permissions: null, attributes: null, version: 2 })).json().version, 3);
    assert.deepEqual(await get(id), { subject: id, active: true, roles: ['admin', 'user'], permissions: [], attributes: {}, version: 3 });
    assert.match(a.log(), new RegExp(`subject changed.*client backend.*subject ${id} has version 3`));
  });
  test('never loses a change: for another version it is refused, and of many at once one is taken', async () => {
    const id = await fresh();
    for (const [headers, body] of [[{ 'if-match': '"7"' }, {}], [{}, { version: 0 }], [{ 'if-none-match': '*' }, {}]]) {
      const r = await patch(id, { roles: ['admin'], ...body }, headers);
      assert.deepEqual([r.status, r.json().error], [412, 'version_conflict']);
    }
    const racing = await Promise.all(Array.from({ length: 20 }, (_, i) => patch(id, { roles: [`r${i}`], version: 1 }, {}, { on: i % 2 ? a : b })));
    assert.deepEqual(racing.map((r) => r.status).sort(), [200, ...Array(19).fill(412)]);
    const won = racing.find((r) => r.status === 200).json();
    assert.deepEqual(await get(id), won);
    // Whichever version it has: all are taken, one after the other.
    const all = await Promise.all(Array.from({ length: 4 }, (_, i) => patch(id, { attributes: { [`k${i}`]: i } }, { 'if-match': '*' }, { on: i % 2 ? a : b })));
    assert.deepEqual(all.map((r) => r.status), [200, 200, 200, 200]);
    const now = await get(id);
    assert.deepEqual([now.version, now.attributes], [6, { org: { id: 'acme' }, k0: 0, k1: 1, k2: 2, k3: 3 }]);
  });
  test('is not overwritten by an older identity', async () => {
    const id = await fresh();
    await patch(id, { roles: ['now'] }, { 'if-match': '*' });
    // By an instance that was left with the configuration of before, whose source knows the subject too.
    const config = structuredClone(w.config);
    config.realms.own.identity = config.realms.told.identity;
    const old = await w.serve('old', { config: w.write('old.yaml', config) });
    put(id, ['admin'], false);
    assert.equal((await told([id], { realm: 'own', on: old })).status, 202);
    await until('the old source to be read', () => lookups.includes(id));
    const s = await w.session(id, { realm: 'own' });
    assert.equal((await old.exchange(s)).status, 503); // what it read is older than the row
    await old.stop();
    assert.deepEqual((await get(id)).roles, ['now']);
  });
  test('is refused without the right, the secret, a version, or with what makes no sense', async () => {
    const id = await fresh();
    const refused = async (status, error, ...args) => {
      const r = await patch(id, ...args);
      assert.deepEqual([r.status, r.json().error], [status, error], r.body);
    };
    await refused(401, 'invalid_client', { roles: [] }, { authorization: '' });
    await refused(401, 'invalid_client', { roles: [] }, basic('backend', 'wrong'));
    await refused(401, 'invalid_client', { roles: [] }, basic('web', ''));
    await refused(403, 'access_denied', { roles: [] }, basic('plain'));
    await refused(428, 'version_wanted', { roles: [] });
    for (const match of ['1', 'W/"1"', '"1", "2"', '""', '"-1"', '"99999999999999999999"']) await refused(400, 'invalid_request', { roles: [] }, { 'if-match': match });
    await refused(400, 'invalid_request', { roles: [], version: 1 }, { 'if-match': '"1"' });
    const many = Array.from({ length: 65 }, (_, i) => `r${i}`);
    for (const bad of ['', '[]', '{"roles":["a"],"roles":["b"]}', { roles: 'admin' }, { roles: [1] }, { roles: [''] }, { roles: ['a\nb'] }, { roles: many }, { active: 'yes' }, { active: null }, { epoch: 3 }, { attributes: [] }])
      await refused(400, 'invalid_request', bad, { 'if-match': '*' });
    await refused(400, 'invalid_request', { attributes: { x: 'y'.repeat(3000) } }, { 'if-match': '*' });
    assert.equal((await get(id)).version, 1);
    assert.equal((await call('GET', 'nobody')).status, 404);
    for (const odd of ['%ff', 'a%0a', 'x'.repeat(201)]) assert.equal((await call('GET', odd)).status, 400, odd);
    assert.equal((await call('GET', 'changed')).status, 404); // a name like any other
    assert.equal((await patch('nobody', {}, { 'if-match': '*' })).status, 404);
    assert.equal(await w.total("SELECT count(*) FROM segue.subject WHERE subject = 'nobody'"), 0);
    const del = await call('DELETE', id);
    assert.deepEqual([del.status, del.headers.allow], [405, 'GET, PATCH']);
  });
  test('is refused where the identity source is the authority, and says so', async () => {
    for (const realm of ['main', 'told']) {
      const r = await patch('1', { roles: ['admin'] }, { 'if-match': '*' }, { realm });
      assert.deepEqual([r.status, r.json().error], [409, 'not_the_authority']);
    }
    const r = await told(['1'], { realm: 'own' });
    assert.deepEqual([r.status, r.json().error], [409, 'not_followed']);
  });
  test('decides what is minted: roles, claims, and nothing for who was never made', async () => {
    const id = await fresh({ permissions: ['write'] });
    const s = await w.session(id, { realm: 'own' });
    const { access_token, refresh_token } = (await a.exchange(s)).json();
    const { claims } = decodeJwt(access_token);
    assert.deepEqual([claims.roles, claims.permissions, claims.tenant, claims.rv], [['user'], ['write'], 'acme', 1]);
    await patch(id, { active: false }, { 'if-match': '*' });
    for (const i of [a, b]) await until('the ban to be known', async () => (await i.verify({ realm: 'own', bearer: access_token })).status === 401, 2000);
    assert.equal((await b.refresh(refresh_token, { realm: 'own' })).json().error, 'invalid_grant');
    await patch(id, { active: true }, { 'if-match': '*' });
    assert.equal((await b.refresh(refresh_token, { realm: 'own' })).status, 200);
    const stranger = await w.session('nobody-made-me', { realm: 'own' });
    assert.equal((await a.exchange(stranger)).json().error, 'invalid_grant');
  });
});

describe('POST /v1/subjects/changed', () => {
  const sign = (body, { id = 'msg_1', at = Math.floor(Date.now() / 1000), key = secret } = {}) => ({
    'webhook-id': id, 'webhook-timestamp': String(at), 'webhook-signature': `v1,${createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64')}`,
  });
  const hold = async (id) => (await a.exchange(await w.session(id, { realm: 'told' }))).json().access_token;
  const roles = async (i, bearer) => (await i.verify({ realm: 'told', bearer })).roles;

  test('has the subjects read again, and every instance hears of it', async () => {
    put('w1', ['user'], false);
    const jwt = await hold('w1');
    put('w1', ['user', 'admin'], false);
    const body = JSON.stringify({ subjects: ['w1'] });
    assert.equal((await told([], { body, headers: sign(body) })).status, 202);
    for (const i of [a, b]) await until('the new roles', async () => (await roles(i, jwt)) === 'user,admin', 2000);
    const seen = await b.verify({ realm: 'told', bearer: jwt });
    assert.equal(decodeJwt(seen.jwt).claims.team, 't2');
  });
  test('bans who is gone from the source, until the source has them again', async () => {
    put('w2', ['user'], false);
    const jwt = await hold('w2');
    await told(['w2']); // stored once
    await until('the subject to be stored', async () => (await w.total("SELECT count(*) FROM segue.subject WHERE realm = 'told' AND subject = 'w2' AND source_version = 1")) === 1);
    const was = people.get('w2');
    people.delete('w2');
    assert.equal((await told(['w2'])).status, 202);
    for (const i of [a, b]) await until('the token to be refused', async () => (await i.verify({ realm: 'told', bearer: jwt })).status === 401, 2000);
    people.set('w2', was);
    assert.equal((await told(['w2'])).status, 202);
    await until('the subject to be good again', async () => (await a.exchange(await w.session('w2', { realm: 'told' }))).status === 200, 2000);
  });
  test('goes on when the source is back', async () => {
    put('w3', ['user'], false);
    const jwt = await hold('w3');
    put('w3', ['later'], false);
    const { port } = users.address();
    users.closeAllConnections();
    await new Promise((done) => users.close(done));
    assert.equal((await told(['w3'])).status, 202);
    await sleep(300);
    await new Promise((done) => users.listen(port, '127.0.0.1', done));
    await until('the new roles', async () => (await roles(b, jwt)) === 'later', 5000);
  });
  test('is refused unsigned, with a wrong, old or foreign signature, or without the right', async () => {
    const body = JSON.stringify({ subjects: ['w1'] });
    const now = Math.floor(Date.now() / 1000);
    const good = sign(body);
    const before = lookups.length;
    for (const headers of [
      {}, sign(body, { key: randomBytes(24) }), sign(body, { at: now - 400 }), sign(body, { at: now + 400 }), sign(`${body} `),
      { ...good, 'webhook-timestamp': String(now + 1) }, { ...good, 'webhook-id': 'msg_2' }, { ...good, 'webhook-id': '' },
      { ...good, 'webhook-signature': good['webhook-signature'].slice(0, -1) }, { ...good, 'webhook-signature': good['webhook-signature'].replace('v1,', 'v2,') },
      { ...good, 'webhook-signature': '' }, { ...good, 'webhook-timestamp': '' }, { ...good, 'webhook-timestamp': `${now}x` }, basic('backend', 'wrong'), basic('web', ''),
    ])
      assert.equal((await told([], { body, headers })).status, 401, JSON.stringify(headers));
    assert.equal((await told([], { body, headers: basic('plain') })).status, 403);
    assert.equal((await told([], { body, headers: { ...good, 'webhook-signature': `v1,AAAA ${good['webhook-signature']}` } })).status, 202); // a secret being changed
    for (const bad of ['', '[]', '{}', '{"subjects":[]}', '{"subjects":"w1"}', '{"subjects":[1]}', '{"subjects":[""]}', '{"subjects":["a\\u0000"]}', `{"subjects":["${'x'.repeat(201)}"]}`, JSON.stringify({ subjects: Array(101).fill('w1') })])
      assert.equal((await told([], { body: bad })).status, 400, bad);
    // Realm main has no webhook secret: nothing is signed with none.
    assert.equal((await told([], { body, headers: sign(body, { key: Buffer.alloc(0) }), realm: 'main' })).status, 401);
    await sleep(50);
    assert.ok(lookups.slice(before).filter((id) => id === 'w1').length <= 1);
  });
  test('is answered 429 when it is called too often, and 503 when too many wait', async () => {
    const answers = await Promise.all(Array.from({ length: 150 }, (_, k) => told(Array.from({ length: 100 }, (_, i) => `q${k}-${i}`), { on: b })));
    const count = (status) => answers.filter((r) => r.status === status).length;
    assert.ok(count(202) >= 10 && count(429) > 0 && count(202) + count(429) + count(503) === 150, [202, 429, 503].map((s) => `${s}: ${count(s)}`).join(', '));
    const slow = answers.find((r) => r.status === 429);
    assert.deepEqual([slow.json().error, slow.headers['retry-after']], ['too_many_requests', '1']);
  });
});

describe(`of ${CHANGES} changes each reaches /verify on two instances soon`, () => {
  /** change(n) makes the nth change of the subject, to the one role it returns. */
  async function measure(t, realm, subject, change) {
    const jwt = (await a.exchange(await w.session(subject, { realm }))).json().access_token;
    assert.ok(jwt);
    const times = [];
    for (let n = 0; n < CHANGES; n++) {
      const role = await change(n);
      const from = performance.now();
      await Promise.all([a, b].map((i) => until(`${role} on ${i.name}`, async () => (await i.verify({ realm, bearer: jwt })).roles === role, 5000, 2)));
      times.push(performance.now() - from);
      await sleep(Math.random() * 30);
    }
    times.sort((x, y) => x - y);
    const [p50, p99] = [0.5, 0.99].map((p) => times[Math.min(times.length - 1, Math.floor(times.length * p))]);
    t.diagnostic(`median ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
    assert.ok(p99 < 1000, `p99 ${p99}`);
  }

  test('by PATCH', async (t) => {
    const id = await fresh();
    await measure(t, 'own', id, async (n) => {
      assert.equal((await patch(id, { roles: [`r${n}`] }, { 'if-match': '*' }, { on: n % 2 ? a : b })).status, 200);
      return `r${n}`;
    });
  });
  test('by the webhook', async (t) => {
    put('m1', ['user'], false);
    await sleep(1100); // the test before left nothing of what may be called
    await measure(t, 'told', 'm1', async (n) => {
      put('m1', [`r${n}`], false);
      const r = await told(['m1']);
      assert.equal(r.status, 202, r.body);
      return `r${n}`;
    });
  });
  test('by a poll over HTTP, each 50 ms', async (t) => {
    put('p1', ['user']);
    const child = await w.transfer('polled');
    await measure(t, 'polled', 'p1', async (n) => {
      put('p1', [`r${n}`]);
      return `r${n}`;
    });
    child.kill('SIGTERM');
  });
  test('by a poll over SQL, each 50 ms', async (t) => {
    const child = await w.transfer('main');
    await measure(t, 'main', '250', async (n) => {
      await w.app(`UPDATE users SET roles = '{r${n}}' WHERE id = 250`);
      return `r${n}`;
    });
    child.kill('SIGTERM');
  });
});

test('one subject that makes no sense does not hold up the others, and is told of', async () => {
  put('ok1', ['user']);
  const child = await w.transfer('polled');
  const jwt = (await a.exchange(await w.session('ok1', { realm: 'polled' }))).json().access_token;
  put('bad', ['a\nb']);
  put('ok1', ['second']);
  await until('the other subject to change', async () => (await b.verify({ realm: 'polled', bearer: jwt })).roles === 'second', 3000);
  child.kill('SIGTERM');
});

test('no secret shows anywhere', async () => assert.deepEqual(await w.leaks(), []));
