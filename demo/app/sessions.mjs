// SPDX-License-Identifier: MIT
// The login system as it was before Segue came: express-session over connect-redis, passport over both.
import { createHmac } from 'node:crypto';
import { RedisStore } from 'connect-redis';
import session from 'express-session';
import passport from 'passport';
import { Strategy as LocalStrategy } from 'passport-local';
import { createClient } from 'redis';

export const COOKIE = 'connect.sid';

/** What express-session puts into its cookie, before percent-encoding. */
export function sign(sid, secret) {
  const mac = createHmac('sha256', secret).update(sid).digest('base64').replace(/=+$/, '');
  return `s:${sid}.${mac}`;
}

export async function openStore(url) {
  const client = createClient({ url, socket: { reconnectStrategy: 50 } });
  client.on('error', () => {}); // it reconnects; commands wait for that in its queue
  await client.connect();
  return { client, store: new RedisStore({ client, prefix: 'sess:' }) };
}

export function makePassport(users) {
  const authenticator = new passport.Passport();
  authenticator.use(
    new LocalStrategy((name, password, done) => {
      users.byPassword(name, password).then((user) => done(null, user ?? false), done);
    }),
  );
  authenticator.serializeUser((user, done) => done(null, Number(user.id)));
  authenticator.deserializeUser((id, done) => {
    users.byId(id).then((user) => done(null, user ?? false), done);
  });
  return authenticator;
}

export function makeSession({ store, secrets, maxAgeMs }) {
  return session({
    name: COOKIE,
    store,
    secret: secrets,
    resave: false,
    saveUninitialized: false,
    proxy: true, // TLS ends at nginx
    cookie: { maxAge: maxAgeMs, secure: true, httpOnly: true, sameSite: 'lax' },
  });
}

/**
 * The shim for API clients: they carry the signed session id as a bearer token, and express-session only knows cookies.
 */
export function bearerShim(req, res, next) {
  const bearer = /^Bearer (s:\S+)$/.exec(req.headers.authorization ?? '');
  if (bearer) req.headers.cookie = `${COOKIE}=${encodeURIComponent(bearer[1])}`;
  next();
}
