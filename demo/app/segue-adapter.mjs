// SPDX-License-Identifier: MIT
// All that an Express app needs to live with Segue: trust the JWT that the proxy sends upstream, and, once the session store
// is gone, let Segue make and end sessions.
import { createRemoteJWKSet, decodeJwt, errors, jwtVerify } from 'jose';

export class SegueAdapter {
  /** urls: instances for the app's own calls, tried in turn; backend: {id, secret} of the confidential client */
  constructor({ issuer, audience, urls, backend }) {
    Object.assign(this, { issuer, audience, urls, backend });
    this.keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), { cooldownDuration: 1000, timeoutDuration: 2000 });
  }

  /** Middleware: sets req.user from X-Segue-Jwt, or leaves the request as it was. */
  identify() {
    return async (req, res, next) => {
      const token = req.get('X-Segue-Jwt');
      if (!token) return next();
      try {
        const { payload } = await jwtVerify(token, this.keys, {
          issuer: this.issuer,
          audience: this.audience,
          typ: 'at+jwt',
          algorithms: ['ES256'],
          clockTolerance: 2,
        });
        req.user = { id: payload.sub, roles: payload.roles ?? [], permissions: payload.permissions ?? [] };
        req.segueJwt = token;
      } catch (err) {
        // A token that is not good is no identity; keys that cannot be had now are no answer at all.
        if (!(err instanceof errors.JOSEError) || err instanceof errors.JWKSTimeout) return res.set('Retry-After', '1').sendStatus(503);
      }
      next();
    };
  }

  /** {session, access_token, expires_in, refresh_token, set_cookie} */
  async createSession(subject, clientId) {
    const answer = await this.#call('/v1/sessions', {
      headers: {
        'Content-Type': 'application/json',
        Authorization: `Basic ${Buffer.from(`${this.backend.id}:${this.backend.secret}`).toString('base64')}`,
      },
      body: JSON.stringify({ subject, client_id: clientId, audience: this.audience }),
    });
    if (answer.status !== 201) throw new Error(`segue refused a session: ${answer.status}`);
    return answer.json();
  }

  /** Ends the session of a token that Segue issued, in the name of the public client that it was issued to. */
  async revoke(token) {
    const answer = await this.#call('/oauth2/revoke', { body: new URLSearchParams({ token, client_id: decodeJwt(token).client_id }) });
    if (!answer.ok) throw new Error(`segue did not revoke: ${answer.status}`);
  }

  async #call(path, init) {
    let last;
    for (const url of this.urls) {
      try {
        const answer = await fetch(url + path, { method: 'POST', signal: AbortSignal.timeout(3000), ...init });
        if (answer.status < 500) return answer;
        last = new Error(`segue answered ${answer.status}`);
      } catch (err) {
        last = err;
      }
    }
    throw last;
  }
}
