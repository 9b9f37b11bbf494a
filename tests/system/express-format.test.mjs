// SPDX-License-Identifier: MIT
// The express-session codec and the "redis" store against a real Express app (express-session,
// connect-redis, passport) on a real redis-server, both ways.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import passport from 'passport';
import { createClient } from 'redis';

import { build } from '../lib/paths.mjs';

const tool = path.join(build, 'tests/system/legacy_tool');
const MAX_AGE = 60_000;
let dir, server, client;
const closing = [];

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'segue-express-'));
  server = spawn('redis-server', ['--port', '0', '--unixsocket', `${dir}/s`, '--save', '', '--dir', dir,
    '--logfile', 'log', '--hz', '100'], { stdio: 'ignore' });
  for (let i = 0; ; i++) {
    client = createClient({ socket: { path: `${dir}/s`, reconnectStrategy: false } });
    client.on('error', () => {});
    try {
      await client.connect();
      break;
    } catch (e) {
      if (i === 200) throw e;
      await sleep(25);
    }
  }
});

after(async () => {
  for (const close of closing) await close();
  client.destroy();
  server.kill('SIGKILL');
  await rm(dir, { recursive: true });
});

beforeEach(() => client.flushAll());

// ---- the app ----

async function startApp({ secret = 'keyboard cat', cookie = { maxAge: MAX_AGE }, serialize = (u) => u.id } = {}) {
  const auth = new passport.Passport();
  auth.serializeUser((user, done) => done(null, serialize(user)));
  auth.deserializeUser((stored, done) => done(null, { stored }));
  const app = express();
  app.use(session({ store: new RedisStore({ client }), secret, cookie, resave: false, saveUninitialized: false }));
  app.use(auth.session());
  app.post('/login/:kind/:id', (req, res, next) => {
    const id = req.params.kind === 'number' ? Number(req.params.id) : req.params.id;
    req.login({ id, name: 'Ann' }, (e) => (e ? next(e) : res.end()));
  });
  app.get('/me', (req, res) => res.json({ user: req.user?.stored ?? null, sid: req.sessionID, data: req.session.data ?? null }));
  app.post('/data/:value', (req, res) => {
    req.session.data = req.params.value;
    res.end();
  });
  app.post('/logout', (req, res, next) => req.logout((e) => (e ? next(e) : res.end())));
  app.post('/destroy', (req, res, next) => req.session.destroy((e) => (e ? next(e) : res.end())));
  const listener = await new Promise((ok) => {
    const l = app.listen(0, '127.0.0.1', () => ok(l));
  });
  closing.push(() => new Promise((ok) => (listener.closeAllConnections(), listener.close(ok))));
  return `http://127.0.0.1:${listener.address().port}`;
}

// A browser: keeps the cookie as it was sent, percent-encoded.
class Browser {
  constructor(app, credential) {
    this.app = app;
    this.credential = credential;
  }
  async call(method, where) {
    const headers = this.credential ? { cookie: `connect.sid=${this.credential}` } : {};
    const answer = await fetch(this.app + where, { method, headers });
    assert.equal(answer.status, 200);
    for (const line of answer.headers.getSetCookie()) {
      const found = /^connect\.sid=([^;]*)/.exec(line);
      if (found) this.credential = found[1];
    }
    const text = await answer.text();
    return text ? JSON.parse(text) : null;
  }
  get(where) {
    return this.call('GET', where);
  }
  post(where) {
    return this.call('POST', where);
  }
}

// ---- ours ----

const environment = (more) => ({ ...process.env, LEGACY_URL: `unix://${dir}/s`, ...more });

async function ours(args, more = {}) {
  const run = await promisify(execFile)(tool, args, { env: environment(more) }).catch((e) => e);
  return run.stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
}
const one = async (args, more) => (await ours(args, more))[0];

async function follow() {
  const child = spawn(tool, ['follow'], { env: environment(), stdio: ['ignore', 'pipe', 'inherit'] });
  closing.push(() => child.kill('SIGKILL'));
  const seen = [];
  readline.createInterface({ input: child.stdout }).on('line', (line) => seen.push(JSON.parse(line)));
  const until = async (wanted) => {
    for (let i = 0; i < 300; i++) {
      if (seen.some(wanted)) return;
      await sleep(10);
    }
    assert.fail(`not seen; seen were ${JSON.stringify(seen)}`);
  };
  await until((e) => e.event === 'UP');
  return { seen, until, stop: () => child.kill('SIGKILL') };
}

const is = (event, key) => (e) => e.event === event && e.key === key;

// ---- tests ----

test('Express accepts a session made here, with the user id of the type it uses', async () => {
  const app = await startApp();
  for (const [subject, stored] of [['42', 42], ['u-42', 'u-42'], ['007', '007']]) {
    const made = await one(['create', subject, String(MAX_AGE)]);
    assert.equal(made.found, false);
    const browser = new Browser(app, made.cookie);
    const me = await browser.get('/me');
    assert.equal(me.user, stored);
    assert.equal(`sess:${me.sid}`, made.key);
    assert.equal(browser.credential, made.cookie);
    // the app writes into it, and it stays the same session
    await browser.post('/data/basket');
    assert.deepEqual(await browser.get('/me'), { user: stored, sid: me.sid, data: 'basket' });
    assert.equal((await one(['read', made.cookie])).subject, subject);
  }
});

test('a session made here equals the one Express makes, but for its id and time', async () => {
  const app = await startApp();
  const browser = new Browser(app);
  await browser.post('/login/number/42');
  const theirKey = (await one(['read', browser.credential])).key;
  const made = await one(['create', '42', String(MAX_AGE)]);
  const [theirs, mine] = [JSON.parse(await client.get(theirKey)), JSON.parse(made.value)];
  delete theirs.cookie.expires;
  delete mine.cookie.expires;
  assert.deepEqual(mine, theirs);
  assert.equal(made.key.length, theirKey.length);
  assert.ok(Math.abs((await client.pTTL(theirKey)) - (await client.pTTL(made.key))) < 5000);
});

test('a session of Express decodes here, from the cookie and from the raw signed id', async () => {
  const browser = new Browser(await startApp());
  await browser.post('/login/number/42');
  for (const credential of [browser.credential, decodeURIComponent(browser.credential)]) {
    const read = await one(['read', credential]);
    assert.equal(read.found, true);
    assert.equal(read.subject, '42');
    assert.equal(read.idle_ms, MAX_AGE);
    assert.ok(read.ttl_ms > MAX_AGE - 5000 && read.ttl_ms <= MAX_AGE);
    assert.equal((await one(['cookie', read.key])).cookie, browser.credential);
  }
});

test('the lifetime is the key\'s, not the one in the stale JSON', async () => {
  const browser = new Browser(await startApp());
  await browser.post('/login/number/42');
  const { key } = await one(['read', browser.credential]);
  const written = JSON.parse(await client.get(key)).cookie.expires;
  await client.pExpire(key, 5000);
  await sleep(50);
  await browser.get('/me'); // Express touches: EXPIRE only
  assert.equal(JSON.parse(await client.get(key)).cookie.expires, written);
  assert.ok((await one(['read', browser.credential])).ttl_ms > MAX_AGE - 5000);
  await client.pExpire(key, 7000);
  const { ttl_ms } = await one(['read', browser.credential]);
  assert.ok(ttl_ms > 5000 && ttl_ms <= 7000);
});

test('a touch lengthens the life and leaves the value as it was', async () => {
  const browser = new Browser(await startApp());
  await browser.post('/login/string/ann');
  const { key } = await one(['read', browser.credential]);
  const value = await client.get(key);
  assert.equal((await one(['touch', browser.credential, '600000'])).found, true);
  assert.ok((await client.pTTL(key)) > 590_000);
  assert.equal(await client.get(key), value);
  assert.equal((await browser.get('/me')).user, 'ann');
});

test('an end here logs the browser out of Express', async () => {
  const browser = new Browser(await startApp());
  await browser.post('/login/number/42');
  const old = browser.credential;
  assert.equal((await one(['end', old])).found, true);
  assert.equal((await browser.get('/me')).user, null);
  assert.equal((await one(['read', old])).found, false);
});

test('logout, destroy and rotation at login are followed as deletions', async () => {
  const app = await startApp();
  const watch = await follow();
  const browser = new Browser(app);
  await browser.post('/data/before-login');
  const anonymous = (await one(['read', browser.credential])).key;
  await watch.until(is('SET', anonymous));
  await browser.post('/login/number/42');
  await watch.until(is('DELETED', anonymous));
  const loggedIn = (await one(['read', browser.credential])).key;
  await watch.until(is('SET', loggedIn));
  await browser.post('/logout');
  await watch.until(is('DELETED', loggedIn));
  assert.equal((await one(['read', browser.credential])).subject, '');
  await browser.post('/login/number/42');
  const again = (await one(['read', browser.credential])).key;
  await browser.post('/destroy');
  await watch.until(is('DELETED', again));
  assert.ok(!watch.seen.some((e) => e.event === 'DOWN' || e.event === 'EXPIRED'));
  watch.stop();
});

test('a touch by Express is followed, and an expiry is not told as a deletion', async () => {
  const browser = new Browser(await startApp());
  await browser.post('/login/number/42');
  const { key } = await one(['read', browser.credential]);
  const watch = await follow();
  await browser.get('/me');
  await watch.until(is('SET', key));
  await client.pExpire(key, 40);
  await watch.until(is('EXPIRED', key));
  assert.ok(!watch.seen.some(is('DELETED', key)));
  assert.equal((await browser.get('/me')).user, null);
  watch.stop();
});

test('secrets rotate: the first signs, all verify, on both sides', async () => {
  const before = await startApp({ secret: 'old' });
  const rotated = await startApp({ secret: ['new', 'old'] });
  const browser = new Browser(before);
  await browser.post('/login/number/42');
  const both = { LEGACY_SECRETS: 'new\nold' };
  assert.equal((await one(['read', browser.credential], both)).subject, '42');
  assert.equal((await one(['read', browser.credential], { LEGACY_SECRETS: 'new' })).error, 'denied');
  const made = await one(['create', '7', String(MAX_AGE)], both);
  assert.equal((await new Browser(rotated, made.cookie).get('/me')).user, 7);
  assert.equal((await new Browser(before, made.cookie).get('/me')).user, null);
});

test('an app without maxAge: no lifetime of its own, a day in Redis', async () => {
  const app = await startApp({ cookie: {} });
  const browser = new Browser(app);
  await browser.post('/login/number/42');
  const read = await one(['read', browser.credential]);
  assert.equal(read.idle_ms, 0);
  assert.ok(read.ttl_ms > 86_390_000 && read.ttl_ms <= 86_400_000);
  const made = await one(['create', '7', '0']);
  assert.equal((await new Browser(app, made.cookie).get('/me')).user, 7);
  assert.ok((await client.pTTL(made.key)) > 86_390_000);
});

test('a user kept as an object is found by its path, both ways', async () => {
  const app = await startApp({ serialize: (u) => ({ id: u.id }) });
  const browser = new Browser(app);
  await browser.post('/login/number/42');
  const inside = { LEGACY_SUBJECT_PATH: 'passport.user.id' };
  assert.equal((await one(['read', browser.credential], inside)).subject, '42');
  const refused = await one(['read', browser.credential]);
  assert.equal(refused.error, 'invalid');
  assert.equal(refused.place, 'passport.user');
  const made = await one(['create', 'u-7', String(MAX_AGE)], inside);
  assert.deepEqual((await new Browser(app, made.cookie).get('/me')).user, { id: 'u-7' });
});

test('a scan lists every session of Express, and tells what does not decode', async () => {
  const app = await startApp();
  const want = new Map();
  for (let i = 0; i < 60; i++) {
    const browser = new Browser(app);
    await browser.post(i % 10 === 0 ? '/data/x' : `/login/number/${i}`);
    want.set((await one(['read', browser.credential])).key, i % 10 === 0 ? '' : String(i));
  }
  await client.set('sess:broken', '{"cookie":');
  await client.set('other:key', 'x');
  const found = await ours(['scan']);
  assert.equal(found.length, want.size + 1);
  for (const item of found)
    if (item.key === 'sess:broken') assert.equal(item.decodes, false);
    else assert.equal(item.subject, want.get(item.key));
});
