// SPDX-License-Identifier: MIT
// Asking each Segue instance directly, without nginx between: what does this one know?
import { request } from 'node:http';
import { claims } from './tokens.mjs';

/** GET /verify at one instance with a credential: {status, subject, roles, jwtRoles (what the app is told), policy, …}. */
export function verify(base, realm, headers) {
  const url = new URL('/verify', base);
  return new Promise((done, failed) => {
    const req = request(url, { headers: { 'X-Segue-Realm': realm, ...headers }, timeout: 2000 }, (res) => {
      res.resume();
      res.on('end', () =>
        done({
          status: res.statusCode,
          subject: res.headers['x-segue-subject'] ?? '',
          roles: res.headers['x-segue-roles'] ?? '',
          jwtRoles: res.headers['x-segue-jwt'] ? String(claims(res.headers['x-segue-jwt']).roles) : '',
          policy: Number(res.headers['x-segue-policy'] ?? 0),
          phase: res.headers['x-segue-phase'] ?? '',
          setCookie: res.headers['set-cookie'],
        }),
      );
    });
    req.on('timeout', () => req.destroy(new Error('no answer')));
    req.on('error', failed);
    req.end();
  });
}

export const bearer = (token) => ({ Authorization: `Bearer ${token}` });

/** Whether the credential is somebody's at any of the instances. */
export async function knownAnywhere(world, headers) {
  const answers = await Promise.all(world.instances.map((base) => verify(base, world.realm, headers)));
  return answers.some((answer) => answer.status === 200 && answer.subject !== '');
}

/**
 * Asks every instance again and again until its answer passes: the time in ms from `began` to each one's first such answer.
 * Undefined for one that did not within the limit.
 */
export function lagAtEach(world, headers, passes, began, withinMs = 5000, everyMs = 5) {
  return Promise.all(
    world.instances.map(async (base) => {
      while (performance.now() - began < withinMs) {
        const answer = await verify(base, world.realm, headers).catch(() => null);
        if (answer && passes(answer)) return performance.now() - began;
        await new Promise((done) => setTimeout(done, everyMs));
      }
    }),
  );
}
