// SPDX-License-Identifier: MIT
// The app that is carried over: an ordinary Express login system on a Unix socket behind nginx. What it trusts for identity is
// switched at run time on a second, private socket: session (as before Segue) | jwt (the adapter, else the session) | login
// (as jwt, and logins are made by Segue) | segue (Segue alone; the session store is let go).
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import express from 'express';
import { makeRoutes } from './routes.mjs';
import { SegueAdapter } from './segue-adapter.mjs';
import { bearerShim, makePassport, makeSession, openStore } from './sessions.mjs';
import { Users } from './users.mjs';

const TRUST = ['session', 'jwt', 'login', 'segue'];

/**
 * options: {socket, adminSocket, redisUrl, usersUrl, secrets, maxAgeMs, segue: {issuer, audience, urls, backend}}
 * Answers {close()} once both sockets listen.
 */
export async function startApp(options) {
  const users = new Users(options.usersUrl);
  const passport = makePassport(users);
  const segue = new SegueAdapter(options.segue);
  let trust = options.trust ?? 'session';
  let redis = trust === 'segue' ? null : await openStore(options.redisUrl);
  let session = redis && makeSession({ ...redis, ...options });

  async function setTrust(to) {
    if (to === 'segue' && redis) {
      const { client } = redis;
      trust = to;
      redis = null;
      await setTimeout(1000); // requests under way still save their sessions
      client.destroy();
    } else if (to !== 'segue' && !redis) {
      redis = await openStore(options.redisUrl);
      session = makeSession({ ...redis, ...options });
    }
    trust = to;
  }

  const app = express();
  app.disable('x-powered-by');
  const identify = segue.identify();
  const fromSession = passport.session();
  app.use((req, res, next) => (trust === 'session' ? next() : identify(req, res, next)));
  app.use((req, res, next) => {
    // The session is only asked where the adapter said nothing, and where it is made or ended.
    const wanted = trust !== 'segue' && (!req.segueJwt || /\/log(in|out)$/.test(req.path));
    if (!wanted) return next();
    bearerShim(req, res, () => session(req, res, (err) => (err ? next(err) : fromSession(req, res, next))));
  });
  const routes = makeRoutes({ users, passport, segue, secrets: options.secrets, trust: () => trust });
  app.use('/api', routes);
  app.use('/', routes);
  app.use((err, req, res, next) => {
    if (res.headersSent) return next(err);
    console.error(JSON.stringify({ at: new Date().toISOString(), level: 'error', path: req.path, error: err.message }));
    res.set('Retry-After', '1').sendStatus(503);
  });

  const admin = express();
  admin.get('/', (req, res) => res.json({ trust, pid: process.pid }));
  admin.put('/trust/:to', async (req, res) => {
    if (!TRUST.includes(req.params.to)) return res.sendStatus(404);
    await setTrust(req.params.to);
    res.json({ trust });
  });

  const servers = [];
  for (const [handler, path] of [[app, options.socket], [admin, options.adminSocket]]) {
    rmSync(path, { force: true });
    const server = createServer({ keepAliveTimeout: 300_000 }, handler);
    await new Promise((done, failed) => server.once('error', failed).listen(path, done));
    servers.push(server);
  }
  return {
    async close() {
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
      redis?.client.destroy();
      await users.close();
    },
  };
}
