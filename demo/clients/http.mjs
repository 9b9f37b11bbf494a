// SPDX-License-Identifier: MIT
// One client's way to the server: one kept TLS connection, cheap requests, and what a careful client does when one fails.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_FOR_MS = 5000; // the promise: inside a fault window every request succeeds on retry within this
const RETRY_EVERY_MS = 150;
const ANSWER_WITHIN_MS = 4000;

const retryable = (answer) => answer.status >= 500 || answer.status === 429;

export class Http {
  /** options: {origin, ca: file, onRequest({path, ms, failed, tries, startedAt, givenUp})} */
  constructor({ origin, ca, onRequest = () => {} }) {
    const url = new URL(origin);
    this.origin = origin;
    this.onRequest = onRequest;
    this.target = { host: '127.0.0.1', port: url.port, servername: url.hostname };
    this.host = url.host;
    this.agent = new Agent({ keepAlive: true, maxSockets: Infinity, ca: readFileSync(ca), timeout: 0 });
  }

  /** One try: {status, headers, body, json()}; rejects when the connection fails. */
  once(method, path, { headers = {}, json, form } = {}) {
    const body = json !== undefined ? JSON.stringify(json) : form ? new URLSearchParams(form).toString() : undefined;
    const all = { Host: this.host, ...headers };
    if (json !== undefined) all['Content-Type'] = 'application/json';
    if (form) all['Content-Type'] = 'application/x-www-form-urlencoded';
    if (method !== 'GET') all['Content-Length'] = body ? Buffer.byteLength(body) : 0;
    return this.#send({ ...this.target, method, path, headers: all, agent: this.agent }, body);
  }

  /**
   * As once, but tries again for up to 5 s while the server cannot answer; each request is reported once. Rejects with
   * givenUp set when that was in vain.
   */
  async send(method, path, options) {
    const startedAt = Date.now();
    const began = performance.now();
    let tries = 0;
    let firstFailure;
    for (;;) {
      tries++;
      const tryBegan = performance.now();
      let answer;
      let failure;
      try {
        answer = await this.once(method, path, options);
        if (retryable(answer)) failure = `status ${answer.status}`;
      } catch (err) {
        failure = err.code ?? err.message;
      }
      firstFailure ??= failure;
      const givenUp = failure !== undefined && performance.now() - began > RETRY_FOR_MS;
      if (failure === undefined || givenUp) {
        const ms = performance.now() - tryBegan;
        this.onRequest({ method, path, ms, tries, startedAt, endedAt: Date.now(), failure: firstFailure, givenUp });
        if (!givenUp) return Object.assign(answer, { tries });
        throw Object.assign(new Error(`${method} ${path}: ${failure}`), { givenUp: true });
      }
      await sleep(RETRY_EVERY_MS);
    }
  }

  close() {
    this.agent.destroy();
  }

  // A kept connection may be closed by the server just when it is used again (its configuration was read anew): before any
  // byte of an answer that is no failure, and like browsers we send again on a new one.
  async #send(options, body) {
    const first = await this.#transfer(options, body).catch((err) => err);
    if (!(first instanceof Error)) return first;
    if (!first.onKeptConnection || first.code !== 'ECONNRESET') throw first;
    return this.#transfer({ ...options, agent: false, ca: this.agent.options.ca }, body);
  }

  #transfer(options, body) {
    return new Promise((done, failed) => {
      const req = request(options, (res) => {
        const parts = [];
        res.on('data', (part) => parts.push(part));
        res.on('error', failed);
        res.on('end', () => {
          const text = Buffer.concat(parts).toString();
          done({ status: res.statusCode, headers: res.headers, body: text, json: () => JSON.parse(text) });
        });
      });
      req.setTimeout(ANSWER_WITHIN_MS, () => req.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
      req.on('error', (err) => failed(Object.assign(err, { onKeptConnection: req.reusedSocket && !req.res })));
      req.end(body);
    });
  }
}
