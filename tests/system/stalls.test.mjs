// SPDX-License-Identifier: MIT
// Stores that stop answering: nothing blocks a loop, nobody is logged out, and everything comes back (P1, P3, rules 8 and 13).
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, overlay, startWorld } from '../lib/segue.mjs';
import { sleep, until } from '../lib/wait.mjs';

const STALL_MS = 10_000;
let w, a, b;
let user = 0;

before(async () => {
  // Control lives on an instance of its own here, so that it can fail alone.
  w = await startWorld({
    shards: 3,
    users: 400,
    main: (c) => ({ control: c.shards[2].conninfo, shards: c.shards.slice(0, 2).map((s) => s.conninfo) }),
    realms: { main: {}, short: { token: { lifetime: '1s' } }, quiet: {} },
  });
  const introspecting = w.write('introspect.yaml', overlay(w.config, { segue: { feed: { when_stale: 'introspect' } } }));
  [a, b] = await Promise.all([w.serve('a'), w.serve('b', { config: introspecting })]);
  w.startBeats(['main', 'short']); // none for quiet: as when the beat's way, through Redis, is stopped too
  for (const realm of w.realms) {
    await w.proveContinuity(realm);
    await w.policy(realm, { phase: 'exchange', percent: 100 });
  }
});
after(() => w?.stop());
afterEach(async () => {
  const { servers } = await w.cluster.status();
  for (const s of servers) if (s.state === 'paused') await w.cluster.resume(s.name);
  for (const s of servers) if (s.state === 'stopped') await w.cluster.start(s.name);
});

const shardOf = async (subject) => ((await w.shard(0, `SELECT count(*) FROM segue.session WHERE subject = '${subject}'`)) === '0' ? 1 : 0);

/** A session with its tokens, of a subject on that shard. */
async function login(shard, realm = 'main') {
  for (;;) {
    const s = await w.session(++user, { realm });
    const r = await a.exchange(s);
    assert.equal(r.status, 200, r.body);
    // The record's own digest may lie on the other shard; the subject's decides.
    if (shard === undefined || (await shardOf(s.subject)) === shard) return { ...s, ...r.json() };
  }
}

const percentile = (list, p) => [...list].sort((x, y) => x - y)[Math.min(list.length - 1, Math.floor((list.length * p) / 100))];

/** Asks probes {name: () => Promise<answer>} in turn, about 25 times a second, for `ms`; {name: {ms: [], statuses: Map}}. */
async function watch(probes, ms) {
  const seen = Object.fromEntries(Object.keys(probes).map((k) => [k, { ms: [], statuses: new Map() }]));
  const end = Date.now() + ms;
  await Promise.all(
    Object.entries(probes).map(async ([name, ask]) => {
      while (Date.now() < end) {
        const r = await ask();
        seen[name].ms.push(r.ms);
        seen[name].statuses.set(r.status, (seen[name].statuses.get(r.status) ?? 0) + 1);
        await sleep(40);
      }
    }),
  );
  return seen;
}

test('with a shard and Redis stopped for 10 s, health and JWTs are answered as ever', async (t) => {
  const [here, there, quiet] = [await login(0), await login(1), await login(0, 'quiet')];
  await until('b to know a beat', async () => (await b.metric('segue_heartbeat_age_seconds{realm="main"}')) < 1);
  const quick = {
    'a /healthz': () => a.request('GET', '/healthz'),
    'b /healthz': () => b.request('GET', '/healthz'),
    'a JWT': () => a.verify({ bearer: here.access_token }),
    'a JWT of the stopped shard': () => a.verify({ bearer: there.access_token }),
    'a JWT cookie with its session': () => a.verify({ cookies: { [JWT_COOKIE]: there.access_token, [LEGACY_COOKIE]: there.cookie } }),
    'b JWT': () => b.verify({ bearer: here.access_token }),
  };
  const calm = await watch(quick, 1500);
  // What asks a stopped store waits for it, and must not keep others waiting.
  const waiting = {
    'legacy cookie': () => a.verify({ cookies: { [LEGACY_COOKIE]: here.cookie } }),
    exchange: () => a.exchange(here),
    'refresh on the stopped shard': () => b.refresh(there.refresh_token),
    'b JWT of the stopped shard': () => b.verify({ bearer: there.access_token }),
    'b JWT of a realm whose beat is stale': () => b.verify({ realm: 'quiet', bearer: quiet.access_token }),
    'b the same beside its session': () => b.verify({ cookies: { [JWT_COOKIE]: there.access_token, [LEGACY_COOKIE]: there.cookie } }),
  };
  await w.cluster.pause('shard1');
  await w.cluster.pause('redis');
  const [fast, slow] = await Promise.all([watch(quick, STALL_MS), watch(waiting, STALL_MS)]);
  await w.cluster.resume('shard1');
  await w.cluster.resume('redis');

  for (const [name, { ms, statuses }] of Object.entries(fast)) {
    const [p99, before] = [percentile(ms, 99), percentile(calm[name].ms, 99)];
    t.diagnostic(`${name}: ${ms.length} answers, p99 ${p99.toFixed(1)} ms (${before.toFixed(1)} before), max ${Math.max(...ms).toFixed(1)}`);
    assert.deepEqual([...statuses.keys()], [200], name);
    assert.ok(ms.length > 50, `${name}: ${ms.length} answers`);
    // On a machine that is busy otherwise, what it did before the stall is the measure.
    assert.ok(p99 < Math.max(50, 3 * before), `${name}: p99 ${p99} ms`);
  }
  for (const [name, { ms, statuses }] of Object.entries(slow)) {
    t.diagnostic(`${name}: ${JSON.stringify([...statuses])}, slowest ${Math.max(...ms).toFixed(0)} ms`);
    assert.ok(Math.max(...ms) < 7000, name);
    for (const status of statuses.keys()) assert.ok([200, 503].includes(status), `${name}: ${status}`);
  }
  assert.deepEqual([...slow['legacy cookie'].statuses.keys()], [200], 'the app can judge its own cookie');
  assert.ok(slow['b JWT of the stopped shard'].statuses.get(503) > 0, 'introspect cannot know, and says so');

  const since = Date.now();
  for (const i of [a, b])
    for (const s of [here, there]) {
      await until('JWTs to be answered', async () => (await i.verify({ bearer: s.access_token })).status === 200, 5000);
      await until('exchanges to work', async () => (await i.exchange(s)).status === 200, 5000);
      await until('refreshes to work', async () => (await i.refresh(s.refresh_token)).status === 200, 5000);
      await until('the cookie to be known', async () => (await i.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).subject === s.subject, 5000);
    }
  t.diagnostic(`all of it works again ${Date.now() - since} ms after they went on`);
  // And what is ended now is over everywhere: the feed runs again.
  assert.equal((await a.revoke(there.access_token)).status, 200);
  await until('the logout to be seen', async () => (await b.verify({ bearer: there.access_token })).status === 401, 1000, 5);
});

describe('with control stopped', () => {
  for (const how of ['pause', 'halt'])
    test(`(${how}) it verifies and renews, hands out no first JWT after 2 s, and logs nobody out`, async () => {
      const s = await login();
      const quick = await login(undefined, 'short');
      const expired = (await a.verify({ realm: 'short', cookies: { [LEGACY_COOKIE]: quick.cookie } })).handed;
      await w.cluster[how]('shard2');
      await sleep(2600);
      const first = await w.session(++user);
      const seen = await a.verify({ cookies: { [LEGACY_COOKIE]: first.cookie } });
      assert.deepEqual([seen.status, seen.subject, seen.handed, seen.removed], [200, first.subject, undefined, false]);
      const exchange = await b.exchange(first);
      assert.deepEqual([exchange.status, exchange.json().error], [400, 'temporarily_unavailable']);
      for (const i of [a, b]) {
        assert.equal((await i.verify({ bearer: s.access_token })).status, 200);
        assert.equal((await i.refresh(s.refresh_token)).status, 200);
        assert.equal((await i.exchange(s)).status, 200, 'it holds one already');
        assert.equal((await i.request('GET', '/readyz')).status, 200);
      }
      const renewed = await a.verify({ realm: 'short', cookies: { [JWT_COOKIE]: expired } });
      assert.deepEqual([renewed.status, renewed.subject], [200, quick.subject]);
      assert.ok(renewed.handed);
      assert.equal((await a.revoke(s.access_token)).status, 200, 'a logout needs no control');
      await until('the logout to be seen', async () => (await b.verify({ bearer: s.access_token })).status === 401, 1000, 5);
      await w.cluster[how === 'pause' ? 'resume' : 'start']('shard2');
      await until('first JWTs to be handed over again', async () => (await b.exchange(first)).status === 200, 6000);
    });

  test('an instance that cannot reach it stops handing JWTs over after a rollback elsewhere', async () => {
    // Cut off from control alone: its configuration names one that nobody listens on, once the keys were read.
    await w.cluster.pause('shard2');
    await sleep(2600);
    const s = await w.session(++user);
    for (const i of [a, b]) assert.equal((await i.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).handed, undefined);
    await w.cluster.resume('shard2');
    await w.policy('main', { phase: 'observe', percent: 0 });
    assert.equal((await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).handed, undefined);
    await w.policy('main', { phase: 'exchange', percent: 100 });
    await until('a JWT', async () => (await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } })).handed, 3000);
  });
});

describe('with the identity source stopped', () => {
  test('session cookies pass, nothing is minted with roles that were not read, and nobody is logged out', async () => {
    const s = await login();
    await w.cluster.halt('appdb');
    await sleep(1100); // what was read is fresh for a second
    const seen = await a.verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
    assert.deepEqual([seen.status, seen.subject, seen.credential, seen.handed], [200, s.subject, 'legacy', undefined]);
    assert.equal((await a.verify({ bearer: s.access_token })).status, 200);
    const refresh = await a.refresh(s.refresh_token);
    assert.equal(refresh.status, 503, refresh.body);
    assert.equal(refresh.headers['retry-after'], '1');
    assert.equal((await a.exchange(s)).status, 503);
    await w.cluster.start('appdb');
    await until('refreshes to work', async () => (await b.refresh(s.refresh_token)).status === 200, 5000);
  });
});

describe('with Redis gone', () => {
  test('JWTs renew by what PostgreSQL holds, exchanges wait, and no cookie is taken away', async () => {
    const s = await login();
    const fresh = await w.session(++user);
    await w.cluster.halt('redis');
    assert.equal((await a.refresh(s.refresh_token)).status, 200);
    assert.equal((await a.verify({ bearer: s.access_token })).status, 200);
    const exchange = await a.exchange(fresh);
    assert.deepEqual([exchange.status, exchange.json().error], [503, 'temporarily_unavailable']);
    const passed = await a.verify({ cookies: { [LEGACY_COOKIE]: fresh.cookie, [JWT_COOKIE]: s.access_token } });
    assert.ok([200, 503].includes(passed.status));
    assert.equal(passed.removed, false);
    const alone = await a.verify({ cookies: { [LEGACY_COOKIE]: fresh.cookie }, headers: { 'x-segue-auth': 'required' } });
    assert.deepEqual([alone.status, alone.cookie], [200, `${LEGACY_COOKIE}=${fresh.cookie}`]);
    await w.cluster.start('redis'); // empty: nothing was saved
    await until('our own connection to Redis', () => w.redisOf('main').ping());
    const later = await until('an answer', async () => {
      const r = await b.refresh(s.refresh_token);
      return r.status === 200 && r;
    }, 5000);
    assert.equal(decodeJwt(later.json().access_token).claims.sub, s.subject);
    assert.equal(await w.total(`SELECT count(*) FROM segue.session WHERE subject = '${s.subject}' AND ended_at IS NULL`), 1, 'an empty store logs nobody out');
  });
});

describe('a shard killed', () => {
  test('costs its subjects a retry, not their session', async () => {
    const [here, there] = [await login(0), await login(1)];
    await w.cluster.kill('shard1');
    assert.equal((await a.refresh(here.refresh_token)).status, 200);
    const r = await a.refresh(there.refresh_token);
    assert.deepEqual([r.status, r.headers['retry-after']], [503, '1']);
    assert.equal((await a.verify({ bearer: there.access_token })).status, 200);
    await w.cluster.start('shard1');
    await until('the refresh to work', async () => (await a.refresh(there.refresh_token)).status === 200, 5000);
  });
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
