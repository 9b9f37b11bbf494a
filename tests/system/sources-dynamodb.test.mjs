// SPDX-License-Identifier: MIT
// The "dynamodb" source against dynalite, through a proxy that checks every signature itself and can misbehave.
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import http from 'node:http';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';

import dynalite from 'dynalite';
import { build } from '../lib/paths.mjs';
import { endAll, run, start } from '../lib/proc.mjs';
import { until } from '../lib/wait.mjs';

const tool = path.join(build, 'tests/system/source_tool');
const SECRET = 'hunter2/Secret+Key';
const credentials = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: SECRET, AWS_SESSION_TOKEN: 'tok/en+1==' };
let db, proxy, url;
const faults = {}; // (operation, body) => what to do instead, see below
const seen = []; // operations
const badSignatures = [];

const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();

/** Signature Version 4 as AWS documents it, from the request as it came. */
function signature(req, body) {
  const [, id, scope, signed, given] = req.headers.authorization.match(/^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)$/);
  const canonical = ['POST', '/', '', ...signed.split(';').map((h) => `${h}:${req.headers[h].trim()}`), '', signed, sha256(body)].join('\n');
  const text = ['AWS4-HMAC-SHA256', req.headers['x-amz-date'], scope, sha256(canonical)].join('\n');
  const key = scope.split('/').reduce(hmac, `AWS4${SECRET}`);
  const must = ['content-type', 'host', 'x-amz-date', 'x-amz-security-token', 'x-amz-target'].every((h) => signed.split(';').includes(h));
  return id === 'AKIDEXAMPLE' && must && hmac(key, text).toString('hex') === given;
}

/** One request to dynalite, which wants a signature and does not look at it. */
function ask(operation, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request({
      port: db.address().port, method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `DynamoDB_20120810.${operation}`, 'x-amz-date': 'x',
        authorization: 'AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=a, Signature=b', ...headers,
      },
    }, async (res) => resolve({ status: res.statusCode, body: Buffer.concat(await res.toArray()).toString() }));
    req.on('error', reject);
    req.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

async function serve(req, res) {
  const body = Buffer.concat(await req.toArray()).toString();
  const operation = req.headers['x-amz-target'].split('.')[1];
  seen.push(operation);
  if (!signature(req, body)) badSignatures.push(req.headers.authorization);
  const fault = faults[operation]?.(JSON.parse(body));
  if (fault?.cut) return req.socket.destroy();
  if (fault?.silent) return undefined;
  const answer = fault?.status ? fault : await ask(operation, fault?.request ?? body);
  if (fault?.answer) answer.body = JSON.stringify(fault.answer(JSON.parse(answer.body)));
  res.writeHead(answer.status, { 'content-length': Buffer.byteLength(answer.body) });
  if (fault?.half) {
    res.write(answer.body.slice(0, answer.body.length / 2));
    return setTimeout(() => req.socket.destroy(), 20);
  }
  return res.end(answer.body);
}

const refusal = (type) => ({ status: 400, body: JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: 'secret detail' }) });

async function createTable(name, ...keys) {
  const r = await ask('CreateTable', {
    TableName: name, BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: keys.map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType })),
    KeySchema: keys.map(([AttributeName], i) => ({ AttributeName, KeyType: i === 0 ? 'HASH' : 'RANGE' })),
  });
  assert.equal(r.status, 200, r.body);
  await until('the table', async () => JSON.parse((await ask('DescribeTable', { TableName: name })).body).Table.TableStatus === 'ACTIVE');
}

async function putAll(table, items) {
  for (let at = 0; at < items.length; at += 25) {
    const r = await ask('BatchWriteItem', { RequestItems: { [table]: items.slice(at, at + 25).map((Item) => ({ PutRequest: { Item } })) } });
    assert.equal(r.status, 200, r.body);
  }
}

/** Runs the tool: `{code, lines, records, error, position}`. */
async function source(...args) {
  const options = args[0] instanceof Array ? args.shift() : [];
  const r = await run(tool, [...options, url, ...args], { env: { ...process.env, ...credentials } });
  const lines = r.stdout.trim().split('\n').filter(Boolean).map((l) => JSON.parse(l));
  return {
    code: r.code, lines, records: lines.filter((l) => 'key' in l), error: lines.find((l) => 'error' in l),
    position: lines.find((l) => 'position' in l)?.position,
  };
}

async function readAll(table, segments) {
  const out = [];
  for (const { piece } of (await source('pieces', table, String(segments))).lines) {
    const r = await source('read', table, piece);
    assert.equal(r.code, 0, JSON.stringify(r.error));
    assert.equal(r.position, 'end');
    out.push(...r.records);
  }
  return out;
}

const users = Array.from({ length: 700 }, (_, i) => ({ id: { S: `u${i}` }, n: { N: String(i) }, at: { N: String(1000 + i) } }));

before(async () => {
  db = dynalite({ createTableMs: 0 });
  await new Promise((ready) => db.listen(0, '127.0.0.1', ready));
  proxy = http.createServer(serve);
  await new Promise((ready) => proxy.listen(0, '127.0.0.1', ready));
  url = `dynamodb://127.0.0.1:${proxy.address().port}/eu-central-1`;
  await createTable('users', ['id', 'S']);
  await createTable('orders', ['user', 'S'], ['no', 'N']);
  await putAll('users', users);
});
after(async () => {
  await endAll();
  proxy?.close();
  proxy?.closeAllConnections();
  await new Promise((done) => db.close(done));
  assert.deepEqual(badSignatures, []);
});
afterEach(() => {
  for (const name of Object.keys(faults)) delete faults[name];
});

test('tables are listed with their size, and every request is signed', async () => {
  const r = await source('collections');
  assert.deepEqual(r.lines.map((l) => l.name), ['orders', 'users']);
  assert.ok(seen.length >= 3);
  assert.deepEqual(badSignatures, []);
});

test('every item is read once in any number of segments', async () => {
  for (const segments of [1, 4]) {
    const all = await readAll('users', segments);
    assert.equal(all.length, 700);
    assert.deepEqual(all.map((r) => r.doc.n).sort((a, b) => a - b), users.map((_, i) => i));
    assert.equal(all.find((r) => r.doc.n === 5).key, '{"id":{"S":"u5"}}');
  }
});

test('reading goes on in another process where a cut connection ended it', async () => {
  let calls = 0;
  faults.Scan = () => (++calls >= 4 ? { cut: true } : undefined);
  const cut = await source(['-b', '50'], 'read', 'users', 'segment 0 of 1');
  assert.equal(cut.code, 1);
  assert.equal(cut.error.code, 'unavailable');
  assert.equal(cut.records.length, 150);
  delete faults.Scan;
  const rest = await source(['-b', '50'], 'read', 'users', 'segment 0 of 1', cut.position);
  assert.equal(rest.code, 0);
  assert.equal(new Set([...cut.records, ...rest.records].map((r) => r.key)).size, 700);
  assert.equal(cut.records.length + rest.records.length, 700);
});

test('a connection lost in the middle of an answer is no answer', async () => {
  faults.Scan = () => ({ half: true });
  const r = await source('read', 'users', 'segment 0 of 1');
  assert.equal(r.error.code, 'unavailable');
  assert.equal(r.records.length, 0);
  assert.equal(r.position, '');
});

test('throttling is waited out, and given up after ten tries with no word of the service', async () => {
  let calls = 0;
  faults.Scan = () => (++calls <= 3 ? refusal('ProvisionedThroughputExceededException') : undefined);
  assert.equal((await source('read', 'users', 'segment 0 of 1')).records.length, 700);
  faults.PutItem = () => refusal('ValidationException');
  const r = await source('write', 'users', '{"id":{"S":"x"}}', '{"id":"x"}');
  assert.match(r.error.error, /ValidationException/);
  assert.doesNotMatch(JSON.stringify(r.error), /secret/);
});

test('every type comes back as it was stored', async () => {
  const item = {
    user: { S: 'ann' }, no: { N: '1.5' }, s: { S: 'a\u0000é😀' }, empty: { S: '' }, int: { N: '-9007199254740993' },
    big: { N: '12345678901234567890123456789012345678' }, small: { N: '0.00000000000000000000000000000000000001' },
    close: { N: '0.10000000000000001' }, b: { B: 'AP8=' }, t: { BOOL: true }, f: { BOOL: false }, nil: { NULL: true },
    l: { L: [{ N: '1' }, { L: [] }, { M: {} }] }, m: { M: { deep: { M: { x: { S: 'y' } } } } },
    ss: { SS: ['a', 'b'] }, ns: { NS: ['1', '2.5'] }, bs: { BS: ['AA==', '/w=='] },
  };
  await putAll('orders', [item]);
  const [r] = (await source('fetch', 'orders', '{"user":{"S":"ann"},"no":{"N":"1.5"}}')).records;
  assert.equal(r.doc.s, 'a\u0000é😀');
  assert.deepEqual(r.doc.b, { $binary: { base64: 'AP8=', subType: '00' } });
  assert.deepEqual(r.doc.l, [1, [], {}]);
  assert.deepEqual(r.doc.ns, [1, 2.5]);
  assert.equal(r.doc.nil, null);
});

test('what is written is fetched, what was deleted is gone, each once', async () => {
  assert.equal((await source('write', 'orders', '{"user":{"S":"bob"},"no":{"N":"7"}}', '{"user":"bob","no":7,"lines":[{"sku":"a","qty":2}],"price":19.99}')).code, 0);
  const keys = [7, 8].map((n) => `{"user":{"S":"bob"},"no":{"N":"${n}"}}`);
  let r = await source('fetch', 'orders', ...keys);
  assert.deepEqual(r.records.map((x) => [x.key, x.doc?.price]), [[keys[0], 19.99], [keys[1], undefined]]);
  const stored = JSON.parse((await ask('GetItem', { TableName: 'orders', Key: JSON.parse(keys[0]) })).body).Item;
  assert.deepEqual(stored.lines, { L: [{ M: { sku: { S: 'a' }, qty: { N: '2' } } }] });
  assert.equal((await source('write', 'orders', keys[0])).code, 0);
  r = await source('fetch', 'orders', ...keys);
  assert.deepEqual(r.records.map((x) => x.doc), [undefined, undefined]);
});

test('keys that the service puts off are asked for again', async () => {
  const keys = users.slice(0, 60).map((u) => JSON.stringify({ id: u.id }));
  let put = 0;
  faults.BatchGetItem = (body) => {
    const all = body.RequestItems.users.Keys;
    if (all.length < 4) return undefined;
    put++;
    const half = { users: { ConsistentRead: true, Keys: all.slice(0, all.length / 2) } };
    return { request: JSON.stringify({ RequestItems: half }), answer: (a) => ({ ...a, UnprocessedKeys: { users: { Keys: all.slice(all.length / 2) } } }) };
  };
  const r = await source('fetch', 'users', ...keys);
  assert.equal(r.code, 0, JSON.stringify(r.error));
  assert.ok(put > 3);
  assert.deepEqual(r.records.map((x) => x.doc.n).sort((a, b) => a - b), users.slice(0, 60).map((_, i) => i));
});

test('the attribute that says when an item expires is heeded', async () => {
  faults.DescribeTimeToLive = () => ({ status: 200, body: JSON.stringify({ TimeToLiveDescription: { TimeToLiveStatus: 'ENABLED', AttributeName: 'at' } }) });
  const [r] = (await source('fetch', 'users', '{"id":{"S":"u9"}}')).records;
  assert.equal(r.expires, 1009_000);
});

test('large items come within the memory a batch may take', async () => {
  await createTable('big', ['id', 'S']);
  for (let i = 0; i < 8; i++) await putAll('big', [{ id: { S: `b${i}` }, text: { S: 'x'.repeat(390_000) } }]);
  const tight = await source(['-m', '2000000'], 'read', 'big', 'segment 0 of 1');
  assert.equal(tight.code, 0, JSON.stringify(tight.error));
  assert.equal(tight.records.length, 8);
});

test('a sample is about as large as wanted', async () => {
  const r = await source('sample', 'users', '80');
  assert.ok(r.records.length >= 60 && r.records.length <= 80, `${r.records.length}`);
});

test('a field is polled, from now and from a position on', async () => {
  const env = { ...process.env, ...credentials };
  const p = start(tool, ['-f', 'at', '-p', '100', url, 'follow', '', 'users', 'orders'], { env });
  await p.line((l) => l.includes('"beat"'));
  await putAll('users', [{ id: { S: 'new1' }, at: { N: '5000' } }]);
  const put = JSON.parse(await p.line((l) => l.includes('"new1')));
  assert.equal(put.change, 'put');
  assert.equal(put.collection, 'users');
  const beat = JSON.parse(await p.line((l) => l.includes('"beat"') && l.includes('5000')));
  assert.ok(beat.staleness >= 0 && beat.staleness < 5000, `${beat.staleness}`);
  const stopped = performance.now();
  p.kill('SIGTERM');
  await p.ended;
  assert.ok(performance.now() - stopped < 1000);
  await putAll('users', [{ id: { S: 'new2' }, at: { N: '6000' } }]);
  const again = start(tool, ['-f', 'at', '-p', '100', url, 'follow', beat.position, 'users', 'orders'], { env });
  await again.line((l) => l.includes('"new2'));
  assert.ok(!again.lines.some((l) => l.includes('"u5"')));
  again.kill('SIGTERM');
  await again.ended;
  const none = await source('follow', '', 'users');
  assert.equal(none.error.code, 'invalid');
  assert.match(none.error.error, /field/);
});

test('a service that says nothing ends in a timeout, or within a second by the stop flag', async () => {
  faults.Scan = () => ({ silent: true });
  const r = await source(['-t', '300'], 'read', 'users', 'segment 0 of 1');
  assert.equal(r.error.code, 'timeout');
  const p = start(tool, [url, 'read', 'users', 'segment 0 of 1'], { env: { ...process.env, ...credentials } });
  const scans = seen.filter((o) => o === 'Scan').length;
  await until('the request', () => seen.filter((o) => o === 'Scan').length > scans);
  const began = performance.now();
  p.kill('SIGTERM');
  await p.ended;
  assert.ok(performance.now() - began < 1500, `${performance.now() - began} ms`);
  assert.match(p.lines.at(-1), /cancelled/);
});

test('mistakes are told without a secret', async () => {
  const env = { ...process.env, ...credentials };
  const tries = [
    ['dynamodb:', env], ['dynamodb://', env], ['dynamodb://EU_1', env], [`dynamodb://AKID:${SECRET}@h/eu-central-1`, env],
    ['dynamodb://127.0.0.1:1/eu-central-1', env], ['dynamodb://a b/eu-central-1', env],
    [url, { ...process.env, AWS_ACCESS_KEY_ID: '', AWS_SHARED_CREDENTIALS_FILE: '/nowhere' }],
  ];
  for (const [at, e] of tries) {
    const r = await run(tool, [at, 'collections'], { env: e });
    assert.equal(r.code, 1, at);
    const error = JSON.parse(r.stdout.trim());
    assert.ok(error.error.length > 10, r.stdout);
    assert.doesNotMatch(r.stdout + r.stderr, /hunter2/);
  }
  const none = await source('read', 'nobody', 'segment 0 of 1');
  assert.equal(none.error.code, 'not_found');
});
