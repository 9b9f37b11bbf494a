// SPDX-License-Identifier: MIT
// What browsers and API clients have in common: the loop, and their own truth about being logged in.
import { setTimeout as sleep } from 'node:timers/promises';

const DEAD_WITHIN_MS = 3000; // past this a logout did not take
const ASK_EVERY_MS = 20;

export class Client {
  constructor(world, account) {
    this.world = world;
    this.account = account;
    this.subject = account.id;
    this.http = world.http();
    this.loggedInSince = 0; // 0 = not logged in
    world.secret(account.password);
  }

  get name() {
    return `${this.constructor.name} of user ${this.subject}`;
  }

  async run() {
    await sleep(Math.random() * this.world.thinkMs);
    while (!this.world.stopped) {
      try {
        await this.world.step(() => this.act());
      } catch (err) {
        if (!err.givenUp) throw err; // a request that was given up is reported already
      }
      await sleep(this.world.thinkMs * (0.5 + Math.random()));
    }
    this.http.close();
  }

  async act() {
    if (!this.loggedInSince) return this.logIn();
    await this.useIt();
  }

  loggedIn() {
    this.loggedInSince = Date.now();
    this.world.counts.logins++;
  }

  /** The server does not know us any more. */
  lost(how) {
    this.world.found('forced_relogins', { client: this.name, how, loggedInForMs: Date.now() - this.loggedInSince, holds: this.holds });
    this.forget();
  }

  forget() {
    this.loggedInSince = 0;
  }

  /**
   * After a logout: asks with the old credential until it is refused, and measures how long it lived on; later asks again
   * whether it stayed so. ask: () => whether it still works
   */
  async mustDie(what, ask) {
    const began = performance.now();
    const at = Date.now();
    let ms;
    while (await ask()) {
      ms = performance.now() - began;
      if (ms > DEAD_WITHIN_MS) return this.world.found('resurrected_logouts', { client: this.name, how: `${what} is alive ${Math.round(ms)} ms after the logout` });
      await sleep(ASK_EVERY_MS);
    }
    this.world.logoutLags.push({ at, what, ms: ms ?? 0 });
    setTimeout(async () => {
      if (this.world.stopped) return;
      if (await ask().catch(() => false)) this.world.found('resurrected_logouts', { client: this.name, how: `${what} was dead, then alive again` });
    }, 2000).unref();
  }
}
