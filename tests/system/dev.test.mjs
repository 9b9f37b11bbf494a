// SPDX-License-Identifier: MIT
// `segue dev`: the cluster is as described, takes faults, and nothing of it outlives its process, however that ends.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startCluster } from '../lib/cluster.mjs';
import { segue } from '../lib/paths.mjs';
import { alive, endAll, processesIn, redis, run, sql, start } from '../lib/proc.mjs';
import { until } from '../lib/wait.mjs';

// A TMPDIR of our own: what is left in it was left by `segue dev`.
const tmp = mkdtempSync(path.join(os.tmpdir(), 'sg-'));
chmodSync(tmp, 0o755);
const env = { TMPDIR: tmp };
const inTmp = { env: { ...process.env, ...env } };
after(async () => {
  await endAll();
  rmSync(tmp, { recursive: true, force: true });
});

function assertNothingLeft(dir) {
  assert.deepEqual(processesIn(dir), [], 'no process works in the directory');
  assert.equal(existsSync(dir), false, 'the directory is gone');
  assert.deepEqual(readdirSync(tmp), [], 'TMPDIR is empty');
}

/** The System V segments that belong to a cluster's PostgreSQL instances, by the id in each pid file. */
const sharedMemoryOf = (cluster) =>
  cluster.shards.map((s) => readFileSync(path.join(cluster.dir, s.name, 'postmaster.pid'), 'utf8').split('\n')[6].trim().split(/\s+/)[1]);
const sharedMemory = async () => (await run('ipcs', ['-m'])).stdout.split('\n').map((l) => l.split(/\s+/)[1]);

describe('a cluster', () => {
  let c;
  before(async () => (c = await startCluster({ shards: 3, appDb: true, appendonly: true, env })));
  after(() => c?.stop());

  test('describes itself on stdout as in cluster.json', () => {
    const file = JSON.parse(readFileSync(path.join(c.dir, 'cluster.json'), 'utf8'));
    assert.deepEqual(file.shards.map((s) => s.name), ['shard0', 'shard1', 'shard2']);
    for (const part of ['dir', 'shards', 'control', 'appdb', 'redis']) assert.deepEqual(file[part], c[part], part);
    assert.equal(path.dirname(c.dir), tmp);
    assert.equal(c.pid, c.dev.pid);
  });

  test('every PostgreSQL answers by TCP and by its Unix socket, under the port and id it names', async () => {
    for (const s of [...c.shards, c.appdb]) {
      assert.equal(await sql(s.conninfo, 'SHOW port'), String(s.port));
      const owner = s.name === 'appdb' ? 'app' : 'segue';
      assert.equal(await sql(`host=${s.socket_dir} port=${s.port} user=${owner} dbname=${owner}`, 'SELECT 1'), '1');
      assert.equal(readFileSync(path.join(c.dir, s.name, 'postmaster.pid'), 'utf8').split('\n')[0], String(s.pid));
    }
    assert.equal(new Set([...c.shards, c.appdb].map((s) => s.port)).size, 4);
  });

  test('control is a database of its own on the first shard', async () => {
    assert.equal(await sql(c.control.conninfo, 'SELECT current_database()'), 'control');
    assert.equal(await sql(c.control.conninfo, 'SHOW port'), String(c.shards[0].port));
  });

  test('Segue owns its databases without being superuser; commits are synchronous', async () => {
    assert.equal(await sql(c.shards[1].conninfo, "SELECT usesuper FROM pg_user WHERE usename = current_user"), 'f');
    assert.equal(await sql(c.shards[1].conninfo, 'CREATE SCHEMA s; CREATE TABLE s.t (i int); SELECT count(*) FROM s.t'), '0');
    assert.equal(await sql(c.shards[1].admin_conninfo, "SELECT usesuper FROM pg_user WHERE usename = current_user"), 't');
    assert.equal(await sql(c.shards[1].conninfo, 'SHOW synchronous_commit'), 'on');
  });

  test('Redis answers by TCP and by its Unix socket', async () => {
    assert.equal(await redis(c.redis.url, 'PING'), 'PONG');
    assert.equal((await run('redis-cli', ['-s', c.redis.socket, 'PING'])).stdout, 'PONG\n');
    assert.match(await redis(c.redis.url, 'INFO', 'server'), new RegExp(`run_id:${c.redis.run_id}`));
  });

  test('listens on the loopback address only', async () => {
    const outside = Object.values(os.networkInterfaces()).flat().filter((i) => !i.internal && i.family === 'IPv4');
    for (const { address } of outside)
      for (const port of [c.shards[0].port, c.redis.port])
        await assert.rejects(new Promise((ok, no) => net.connect(port, address, ok).on('error', no)), { code: 'ECONNREFUSED' });
  });

  test('a restarted shard has a new process, the old port and its data', async () => {
    await sql(c.shards[2].conninfo, 'CREATE TABLE kept AS SELECT 42 AS n');
    const before = c.shards[2].pid;
    const r = await c.restart('shard2');
    assert.equal(r.old_pid, before);
    assert.notEqual(r.new_pid, before);
    assert.equal(alive(before), false);
    assert.equal(await sql(c.shards[2].conninfo, 'SELECT n FROM kept'), '42');
    assert.equal(JSON.parse(readFileSync(path.join(c.dir, 'cluster.json'), 'utf8')).shards[2].pid, r.new_pid);
  });

  test('a killed shard takes its backends with it, and comes back with what was committed', async () => {
    const session = start('psql', ['-XAtq', c.shards[1].conninfo]);
    // A backend that works does not notice by itself that its postmaster is gone.
    session.write('CREATE TABLE survived AS SELECT 7 AS n;\nSELECT pg_backend_pid();\nDO $$ BEGIN LOOP END LOOP; END $$;\n');
    const backend = Number(await session.line());
    assert.equal(alive(backend), true);
    await new Promise((r) => setTimeout(r, 100));
    const { old_pid: postmaster } = await c.kill('shard1');
    assert.equal(alive(postmaster), false);
    await until('the end of the backend', () => !alive(backend), 1_000); // the kernel may still be taking it down
    session.kill('SIGKILL');
    await assert.rejects(sql(c.shards[1].conninfo, 'SELECT 1'), /refused/);
    assert.equal(await sql(c.shards[0].conninfo, 'SELECT 1'), '1');
    assert.equal((await c.status()).servers[1].state, 'stopped');
    await c.start('shard1');
    assert.equal(await sql(c.shards[1].conninfo, 'SELECT n FROM survived'), '7');
  });

  test('a paused shard stops answering on old connections too, until resumed', async () => {
    const session = start('psql', ['-XAtq', c.shards[0].conninfo]);
    session.write("SELECT 'before';\n");
    assert.equal(await session.line(), 'before');
    await c.pause('shard0');
    const answer = session.line();
    session.write("SELECT 'after';\n");
    assert.equal(await Promise.race([answer, new Promise((r) => setTimeout(r, 500, 'silence'))]), 'silence');
    await c.resume('shard0');
    assert.equal(await answer, 'after');
    session.child.stdin.end();
  });

  test('Redis comes back from restart and kill with a new run id, and with --redis-appendonly its data', async () => {
    await redis(c.redis.url, 'SET', 'k', 'v');
    const first = c.redis.run_id;
    const restarted = await c.restart('redis');
    assert.notEqual(restarted.run_id, first);
    await c.kill('redis');
    await assert.rejects(redis(c.redis.url, 'PING'));
    const started = await c.start('redis');
    assert.notEqual(started.run_id, restarted.run_id);
    assert.equal(await redis(c.redis.url, 'GET', 'k'), 'v');
  });

  test('a server that dies by itself is reported and can be started again', async () => {
    process.kill(c.redis.pid, 'SIGKILL');
    await until('report', () => /redis \(pid \d+\) ended by itself \(signal 9\)/.test(c.dev.stderr));
    await c.start('redis');
    assert.equal(await redis(c.redis.url, 'PING'), 'PONG');
  });

  test('a command that makes no sense is refused with what was expected, and changes nothing', async () => {
    for (const [text, error] of [
      ['restart shard 9', /shard9: no such server/],
      ['explode shard 0', /explode: expected start, stop, restart/],
      ['start shard 0', /shard0: it is running/],
      ['restart', /expected a verb and 'shard N'/],
    ]) {
      const answer = await c.command(text);
      assert.equal(answer.ok, false, text);
      assert.match(answer.error, error);
    }
    assert.ok((await c.status()).servers.every((s) => s.state === 'running'));
  });

  test('a server whose port was taken meanwhile says so', async () => {
    await c.halt('redis');
    const thief = net.createServer().listen(c.redis.port, '127.0.0.1');
    await new Promise((r) => thief.on('listening', r));
    await assert.rejects(c.start('redis'), new RegExp(`redis: port ${c.redis.port} is in use by another process`));
    await new Promise((r) => thief.close(r));
    await c.start('redis');
  });
});

describe('nothing outlives segue dev', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL']) {
    test(`after ${signal}`, async () => {
      const c = await startCluster({ shards: 2, env });
      const segments = sharedMemoryOf(c);
      const held = await sharedMemory();
      assert.ok(segments.every((id) => held.includes(id)), 'the segments are there while it runs');
      await c.pause('shard1'); // a stopped process does not act on the signals that end the others
      const session = start('psql', ['-XAtq', c.shards[0].conninfo]);
      session.write('SELECT 1;\nSELECT pg_sleep(60);\n');
      await session.line();
      assert.ok(processesIn(c.dir).length > 6);
      c.dev.kill(signal);
      const { code } = await c.dev.ended;
      if (signal !== 'SIGKILL') assert.equal(code, 0);
      session.kill('SIGKILL');
      await until('removal', () => !existsSync(c.dir), 5_000);
      assertNothingLeft(c.dir);
      const after = await sharedMemory();
      const left = segments.filter((id) => after.includes(id));
      for (const id of left) await run('ipcrm', ['-m', id]);
      assert.deepEqual(left, [], 'no shared memory is left');
    });
  }

  test('after quit, and after the end of stdin with --exit-on-eof', async () => {
    for (const end of [(c) => c.dev.write('quit\n'), (c) => c.dev.child.stdin.end()]) {
      const c = await startCluster({ shards: 1, redis: false, env });
      end(c);
      assert.equal((await c.dev.ended).code, 0);
      assertNothingLeft(c.dir);
    }
  });

  test('it goes on after the end of stdin without --exit-on-eof', async () => {
    const dev = start(segue, ['dev', '--shards', '1', '--no-redis', '--json'], inTmp);
    dev.child.stdin.end();
    const { shards, dir } = JSON.parse(await dev.line());
    await dev.line((l) => l === 'ready');
    assert.equal(await sql(shards[0].conninfo, 'SELECT 1'), '1');
    dev.kill('SIGTERM');
    await dev.ended;
    assertNothingLeft(dir);
  });

  test('after a signal while it is still starting', async () => {
    for (const ms of [30, 200, 600, 900]) {
      const dev = start(segue, ['dev', '--shards', '3'], inTmp);
      await new Promise((r) => setTimeout(r, ms));
      dev.kill('SIGTERM');
      const { code, signal } = await dev.ended;
      assert.ok(code === 1 || code === 0 || signal === 'SIGTERM', `ends at once (${code} ${signal})`);
      assert.deepEqual(readdirSync(tmp), []);
    }
  });

  test('when watcher and parent are both killed, the servers die and the next start sweeps the directory', async () => {
    const c = await startCluster({ shards: 1, env });
    const watcher = readdirSync('/proc').filter((n) => /^\d+$/.test(n)).find((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return stat.includes('(segue)') && Number(stat.split(') ')[1].split(' ')[1]) === c.dev.pid;
      } catch {
        return false;
      }
    });
    process.kill(Number(watcher), 'SIGKILL');
    c.dev.kill('SIGKILL');
    await c.dev.ended;
    await until('end of the servers', () => processesIn(c.dir).length === 0);
    assert.equal(existsSync(c.dir), true);
    const next = await startCluster({ shards: 1, redis: false, env });
    assert.equal(existsSync(c.dir), false, 'swept');
    assert.equal(await sql(next.shards[0].conninfo, 'SELECT 1'), '1');
    const other = await startCluster({ shards: 1, redis: false, env });
    assert.equal(await sql(next.shards[0].conninfo, 'SELECT 1'), '1', 'a living cluster is not swept');
    await other.stop();
    await next.stop();
    assertNothingLeft(next.dir);
  });

  test('but the files of --keep, in the directory that was asked for', async () => {
    const dir = path.join(tmp, 'kept');
    const c = await startCluster({ shards: 1, env, args: ['--dir', dir, '--keep'] });
    assert.equal(c.dir, dir);
    await c.stop();
    assert.deepEqual(processesIn(dir), []);
    assert.ok(existsSync(path.join(dir, 'shard0/PG_VERSION')));
    assert.equal(existsSync(path.join(dir, 'shard0/postmaster.pid')), false, 'PostgreSQL was shut down in order');
    const again = await run(segue, ['dev', '--dir', dir], inTmp);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /kept: expected an empty directory/);
    rmSync(dir, { recursive: true });
  });

  test('nor the content of a directory that was there before', async () => {
    const dir = path.join(tmp, 'mine');
    mkdirSync(dir, { mode: 0o755 });
    const c = await startCluster({ shards: 1, redis: false, env, args: ['--dir', dir] });
    await c.stop();
    assert.deepEqual(readdirSync(dir), []);
    rmSync(dir, { recursive: true });
  });
});

describe('what goes wrong is said', () => {
  const fails = async (args, code, message, options = inTmp) => {
    const r = await run(segue, ['dev', ...args], options);
    assert.match(r.stderr, message);
    assert.equal(r.code, code);
    assert.deepEqual(readdirSync(tmp), []);
  };

  test('a missing program, with the package that has it', async () => {
    await fails(['--pg-bin', '/nonexistent'], 1, /postgres: not found in \/nonexistent: apt-get install postgresql-15/);
    await fails([], 1, /redis-server: not found: apt-get install redis-server/, { env: { ...env, PATH: '/nonexistent' } });
  });

  test('an initdb that fails, with its last lines', async () => {
    const bin = path.join(tmp, 'bin');
    mkdirSync(bin);
    for (const [name, text] of [['postgres', 'exit 0'], ['initdb', 'echo one; echo "the disk is tired" >&2; exit 3']]) {
      writeFileSync(path.join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
      chmodSync(path.join(bin, name), 0o755);
    }
    const elsewhere = mkdtempSync(path.join(os.tmpdir(), 'sg-'));
    chmodSync(elsewhere, 0o755);
    const r = await run(segue, ['dev', '--pg-bin', bin], { env: { ...process.env, TMPDIR: elsewhere } });
    assert.equal(r.code, 1);
    assert.match(r.stderr, /initdb: failed:\none\nthe disk is tired\n/);
    assert.deepEqual(readdirSync(elsewhere), []);
    rmSync(elsewhere, { recursive: true });
    rmSync(bin, { recursive: true });
  });

  test('a directory that PostgreSQL could not enter or that does not exist', async (t) => {
    await fails(['--dir', '/nonexistent/x'], 1, /\/nonexistent\/x: No such file or directory/);
    await fails(['--dir', path.join(tmp, 'x'.repeat(90))], 1, /expected a path of at most 83 bytes/);
    if (process.getuid() !== 0) return t.diagnostic('not root: nothing to enter as another user');
    chmodSync(tmp, 0o700);
    await fails([], 1, /user postgres cannot enter it: choose another place with --dir or TMPDIR/);
    chmodSync(tmp, 0o755);
  });

  test('a wrong command line, with a suggestion and exit code 2', async () => {
    await fails(['--shard', '3'], 2, /unknown option --shard: did you mean --shards\?/);
    await fails(['--shards', '0'], 2, /--shards: expected a number from 1 to 16, got '0'/);
    await fails(['--shards'], 2, /--shards: expected N after it/);
    await fails(['--keep=yes'], 2, /--keep takes no value/);
    await fails(['more'], 2, /unexpected 'more'/);
  });
});

describe('segue', () => {
  test('prints its commands, its version, and the help of a command', async () => {
    const help = await run(segue, ['help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /^  dev +start a throw-away cluster/m);
    assert.match((await run(segue, ['--version'])).stdout, /^segue \d+\.\d+\.\d+\n$/);
    const dev = await run(segue, ['dev', '--help']);
    assert.match(dev.stdout, /^usage: segue dev \[options\]/);
    assert.equal((await run(segue, ['help', 'dev'])).stdout, dev.stdout);
  });

  test('suggests the nearest command; no command at all is a usage error', async () => {
    const typo = await run(segue, ['dve']);
    assert.equal(typo.code, 2);
    assert.match(typo.stderr, /unknown command 'dve': did you mean 'dev'\?/);
    assert.equal((await run(segue, ['transmogrify'])).stderr, "segue: unknown command 'transmogrify'\nsee: segue help\n");
    assert.equal((await run(segue)).code, 2);
  });
});
