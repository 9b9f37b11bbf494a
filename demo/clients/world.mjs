// SPDX-License-Identifier: MIT
// What all clients share: where the site is, what the driver told them, and everything they observed.
import { Http } from './http.mjs';
import { secretParts } from './tokens.mjs';

const ROLES_SETTLE_MS = 1000; // P3: a change shows everywhere within this
const KEEP_MAX = 2000; // of each kind of finding

export class World {
  constructor(options) {
    Object.assign(this, options); // origin, ca, instances: ['http://…'], usersUrl, thinkMs
    this.label = 'start';
    this.stopped = false;
    this.counts = { requests: 0, retried: 0, logins: 0, logouts: 0, exchanges: 0, refreshes: 0, roleChanges: 0 };
    this.latencies = {};
    this.failures = []; // requests that needed more than one try
    this.findings = { forced_relogins: [], resurrected_logouts: [], stale_roles: [], wrong_identity: [], early_jwts: [] };
    this.logoutLags = []; // [{at, ms}]
    this.secrets = new Set();
    this.ended = new Map(); // session id -> when its client logged out
    this.roles = new Map(); // subject -> {roles, before, since}
    this.#opened = Promise.resolve();
  }

  #opened;
  #open;
  #busy = 0;

  http() {
    return new Http({ origin: this.origin, ca: this.ca, onRequest: (request) => this.#note(request) });
  }

  #note(request) {
    this.counts.requests++;
    (this.latencies[this.label] ??= []).push(request.ms);
    if (request.tries === 1 && !request.givenUp) return;
    this.counts.retried++;
    if (this.failures.length < KEEP_MAX) this.failures.push(request);
  }

  /** Something that must not happen. */
  found(kind, details) {
    const list = this.findings[kind];
    if (list.length < KEEP_MAX) list.push({ at: Date.now(), label: this.label, ...details });
  }

  secret(credential) {
    for (const part of secretParts(credential)) this.secrets.add(part);
  }

  // ---- pausing: everybody waits between two steps ----

  async step(act) {
    await this.#opened;
    this.#busy++;
    try {
      await act();
    } finally {
      this.#busy--;
    }
  }

  pause() {
    this.#opened = new Promise((done) => (this.#open = done));
  }

  resume() {
    this.#open?.();
  }

  get idle() {
    return this.#busy === 0;
  }

  // ---- roles ----

  rolesAre(subject, roles) {
    this.roles.set(subject, { roles, before: roles, since: 0 });
  }

  /** Called when a change is sent, and again (since = now) when it is done. */
  rolesChange(subject, roles, since) {
    const known = this.roles.get(subject);
    this.roles.set(subject, { roles, before: since === Infinity ? known.roles : known.before, since });
  }

  checkIdentity(client, askedAt, identity) {
    const { subject } = client;
    if (identity.id !== subject) return this.found('wrong_identity', { client: client.name, subject, got: identity.id });
    if (!identity.roles) return;
    const expected = this.roles.get(subject);
    const got = String(identity.roles);
    const maySeeOld = askedAt <= expected.since + ROLES_SETTLE_MS;
    if (got === String(expected.roles) || (maySeeOld && got === String(expected.before))) return;
    this.found('stale_roles', { client: client.name, holds: client.holds, via: identity.via, got, expected: String(expected.roles), sinceMs: askedAt - expected.since });
  }
}
