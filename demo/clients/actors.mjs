// SPDX-License-Identifier: MIT
// Special parts: logouts that race exchanges, one token exchanged many times at once, a refresh sent twice, and probes that
// measure how long a logout, a role change or a ban takes to reach every instance.
import { setTimeout as sleep } from 'node:timers/promises';
import { Users } from '../app/users.mjs';
import { bearer, knownAnywhere, lagAtEach, verify } from './instances.mjs';
import { exchange, refresh, revoke } from './oauth.mjs';
import { claims, sessionId } from './tokens.mjs';

const SETTLE_MS = 1000; // P3: by then every instance must know
const BATCH = 5;

export class Actors {
  constructor(world, accounts) {
    Object.assign(this, { world, accounts, next: 0 });
    this.users = new Users(world.usersUrl);
    for (const { id, roles, password } of accounts) {
      world.rolesAre(id, roles);
      world.secret(password);
    }
  }

  close() {
    return this.users.close();
  }

  // ---- the parts ----

  /** n logouts, each among exchanges of the same token. {races, exchanged, resurrected: [details]} */
  async race({ n }) {
    const result = { races: 0, exchanged: 0, resurrected: [] };
    await this.#inBatches(n, async (http, account) => {
      const token = await this.#logIn(http, account);
      const logout = async () => {
        await sleep(Math.random() * 15);
        const answer = Math.random() < 0.5
          ? await http.send('POST', '/api/logout', { headers: bearer(token) })
          : await revoke(http, token);
        if (answer.status >= 300) throw new Error(`a racing logout answered ${answer.status}`);
      };
      const answers = await Promise.all([...Array.from({ length: 5 }, () => exchange(http, token)), logout()]);
      this.world.ended.set(sessionId(token), Date.now());
      const won = answers.filter((answer) => answer?.status === 200).map((answer) => answer.json());
      for (const tokens of won) this.#keep(tokens);
      result.races++;
      result.exchanged += won.length;
      await sleep(SETTLE_MS);
      const alive = await this.#alive(http, token, won);
      if (alive.length) result.resurrected.push({ user: account.id, alive, exchanged: won.length });
    });
    return result;
  }

  /** n tokens, each exchanged 8 times at once: one session must come of each. {tokens, wrong: [details]} */
  async exchangeTogether({ n }) {
    const result = { tokens: 0, wrong: [] };
    await this.#inBatches(n, async (http, account) => {
      const token = await this.#logIn(http, account);
      const answers = await Promise.all(Array.from({ length: 8 }, () => exchange(http, token)));
      const made = answers.filter((answer) => answer.status === 200).map((answer) => answer.json());
      made.forEach((tokens) => this.#keep(tokens));
      const sids = new Set(made.map(({ access_token: jwt }) => claims(jwt).sid));
      result.tokens++;
      if (made.length !== 8 || sids.size !== 1)
        result.wrong.push({ user: account.id, sessions: sids.size, statuses: answers.map((answer) => answer.status) });
      await this.#logOut(http, token);
    });
    return result;
  }

  /** n refresh tokens, each sent twice at once and once more: every answer must work. {tokens, wrong: [details]} */
  async refreshTwice({ n }) {
    const result = { tokens: 0, wrong: [] };
    await this.#inBatches(n, async (http, account) => {
      const token = await this.#logIn(http, account);
      const { refresh_token: parent } = this.#keep((await exchange(http, token)).json());
      const together = await Promise.all([refresh(http, parent), refresh(http, parent)]);
      const answers = [...together, await refresh(http, parent)];
      result.tokens++;
      const wrong = (why) => result.wrong.push({ user: account.id, why });
      if (answers.some((answer) => answer.status !== 200)) wrong(`answers ${answers.map((answer) => answer.status)}`);
      else {
        const made = answers.map((answer) => this.#keep(answer.json()));
        if (new Set(made.map((m) => m.refresh_token)).size !== 1) wrong('the successors differ');
        for (const { access_token: jwt } of made) if (!(await knownAnywhere(this.world, bearer(jwt)))) wrong('an access token does not work');
        if ((await refresh(http, made[0].refresh_token)).status !== 200) wrong('the successor does not work');
      }
      await this.#logOut(http, token);
    });
    return result;
  }

  /** How long a logout in the app leaves the session's JWT good at each instance: [{at, ms}], ms null = past the limit. */
  async revocationLag({ n }) {
    return this.#measure(n, async (http, account) => {
      const token = await this.#logIn(http, account);
      const { access_token: jwt } = this.#keep((await exchange(http, token)).json());
      await this.#mustBeKnown(jwt);
      await this.#logOut(http, token);
      const began = performance.now();
      return lagAtEach(this.world, bearer(jwt), (answer) => answer.status === 401, began);
    });
  }

  /** How long a role change takes to show in each instance's answer for a JWT minted before. As revocationLag. */
  async roleLag({ n }) {
    return this.#measure(n, async (http, account) => {
      const token = await this.#logIn(http, account);
      const { access_token: jwt } = this.#keep((await exchange(http, token)).json());
      await this.#mustBeKnown(jwt);
      const roles = ['reader', `r${Date.now() % 1_000_000}`];
      await this.users.setRoles(account.id, roles);
      const began = performance.now();
      const lags = await lagAtEach(this.world, bearer(jwt), (answer) => answer.roles === String(roles) && answer.jwtRoles === answer.roles, began);
      await this.#logOut(http, token);
      return lags;
    });
  }

  /**
   * A role change, and only then the first request at each instance with a JWT minted before: header and JWT for the app must
   * both say the new roles. {asked, wrong: [details]}
   */
  async roleAtFirstSight({ n }) {
    const result = { asked: 0, wrong: [] };
    await this.#inBatches(n, async (http, account) => {
      const token = await this.#logIn(http, account);
      const { access_token: jwt } = this.#keep((await exchange(http, token)).json());
      const roles = ['reader', `f${Date.now() % 1_000_000}`];
      await this.users.setRoles(account.id, roles);
      await sleep(SETTLE_MS);
      for (const base of this.world.instances) {
        const { status, roles: header, jwtRoles } = await verify(base, this.world.realm, bearer(jwt));
        result.asked++;
        if (header !== String(roles) || jwtRoles !== header) result.wrong.push({ user: account.id, status, header, jwtRoles, expected: String(roles) });
      }
      await this.#logOut(http, token);
    });
    return result;
  }

  /** A ban: the account's JWT must be refused at each instance. The account is let in again afterwards. */
  async banLag() {
    return this.#measure(1, async (http, account) => {
      const token = await this.#logIn(http, account);
      const { access_token: jwt } = this.#keep((await exchange(http, token)).json());
      await this.#mustBeKnown(jwt);
      await this.users.setActive(account.id, false);
      const began = performance.now();
      const lags = await lagAtEach(this.world, bearer(jwt), (answer) => answer.status !== 200 || answer.subject === '', began);
      await this.users.setActive(account.id, true);
      return lags;
    });
  }

  /** A client that says who it is by itself, and a token of another realm: every way must leave it unknown. {probes, believed: [details]} */
  async forge() {
    const http = this.world.http();
    const account = this.#take();
    const token = await this.#logIn(http, account);
    const { access_token: jwt } = this.#keep((await exchange(http, token)).json());
    const [head, body, signature] = jwt.split('.');
    const none = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${body}.`;
    const other = `${head}.${Buffer.from(JSON.stringify({ ...claims(jwt), sub: '1' })).toString('base64url')}.${signature}`;
    const tries = [
      { 'X-Segue-Subject': '1', 'X-Segue-Roles': 'admin' },
      { 'X-Segue-Jwt': jwt },
      { X_Segue_Jwt: jwt },
      { 'X-Segue-Jwt': none },
      { 'X-Segue-Cookie': `connect.sid=${encodeURIComponent(token)}`, 'X-Segue-Authorization': `Bearer ${jwt}` },
      { Authorization: `Bearer ${none}` },
      { Authorization: `Bearer ${other}` },
      { Authorization: `Bearer ${token}x` },
      { Cookie: `segue_jwt=${other}` },
    ];
    const believed = [];
    for (const headers of tries)
      for (const path of ['/me', '/api/me']) {
        const answer = await http.send('GET', path, { headers });
        if (answer.status !== 401) believed.push({ path, headers: Object.keys(headers), status: answer.status });
      }
    for (const base of this.world.instances) {
      const answer = await verify(base, 'idle', bearer(jwt));
      if (answer.status === 200 && answer.subject !== '') believed.push({ path: '/verify of another realm', subject: answer.subject });
    }
    await this.#logOut(http, token);
    http.close();
    return { probes: tries.length * 2 + this.world.instances.length, believed };
  }

  // ---- steps ----

  #take() {
    return this.accounts[this.next++ % this.accounts.length];
  }

  async #inBatches(n, part) {
    for (let done = 0; done < n; done += BATCH)
      await Promise.all(
        Array.from({ length: Math.min(BATCH, n - done) }, async () => {
          const http = this.world.http();
          try {
            await part(http, this.#take());
          } finally {
            http.close();
          }
        }),
      );
  }

  async #measure(n, part) {
    const samples = [];
    const http = this.world.http();
    for (let i = 0; i < n; i++) {
      const at = Date.now();
      for (const ms of await part(http, this.#take())) samples.push({ at, ms: ms ?? null });
    }
    http.close();
    return samples;
  }

  async #logIn(http, account) {
    const answer = await http.send('POST', '/api/login?api=1', { json: { username: account.name, password: account.password } });
    if (answer.status !== 200) throw new Error(`login of user ${account.id}: ${answer.status}`);
    const { token } = answer.json();
    this.world.secret(token);
    this.world.counts.logins++;
    return token;
  }

  async #logOut(http, token) {
    const answer = await http.send('POST', '/api/logout', { headers: bearer(token) });
    if (answer.status >= 300) throw new Error(`a logout answered ${answer.status}`);
    this.world.ended.set(sessionId(token), Date.now());
    this.world.counts.logouts++;
  }

  #keep(tokens) {
    if (!tokens.access_token) throw new Error(`no tokens: ${tokens.error} ${tokens.error_description ?? ''}`);
    this.world.secret(tokens.access_token);
    this.world.secret(tokens.refresh_token);
    return tokens;
  }

  async #mustBeKnown(jwt) {
    for (const base of this.world.instances) {
      const answer = await verify(base, this.world.realm, bearer(jwt));
      if (answer.status !== 200) throw new Error(`a fresh JWT was refused at ${base}: ${answer.status}`);
    }
  }

  async #alive(http, token, won) {
    const alive = [];
    if (await knownAnywhere(this.world, bearer(token))) alive.push('session id at /verify');
    if ((await http.send('GET', '/api/me', { headers: bearer(token) })).status === 200) alive.push('session id at the app');
    if ((await exchange(http, token)).status === 200) alive.push('exchange');
    for (const { access_token: jwt, refresh_token: refreshToken } of won) {
      if (await knownAnywhere(this.world, bearer(jwt))) alive.push('JWT');
      if ((await refresh(http, refreshToken)).status === 200) alive.push('refresh token');
    }
    return alive;
  }
}
