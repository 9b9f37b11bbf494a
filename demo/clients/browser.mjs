// SPDX-License-Identifier: MIT
// A person with a browser: pages, pictures, forms, now and then a logout. Knows nothing of tokens: cookies come and go.
import { Client } from './client.mjs';
import { Jar } from './jar.mjs';
import { sessionId } from './tokens.mjs';

const SITE = { 'Sec-Fetch-Site': 'same-origin' };
const KINDS = {
  page: { ...SITE, 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', Accept: 'text/html' },
  image: { ...SITE, 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'image', Accept: 'image/*' },
  fetch: { ...SITE, 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Dest': 'empty', Accept: 'application/json' },
};

export class Browser extends Client {
  constructor(world, account) {
    super(world, account);
    this.jar = new Jar();
    if (account.credential) {
      this.jar.set('connect.sid', encodeURIComponent(account.credential));
      world.secret(account.credential);
      this.loggedInSince = Date.now(); // before Segue came
    }
  }

  get holds() {
    return ['connect.sid', 'segue_jwt'].filter((name) => this.jar.get(name)).join('+') || 'nothing';
  }

  async ask(method, path, kind, json, cookie = this.jar.header) {
    const headers = { ...KINDS[kind], ...(cookie && { Cookie: cookie }), ...(method !== 'GET' && { Origin: this.world.origin }) };
    const answer = await this.http.send(method, path, { headers, json });
    return answer;
  }

  async request(method, path, kind, json) {
    const answer = await this.ask(method, path, kind, json);
    this.jar.take(answer);
    for (const name of ['connect.sid', 'segue_jwt']) if (this.jar.get(name)) this.world.secret(this.jar.get(name));
    return answer;
  }

  async logIn() {
    const { name: username, password } = this.account;
    const answer = await this.request('POST', '/login', 'fetch', { username, password });
    if (answer.status !== 200) throw Object.assign(new Error(`login of user ${this.subject}: ${answer.status}`), { givenUp: true });
    this.loggedIn();
  }

  async useIt() {
    const dice = Math.random();
    if (dice < this.world.logoutShare) return this.logOut();
    const askedAt = Date.now();
    if (dice < 0.5) {
      const answer = await this.request('GET', '/page', 'page');
      if (answer.status !== 200) return this.lost(`/page answered ${answer.status}`);
      this.world.checkIdentity(this, askedAt, { id: /id="user">(\d+)/.exec(answer.body)[1] });
    } else if (dice < 0.8) {
      const answer = await this.request('GET', '/me', 'fetch');
      if (answer.status !== 200) return this.lost(`/me answered ${answer.status}`);
      this.world.checkIdentity(this, askedAt, answer.json());
    } else if (dice < 0.9) {
      await this.request('GET', '/logo.svg', 'image');
    } else {
      const answer = await this.request('POST', '/note', 'fetch', {});
      if (answer.status !== 201) return this.lost(`/note answered ${answer.status}`);
    }
  }

  async logOut() {
    const cookie = this.jar.header;
    const legacy = this.jar.get('connect.sid');
    const answer = await this.request('POST', '/logout', 'fetch');
    if (answer.status === 401 && answer.tries === 1) return this.lost('/logout answered 401');
    this.forget();
    this.world.counts.logouts++;
    if (legacy) this.world.ended.set(sessionId(legacy), Date.now());
    this.jar.clear();
    await this.mustDie('the cookies', async () => (await this.ask('GET', '/me', 'fetch', undefined, cookie)).status === 200);
  }
}
