// SPDX-License-Identifier: MIT
// What the app does for its users. It is mounted twice: at / for browsers, at /api for API clients.
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import express from 'express';
import { sign } from './sessions.mjs';

const LOGIN_PAGE = '<!doctype html><title>Log in</title><form method="post" action="/login"><input name="username"></form>';
const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><circle cx="4" cy="4" r="4"/></svg>';

const text = (value) => String(value).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** app: {users, passport, segue, secrets, trust()} */
export function makeRoutes({ users, passport, segue, secrets, trust }) {
  const router = express.Router();
  router.use(express.json({ limit: '4kb' }));

  const signedIn = (req, res, next) => (req.user ? next() : res.sendStatus(401));
  const isApi = (req) => req.query.api === '1';

  const checkPassword = (req, res, next) =>
    passport.authenticate('local', { session: false }, (err, user) => {
      if (err) return next(err);
      if (!user) return res.sendStatus(401);
      req.account = user;
      next();
    })(req, res, next);

  router.get('/login', (req, res) => res.send(LOGIN_PAGE));

  router.post('/login', checkPassword, async (req, res) => {
    const { id, roles } = req.account;
    if (trust() === 'login' || trust() === 'segue') {
      const made = await segue.createSession(id, isApi(req) ? 'api' : 'web');
      if (isApi(req)) {
        const { access_token, refresh_token, expires_in } = made;
        return res.json({ id, roles, access_token, refresh_token, expires_in });
      }
      res.append('Set-Cookie', made.set_cookie);
      if (made.legacy_cookie) res.append('Set-Cookie', made.legacy_cookie);
      return res.json({ id, roles });
    }
    await promisify(req.login).call(req, req.account);
    // A shim, stated: a login that gives API clients the signed session id instead of a cookie.
    res.json({ id, roles, ...(isApi(req) && { token: sign(req.sessionID, secrets[0]) }) });
  });

  router.post('/logout', async (req, res) => {
    if (req.segueJwt) {
      await segue.revoke(req.segueJwt);
      res.clearCookie('segue_jwt', { path: '/', secure: true, httpOnly: true });
    }
    if (req.session) {
      await promisify(req.logout).call(req);
      await promisify(req.session.destroy).call(req.session);
    }
    res.sendStatus(204);
  });

  router.get('/me', signedIn, (req, res) => {
    const { id, roles, permissions } = req.user;
    res.json({ id: String(id), roles, permissions, via: req.segueJwt ? 'jwt' : 'session' });
  });

  router.get('/page', (req, res) => {
    if (!req.user) return res.redirect('/login');
    res.send(`<!doctype html><title>Page</title><p id="user">${text(req.user.id)}</p><p>${text(req.user.roles.join(', '))}</p>`);
  });

  router.get('/logo.svg', (req, res) => res.type('svg').send(LOGO));

  router.post('/note', signedIn, async (req, res) => {
    const written = await users.addNote(req.user.id);
    if (req.session) req.session.note = randomBytes(6).toString('hex'); // so the whole record is written again
    res.status(201).json({ written });
  });

  router.post('/admin/role', signedIn, async (req, res) => {
    if (!req.user.roles.includes('admin')) return res.sendStatus(403);
    await users.setRoles(String(req.body.id), req.body.roles.map(String));
    res.sendStatus(204);
  });

  return router;
}
