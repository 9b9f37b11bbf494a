// SPDX-License-Identifier: MIT
// The configuration of the demo's Segue: two realms over four shards. It is what a user would write, with times made short by
// the one setting that is meant for it.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const sql = (name) =>
  readFileSync(new URL(`../../deploy/identity/${name}.sql`, import.meta.url), 'utf8').replace(/^--.*\n/gm, '').trim();

const indented = (text, by) => text.split('\n').map((line) => ' '.repeat(by) + line).join('\n');

function realm({ name, issuer, origin, redisUrl, usersUrl }) {
  return `  ${name}:
    issuer: ${issuer}
    audiences: [${origin}]
    origins: [${origin}]
    legacy:
      store: redis
      url: ${redisUrl}
      codec: express-session
      key_prefix: "sess:"
      cookie: connect.sid
      cookie_secure: true
      cookie_domain: ""
      subject_path: passport.user
      secrets_file: session-secrets
      default_idle: 1d
      absence_hold: 1h
    identity:
      source: sql
      url: ${usersUrl}
      lookup: |
${indented(sql('lookup'), 8)}
      changes: |
${indented(sql('changes'), 8)}
      when_down: refuse
    token:
      alg: ES256
      lifetime: 5m
      leeway: 30s
      cookie: segue_jwt
    refresh:
      lifetime: 30d
      grace: 10m
    session:
      absolute: 30d
    clients:
      - id: web
      - id: api
      - id: backend
        secret_file: backend-secret
`;
}

/** Writes segue.yaml and the files it names into dir; answers {file, keyring, sessionSecret, backendSecret}. */
export function writeConfig({ dir, origin, cluster, timeScale }) {
  const secret = () => randomBytes(32).toString('base64url');
  const made = { file: join(dir, 'segue.yaml'), keyring: join(dir, 'keyring'), sessionSecret: secret(), backendSecret: secret() };
  const keep = (name, text) => writeFileSync(join(dir, name), text, { mode: 0o600 });
  keep('session-secrets', `${made.sessionSecret}\n`);
  keep('backend-secret', `${made.backendSecret}\n`);
  keep('keyring', `root:${secret()}\nk1:${secret()}\n`);
  const common = { origin, usersUrl: cluster.appdb.conninfo };
  writeFileSync(
    made.file,
    `segue:
  instance: a
  listen: 127.0.0.1:0
  loops: 1
  control: ${cluster.control.conninfo}
  shards:
${cluster.shards.map((shard) => `    - ${shard.conninfo}`).join('\n')}
  keyring: keyring
  connections: 2
  time_scale: ${timeScale} # a demo of minutes: lifetimes, leeway, grace and quiet periods are this much shorter
  feed:
    stale_after: 2s
    when_stale: introspect
realms:
${realm({ name: 'main', issuer: origin, redisUrl: `${cluster.redis.url}/0`, ...common })}${realm({
      name: 'idle', issuer: `${origin}/realms/idle`, redisUrl: `${cluster.redis.url}/1`, ...common })}`,
  );
  return made;
}
