// SPDX-License-Identifier: MIT
// OAuth client libraries and a resource server from npm, unchanged, against a running segue serve.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';

import { EXCHANGE, LEGACY, decodeJwt, startWorld, tamper } from '../lib/segue.mjs';

const { auth, requiredScopes } = createRequire(import.meta.url)('express-oauth2-jwt-bearer');
const express = createRequire(import.meta.url)('express');

const API = 'https://api.example';
const ODD = { id: 'odd:client+1%/~', secret: 'a secret: with + % & = ä, 🔑 in it' };
let w, a, port, dir, issuers;
let subject = 0;

const freePort = () =>
  new Promise((resolve) => {
    const s = net.createServer().listen(0, '127.0.0.1', () => {
      const { port: p } = s.address();
      s.close(() => resolve(p));
    });
  });

before(async () => {
  port = await freePort();
  dir = mkdtempSync(path.join(os.tmpdir(), 'sg-oauth-'));
  const secret = (name, text = randomBytes(32).toString('hex')) => {
    writeFileSync(path.join(dir, name), `${text}\n`, { mode: 0o600 });
    return path.join(dir, name);
  };
  issuers = { main: `http://127.0.0.1:${port}`, rsa: `http://127.0.0.1:${port}/tenants/rsa` };
  const clients = [
    { id: 'web' },
    { id: 'app', scope: ['orders:read', 'orders:write'] },
    { id: 'backend', secret_file: 'backend-secret', grants: ['client_credentials', 'token_exchange', 'refresh_token'],
      scope: ['orders:read', 'orders:write'], roles: ['service'], permissions: ['orders:sync'] },
    { id: ODD.id, secret_file: secret('odd', ODD.secret), grants: ['client_credentials'], audiences: [API] },
  ];
  w = await startWorld({
    realms: { main: { issuer: issuers.main, clients }, rsa: { issuer: issuers.rsa, clients, token: { alg: 'RS256' } } },
  });
  a = await w.serve('a', { args: ['--listen', `127.0.0.1:${port}`] });
  for (const realm of w.realms) await w.policy(realm, { phase: 'exchange', percent: 100 });
});
after(async () => {
  await w?.stop();
  rmSync(dir, { recursive: true, force: true });
});

for (const realm of ['main', 'rsa'])
  describe(`realm ${realm}: ${realm === 'main' ? 'ES256, issuer without a path' : 'RS256, issuer with a path'}`, () => {
    const insecure = { [oauth.allowInsecureRequests]: true };
    let as;
    const discover = async () => {
      const issuer = new URL(issuers[realm]);
      const r = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
      return oauth.processDiscoveryResponse(issuer, r);
    };
    before(async () => (as = await discover()));

    test('jose verifies what is issued by the published keys', async () => {
      const s = await w.session(++subject, { realm });
      const { access_token } = (await a.exchange(s, { client_id: 'app', scope: 'orders:read' })).json();
      const keys = jose.createRemoteJWKSet(new URL(as.jwks_uri));
      const options = { issuer: issuers[realm], audience: 'https://app.example', typ: 'at+jwt' };
      const { payload, protectedHeader } = await jose.jwtVerify(access_token, keys, options);
      assert.deepEqual([payload.sub, payload.client_id, payload.scope], [s.subject, 'app', 'orders:read']);
      assert.deepEqual([payload.roles, payload.permissions], [['user'], ['read']]);
      assert.equal(protectedHeader.alg, realm === 'rsa' ? 'RS256' : 'ES256');
      await assert.rejects(jose.jwtVerify(tamper(access_token), keys, options), jose.errors.JWSSignatureVerificationFailed);
      await assert.rejects(jose.jwtVerify(access_token, keys, { ...options, audience: API }), jose.errors.JWTClaimValidationFailed);
    });

    test('oauth4webapi: client credentials by either method, introspection, revocation', async () => {
      const client = { client_id: 'backend' };
      for (const method of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
        const proof = method(w.backendSecret);
        const issued = await oauth.processClientCredentialsResponse(as, client,
          await oauth.clientCredentialsGrantRequest(as, client, proof, { scope: 'orders:read', resource: API }, insecure));
        assert.deepEqual([issued.token_type, issued.scope, issued.refresh_token], ['bearer', 'orders:read', undefined]);
        const request = new Request('https://api.example/orders', { headers: { authorization: `Bearer ${issued.access_token}` } });
        const claims = await oauth.validateJwtAccessToken(as, request, API, { ...insecure, signingAlgorithms: as.access_token_signing_alg_values_supported });
        assert.deepEqual([claims.sub, claims.roles, claims.permissions], ['backend', ['service'], ['orders:sync']]);
        const ask = async () =>
          oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, proof, issued.access_token, insecure));
        const about = await ask();
        assert.deepEqual([about.active, about.sub, about.aud, about.scope], [true, 'backend', API, 'orders:read']);
        await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, proof, issued.access_token, insecure));
        assert.deepEqual(await ask(), { active: false });
      }
    });

    test('oauth4webapi percent-encodes an id and a secret as the standard says, and they are decoded so', async () => {
      const client = { client_id: ODD.id };
      for (const method of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
        const r = await oauth.clientCredentialsGrantRequest(as, client, method(ODD.secret), {}, insecure);
        const issued = await oauth.processClientCredentialsResponse(as, client, r);
        assert.deepEqual([decodeJwt(issued.access_token).claims.sub, decodeJwt(issued.access_token).claims.aud], [ODD.id, API]);
      }
      const r = await oauth.clientCredentialsGrantRequest(as, client, oauth.ClientSecretBasic('wrong'), {}, insecure);
      await assert.rejects(oauth.processClientCredentialsResponse(as, client, r), (e) => {
        assert.deepEqual([e.status, e.cause?.[0]?.scheme], [401, 'basic']); // it found the challenge
        return true;
      });
    });

    test('oauth4webapi: token exchange and refresh of a public client', async () => {
      const client = { client_id: 'app' };
      const s = await w.session(++subject, { realm });
      const first = await oauth.processGenericTokenEndpointResponse(as, client,
        await oauth.genericTokenEndpointRequest(as, client, oauth.None(), EXCHANGE, { subject_token: s.signed, subject_token_type: LEGACY }, insecure));
      assert.equal(first.scope, 'orders:read orders:write');
      const second = await oauth.processRefreshTokenResponse(as, client,
        await oauth.refreshTokenGrantRequest(as, client, oauth.None(), first.refresh_token, { ...insecure, additionalParameters: { scope: 'orders:read' } }));
      assert.deepEqual([second.scope, decodeJwt(second.access_token).claims.sub], ['orders:read', s.subject]);
      await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, oauth.None(), second.refresh_token, insecure));
      await assert.rejects(
        async () => oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, oauth.None(), second.refresh_token, insecure)),
        { error: 'invalid_grant' },
      );
    });

    test('openid-client: discovery, client credentials, exchange, refresh, introspection, revocation', async () => {
      const configure = (id, proof) =>
        openid.discovery(new URL(issuers[realm]), id, undefined, proof, { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] });
      const backend = await configure('backend', openid.ClientSecretBasic(w.backendSecret));
      const own = await openid.clientCredentialsGrant(backend, { resource: 'https://app.example' });
      assert.equal(own.scope, 'orders:read orders:write');
      const s = await w.session(++subject, { realm });
      const first = await openid.genericGrantRequest(backend, EXCHANGE, { subject_token: s.signed, subject_token_type: LEGACY });
      const second = await openid.refreshTokenGrant(backend, first.refresh_token);
      for (const [token, sub] of [[own.access_token, 'backend'], [second.access_token, s.subject], [second.refresh_token, s.subject]]) {
        const about = await openid.tokenIntrospection(backend, token);
        assert.deepEqual([about.active, about.sub, about.client_id], [true, sub, 'backend']);
      }
      assert.deepEqual(await openid.tokenIntrospection(backend, first.refresh_token), { active: false });
      await openid.tokenRevocation(backend, second.access_token); // its session, so both
      for (const token of [second.access_token, second.refresh_token]) assert.deepEqual(await openid.tokenIntrospection(backend, token), { active: false });
      const app = await configure('app', openid.None());
      await assert.rejects(openid.clientCredentialsGrant(app), { error: 'unauthorized_client' });
    });

    test('express-oauth2-jwt-bearer guards a resource server by what it discovers', async () => {
      const app = express();
      app.use(auth({ issuerBaseURL: issuers[realm], audience: API, tokenSigningAlg: realm === 'rsa' ? 'RS256' : 'ES256', strict: true }));
      app.get('/orders', requiredScopes('orders:read'), (req, res) => res.json(req.auth.payload));
      app.get('/write', requiredScopes('orders:write'), (req, res) => res.json({}));
      const server = await new Promise((resolve) => {
        const s = http.createServer(app).listen(0, '127.0.0.1', () => resolve(s));
      });
      try {
        const get = async (where, token) => {
          const r = await fetch(`http://127.0.0.1:${server.address().port}${where}`, token ? { headers: { authorization: `Bearer ${token}` } } : {});
          return [r.status, r.status === 200 ? await r.json() : r.headers.get('www-authenticate')];
        };
        const s = await w.session(++subject, { realm });
        const token = async (audience) => (await a.exchange(s, { client_id: 'app', scope: 'orders:read', audience })).json().access_token;
        const good = await token(API);
        const [status, claims] = await get('/orders', good);
        assert.deepEqual([status, claims.sub], [200, s.subject]);
        assert.equal((await get('/write', good))[0], 403);
        assert.equal((await get('/orders'))[0], 401);
        for (const bad of [tamper(good), await token('https://app.example')]) assert.match((await get('/orders', bad))[1], /invalid_token/);
      } finally {
        server.close();
      }
    });
  });
