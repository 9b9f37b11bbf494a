// SPDX-License-Identifier: MIT
// The whole way, step by step, with clients at work all the time.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { check } from '../checker/checker.mjs';
import { Faults } from './faults.mjs';
import { Leaks } from './leaks.mjs';
import { until } from './proc.mjs';
import { PREFIX, REALM } from './stage.mjs';

const JWT_ONLY = 'JWT and refresh token';

export class Walk {
  /** say: a Progress */
  constructor(stage, options, say) {
    Object.assign(this, { stage, options, say });
    this.faults = new Faults(stage);
    this.phases = [];
    this.checks = {};
    this.parts = { race: [], exchangeTogether: [], refreshTwice: [], revocationLag: [], roleLag: [], roleAtFirstSight: [], banLag: [], forge: [] };
    this.facts = {};
  }

  get #segue() {
    return this.stage.segue;
  }

  get #clients() {
    return this.stage.clients;
  }

  /** All of it. */
  async go() {
    await this.before();
    await this.transfer();
    await this.observe();
    await this.handOver();
    await this.stateless();
    await this.rollBack();
    await this.straight();
    await this.forward();
    await this.hurt();
    await this.compareSides();
    await this.finalize();
    await this.searchLeaks();
  }

  // ---- the steps ----

  async before() {
    this.say.say('the system as it was: app, nginx, sessions in Redis');
    await this.stage.startLegacySystem();
    const { sessions, undecodable } = this.stage.seeded;
    this.say.note(`${sessions} sessions and ${undecodable} undecodable records in Redis`);
    const { clients } = await this.stage.startClients();
    this.facts.clients = clients;
    this.say.note(`${clients} clients at work at ${this.stage.nginx.origin}`);
    this.say.follow(() => this.#clients.do('counts'));
    await this.#hold('before', 3);
  }

  async transfer() {
    this.say.say('init, analyze, transfer with the app live');
    await this.#segue.command('init');
    const analysis = JSON.parse(await this.#segue.onRealm('analyze', ['--json']));
    this.facts.analysis = analysis;
    this.say.note(`${analysis.sessions} sessions of ${analysis.subjects} users, ${analysis.anonymous} anonymous, ${analysis.undecodable} undecodable`);
    this.#segue.startTransfer();
    await until('the snapshot', () => this.#control('SELECT 1 FROM segue_control.transfer_job WHERE realm = $1 AND snapshot_at IS NOT NULL', [REALM]), {
      forMs: 60_000, everyMs: 100,
    });
    this.checks.transfer = await this.#check();
    const { read, stored, rejected } = this.checks.transfer;
    this.say.note(`${read} records read again: ${stored} stored, ${rejected} rejected`);
  }

  async observe() {
    this.say.say('observe: Segue in the path, watching');
    await this.#segue.startInstances();
    await this.#clients.do('tell', { label: 'observe', tokenEndpoint: true, handOver: false });
    await this.stage.nginx.route('through');
    this.phases.push('observe');
    await this.#hold('observe', 5);
  }

  async handOver() {
    await this.#enter('dual', 'dual', [], 4);
    await this.#dryRun('exchange', ['--percent', '1']);
    await this.#enter('exchange-1', 'exchange', ['--percent', '1'], 4);
    await this.#enter('exchange-25', 'exchange', ['--percent', '25'], 5);
    await this.#enter('exchange-100', 'exchange', ['--percent', '100'], 4);
    await this.#act('exchangeTogether', 10);
    await this.#act('refreshTwice', 10);
    await this.#act('race', this.options.races);
    await this.#act('revocationLag', this.options.probes);
    await this.#act('roleLag', this.options.probes);
  }

  async stateless() {
    await this.#enter('stateless', 'stateless', [], 2);
    await this.stage.appTrusts('jwt');
    this.say.note('the app now trusts the JWT');
    await this.#hold('stateless', 5);
    await this.#act('race', this.options.races);
    await this.#act('revocationLag', this.options.probes);
    await this.#act('roleLag', this.options.probes);
    await this.#act('roleAtFirstSight', this.options.probes);
    await this.#act('banLag');
    await this.#act('forge');
    await until('every API client to hold only JWTs', async () => !(await this.#holds())['session id'], { forMs: 15_000, everyMs: 200 })
      .catch(() => {}); // said below by number
  }

  async rollBack() {
    const holds = await this.#holds();
    this.say.say(`rollback to observe, while ${holds[JWT_ONLY] ?? 0} API clients hold only JWTs`);
    this.facts.jwt_only_at_rollback = holds[JWT_ONLY] ?? 0;
    await this.stage.appTrusts('session');
    await this.#clients.do('tell', { label: 'rollback', handOver: undefined });
    this.facts.rollback_ms = await this.#segue.changePolicy('rollback', ['--why', 'the demo goes back']);
    await this.#clients.do('tell', { label: 'rollback-observe', handOver: false });
    this.phases.push('rollback-observe');
    this.say.note(`every instance answers under the new policy after ${Math.round(this.facts.rollback_ms)} ms`);
    await this.#hold('rollback-observe', 8);
  }

  async straight() {
    this.say.say('Segue out of the path for the browsers, and back');
    await this.#clients.do('tell', { label: 'straight' });
    await this.stage.nginx.route('straight');
    this.phases.push('straight');
    await this.#hold('straight', 5);
    await this.stage.nginx.route('through');
    await this.#hold('straight', 3);
  }

  async forward() {
    await this.#enter('dual-again', 'dual', [], 1);
    await this.#enter('exchange-again', 'exchange', ['--percent', '100'], 3);
    await this.#enter('stateless-again', 'stateless', [], 1);
    await this.stage.appTrusts('jwt');
    await this.#hold('stateless-again', 4);
  }

  async hurt() {
    this.say.say('faults under way');
    await this.#clients.do('tell', { label: 'faults' });
    for (const harm of [() => this.faults.killInstance('a'), () => this.faults.restartRedis(), () => this.faults.restartShard('shard2')]) {
      await harm();
      const window = this.faults.windows.at(-1);
      this.say.note(`${window.what}: process ${window.old_pid} → ${window.new_pid}, ${window.ended_at - window.started_at} ms`);
      await this.#hold('faults', 2);
    }
  }

  async compareSides() {
    this.say.say('both databases compared by an independent reader, clients at rest');
    await this.#clients.do('pause');
    await sleep(1000);
    if (this.options.corruptRow) await this.#corruptRow();
    this.checks.final = await this.#check({ legacyIsComplete: true });
    const { read, stored, rejected, mismatches, duplicates } = this.checks.final;
    this.say.note(`${read} records: ${stored} stored, ${rejected} rejected; ${mismatches.length} differ, ${duplicates.length} double`);
    await this.#clients.do('resume');
    await this.#hold('faults', 1);
  }

  async finalize() {
    this.say.say('finalize: login and sessions are Segue\'s, Redis is switched off');
    await this.#clients.do('tell', { label: 'finalizing' });
    await this.stage.appTrusts('login');
    await until('no client to hold only a session of old', async () => {
      const holds = await this.#holds();
      return !holds['session id'] && !holds['connect.sid'];
    }, { forMs: 20_000, everyMs: 200 });
    await this.stage.appTrusts('segue');
    await this.#hold('finalizing', 2);
    await this.#segue.changePolicy('phase', ['finalized', '--confirm', REALM, '--why', 'the demo is at its end']);
    this.phases.push('finalized');
    await this.#clients.do('tell', { label: 'finalized', tokenEndpoint: false });
    await this.stage.cluster.halt('redis');
    this.say.note('redis is stopped');
    await this.#hold('finalized', 7);
    await this.#segue.onRealm('status');
    this.results = await this.stage.endClients();
  }

  async searchLeaks() {
    this.say.say('logs, tables, metrics and the process list searched for anything that was secret');
    const { sessionSecret, backendSecret } = this.stage.config;
    const seeded = this.stage.seeded.credentials.flatMap((credential) => credential.slice(2).split('.'));
    const secrets = JSON.parse(readFileSync(this.stage.file('clients-secrets')));
    const keys = [...readFileSync(this.stage.config.keyring, 'utf8').matchAll(/:(\S+)/g)].map(([, key]) => key);
    const leaks = new Leaks([...secrets, ...seeded, ...keys, sessionSecret, backendSecret]);
    leaks.lookInFiles(this.stage.dir, (name) => name.endsWith('.log'));
    leaks.lookInFiles(this.stage.nginx.dir, (name) => name.endsWith('.log'));
    leaks.lookInFiles(this.stage.cluster.dir, (name) => name.endsWith('.log')); // a server logs the statement that failed
    for (const name of Object.keys(this.#segue.ports)) {
      const metrics = await (await fetch(`${this.#segue.url(name)}/metrics`)).text();
      writeFileSync(this.stage.file(`metrics-${name}.txt`), metrics);
      leaks.look(`metrics of ${name}`, metrics);
    }
    for (const { conninfo } of [this.stage.cluster.control, ...this.stage.cluster.shards])
      await leaks.lookInDatabase(conninfo, ['segue', 'segue_control']);
    leaks.lookAtProcesses([...Object.values(this.#segue.instances).map((instance) => instance.pid), this.stage.app.pid, this.stage.nginx.child.pid]);
    this.facts.leaks = { secrets: leaks.heads.size, bytes: leaks.bytes, found: leaks.found };
    this.facts.journal = (await this.#control('SELECT count(*)::int AS n FROM segue_control.journal WHERE realm = $1', [REALM]))?.n;
  }

  // ---- means ----

  /** Goes into a phase: label is what it is counted under. */
  async #enter(label, phase, args, seconds) {
    this.say.say(label);
    await this.#clients.do('tell', { handOver: undefined });
    await this.#segue.changePolicy('phase', [phase, ...args, '--why', `the demo goes on to ${label}`]);
    await this.#clients.do('tell', { label, handOver: true });
    this.phases.push(label);
    await this.#hold(label, seconds);
  }

  async #dryRun(phase, args) {
    const before = await this.#segue.versions();
    await this.#segue.onRealm('phase', [phase, ...args, '--dry-run']);
    await sleep(300);
    this.facts.dry_run_changed = String(await this.#segue.versions()) !== String(before);
  }

  async #hold(label, seconds) {
    await this.#clients.do('tell', { label });
    await sleep(seconds * this.options.pace * 1000);
  }

  async #act(part, n) {
    const result = await this.#clients.do('act', { part, n });
    this.parts[part].push(result);
    return result;
  }

  async #holds() {
    return (await this.#clients.do('counts')).holds;
  }

  async #check(more = {}) {
    await this.#clients.do('results', { secretsFile: this.stage.file('clients-secrets'), endedFile: this.stage.file('clients-ended') });
    const ended = JSON.parse(readFileSync(this.stage.file('clients-ended'))).map(([sid]) => sid);
    const { cluster, config } = this.stage;
    return check({
      redisUrl: `${cluster.redis.url}/0`, prefix: PREFIX, control: cluster.control.conninfo, shards: cluster.shards.map((s) => s.conninfo),
      realm: REALM, keyring: config.keyring, ended, ...more,
    });
  }

  async #control(text, values) {
    const client = new pg.Client({ connectionString: this.stage.cluster.control.conninfo });
    await client.connect();
    try {
      return (await client.query(text, values)).rows[0];
    } finally {
      await client.end();
    }
  }

  /** For the test that a difference is seen: one seeded session now belongs to somebody else. */
  async #corruptRow() {
    const client = new pg.Client({ connectionString: this.stage.cluster.shards[1].conninfo });
    await client.connect();
    await client.query(`UPDATE segue.session SET subject = subject || '0' WHERE ctid = (
      SELECT ctid FROM segue.session WHERE realm = $1 AND subject IS NOT NULL AND ended_at IS NULL
         AND least(greatest(exp_source, exp_segue), exp_absolute) > now() + interval '5 minutes' LIMIT 1)`, [REALM]);
    await client.end();
    this.say.note('one row was corrupted on purpose');
  }
}
