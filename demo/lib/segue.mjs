// SPDX-License-Identifier: MIT
// The segue program as an operator uses it: commands that are run, and daemons that a supervisor keeps up.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { verify } from '../clients/instances.mjs';
import { run, start, Supervised, until } from './proc.mjs';

export class Segue {
  /** options: {binary, config: file, dir, realm, ports: {a, b}} */
  constructor(options) {
    Object.assign(this, options);
    this.instances = {};
  }

  log(name) {
    return join(this.dir, `${name}.log`);
  }

  url(name) {
    return `http://127.0.0.1:${this.ports[name]}`;
  }

  /** Runs a command to its end; what it said is kept in commands.log. Fails with its error text. */
  async command(name, args = [], { input } = {}) {
    const words = [...name.split(' '), '--config', this.config, ...args];
    const result = await run(this.binary, words, { input });
    appendFileSync(this.log('commands'), `$ segue ${words.join(' ')}\n${result.stdout}${result.stderr}(${result.code})\n`);
    if (result.code !== 0) throw new Error(`segue ${name}: ${result.stderr.trim() || result.stdout.trim()} (exit ${result.code})`);
    return result.stdout;
  }

  onRealm(name, args = [], options) {
    return this.command(name, ['--realm', this.realm, ...args], options);
  }

  startTransfer() {
    this.transfer = new Supervised(() =>
      start(this.binary, ['transfer', 'run', '--config', this.config, '--realm', this.realm], { log: this.log('transfer') }),
    );
  }

  async startInstances() {
    for (const name of Object.keys(this.ports))
      this.instances[name] = new Supervised(() =>
        start(this.binary, ['serve', '--config', this.config, '--instance', name, '--listen', `127.0.0.1:${this.ports[name]}`], {
          log: this.log(`serve-${name}`),
        }),
      );
    await this.ready();
  }

  /** Waits until every instance says it is ready. */
  async ready(names = Object.keys(this.ports), forMs = 15_000) {
    for (const name of names)
      await until(`segue serve ${name} to be ready`, async () => (await fetch(`${this.url(name)}/readyz`)).ok, { forMs });
  }

  /** The policy version each instance answers under. */
  async versions() {
    return Promise.all(Object.keys(this.ports).map(async (name) => (await verify(this.url(name), this.realm, {})).policy));
  }

  /** Runs a command that changes the policy; answers the time in ms from its start to the last instance's first answer under it. */
  async changePolicy(name, args, options) {
    const before = Math.max(...(await this.versions()));
    const began = performance.now();
    const changed = Promise.all(
      Object.keys(this.ports).map((instance) =>
        until(`instance ${instance} to follow segue ${name}`, async () => (await verify(this.url(instance), this.realm, {})).policy > before, {
          everyMs: 4,
        }).then(() => performance.now() - began),
      ),
    );
    const [, times] = await Promise.all([this.onRealm(name, args, options), changed]);
    return Math.max(...times);
  }

  async end() {
    await Promise.all([this.transfer?.end(), ...Object.values(this.instances).map((instance) => instance.end())]);
  }
}
