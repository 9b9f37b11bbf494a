// SPDX-License-Identifier: MIT
// A program with a bearer token: the signed session id at first; once it could exchange that, only a JWT and a refresh token.
import { Client } from './client.mjs';
import { exchange, refresh, revoke } from './oauth.mjs';
import { sessionId } from './tokens.mjs';

const EXCHANGE_EVERY_MS = 1500;

export class ApiClient extends Client {
  constructor(world, account) {
    super(world, account);
    this.legacy = null;
    this.access = null; // {jwt, refreshToken, renewAt}
    this.nextExchange = 0;
    if (account.credential) {
      this.keepLegacy(account.credential);
      this.loggedInSince = Date.now();
    }
  }

  get holds() {
    return this.access ? 'JWT and refresh token' : 'session id';
  }

  get bearer() {
    return this.access?.jwt ?? this.legacy;
  }

  keepLegacy(token) {
    this.legacy = token;
    this.born = token; // to know afterwards which session it was
    this.world.secret(token);
  }

  keepTokens({ access_token: jwt, refresh_token: refreshToken, expires_in: seconds }) {
    this.world.secret(jwt);
    this.world.secret(refreshToken);
    this.access = { jwt, refreshToken, renewAt: Date.now() + seconds * 600 };
    this.legacy = null;
  }

  ask(method, path, json, bearer = this.bearer) {
    return this.http.send(method, `/api${path}`, { headers: { Authorization: `Bearer ${bearer}` }, json });
  }

  async logIn() {
    const { name: username, password } = this.account;
    const answer = await this.http.send('POST', '/api/login?api=1', { json: { username, password } });
    if (answer.status !== 200) throw Object.assign(new Error(`login of user ${this.subject}: ${answer.status}`), { givenUp: true });
    const made = answer.json();
    if (made.token) this.keepLegacy(made.token);
    else this.keepTokens(made);
    this.loggedIn();
  }

  async useIt() {
    if (this.legacy && this.world.tokenEndpoint && Date.now() >= this.nextExchange) await this.tryExchange();
    if (this.access && Date.now() >= this.access.renewAt) await this.renew();
    if (!this.loggedInSince) return;
    const dice = Math.random();
    if (dice < this.world.logoutShare) return this.logOut();
    const askedAt = Date.now();
    let answer = await (dice < 0.8 ? this.ask('GET', '/me') : this.ask('POST', '/note', {}));
    if (answer.status === 401 && this.access) {
      await this.renew();
      if (!this.loggedInSince) return;
      answer = await this.ask('GET', '/me');
    }
    if (answer.status === 401) return this.lost(`the API answered 401, ${answer.headers['www-authenticate'] ?? 'the app itself'}`);
    const said = answer.json();
    if (said.id) this.world.checkIdentity(this, askedAt, said);
  }

  async tryExchange() {
    this.nextExchange = Date.now() + EXCHANGE_EVERY_MS;
    const handOver = this.world.handOver;
    const answer = await exchange(this.http, this.legacy);
    if (answer.status === 200) {
      if (answer.tries === 1 && handOver === false && this.world.handOver === false) this.world.found('early_jwts', { client: this.name });
      this.world.counts.exchanges++;
      return this.keepTokens(answer.json());
    }
    const error = answer.status === 400 ? answer.json().error : answer.status;
    if (error !== 'temporarily_unavailable') this.lost(`the exchange answered ${answer.status} ${error}`);
  }

  async renew() {
    const answer = await refresh(this.http, this.access.refreshToken);
    if (answer.status !== 200) return this.lost(`the refresh answered ${answer.status} ${answer.body.slice(0, 200)}`);
    this.world.counts.refreshes++;
    this.keepTokens(answer.json());
  }

  async logOut() {
    const { bearer, access, born } = this;
    // Half of those who can, log out at the token endpoint; the others in the app.
    const answer = access && Math.random() < 0.5 ? await revoke(this.http, access.refreshToken) : await this.ask('POST', '/logout');
    if (answer.status === 401 && answer.tries === 1) return this.lost('the logout answered 401');
    this.forget();
    this.world.counts.logouts++;
    if (born) this.world.ended.set(sessionId(born), Date.now());
    await this.mustDie('the bearer token', async () => (await this.ask('GET', '/me', undefined, bearer)).status === 200);
    if (access) await this.refreshMustDie(access.refreshToken);
  }

  /** A refresh may still win a race against the logout for a moment; what it got must die as well. */
  async refreshMustDie(token) {
    const got = [];
    await this.mustDie('the refresh token', async () => {
      const answer = await refresh(this.http, token);
      if (answer.status !== 200) return false;
      const made = answer.json();
      got.push(made.access_token);
      this.world.secret(made.access_token);
      this.world.secret((token = made.refresh_token));
      return true;
    });
    for (const jwt of got) await this.mustDie('a JWT refreshed after it', async () => (await this.ask('GET', '/me', undefined, jwt)).status === 200);
  }

  forget() {
    super.forget();
    this.legacy = this.access = this.born = null;
  }
}
