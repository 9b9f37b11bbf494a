// SPDX-License-Identifier: MIT
// How long each kind of change takes to reach every instance: for the test and the benchmark.
import assert from 'node:assert/strict';

import { decodeJwt, overlay, startWorld } from './segue.mjs';
import { start } from './proc.mjs';
import { startLink } from './proxy.mjs';
import { sleep, until } from './wait.mjs';

const LIMIT_MS = 20_000;

/** A psql that stays, so that a statement costs no process: say(text) resolves when it is done. */
function psql(conninfo) {
  const p = start('psql', ['-XAtq', conninfo]);
  let n = 0;
  return {
    say: async (text) => {
      p.write(`${text};\n\\echo @@${++n}\n`);
      await p.line((l) => l === `@@${n}`);
    },
    end: () => p.kill('SIGKILL'),
  };
}

/**
 * A world with the capture running, `n` instances whose shards and control are behind links that can fail, and one beside them
 * that stays connected, through which Segue's own changes are made. Has kinds, an object of {act(s), seen(instance, s)};
 * measure(); holdXmin(), which gives a function that ends it.
 */
export async function startRevocations({ n = 3, shards = 2, users = 5000, main = {} } = {}) {
  const w = await startWorld({ users, shards, main });
  const links = await Promise.all([...w.shards, w.config.segue.control].map((c) => startLink(c)));
  const control = links.at(-1).conninfo;
  const config = w.write('linked.yaml', overlay(w.config, { segue: { control, shards: links.slice(0, -1).map((l) => l.conninfo) } }));
  const instances = await Promise.all(Array.from({ length: n }, (_, i) => w.serve(`i${i}`, { config })));
  const direct = await w.serve('direct');
  const app = psql(w.cluster.appdb.conninfo);
  let user = 0;

  await w.transfer();
  await w.policy('main', { phase: 'exchange', percent: 100 });

  const refused = async (i, s) => (await i.verify({ bearer: s.access_token })).status === 401;
  const row = (s, set) => app.say(`UPDATE users SET ${set} WHERE id = ${s.subject}`);
  const clients = async (verb, s) => {
    const r = await w.run(`clients ${verb}`, s.client, '--realm', 'main', '--why', 'measured');
    assert.equal(r.code, 0, r.stderr);
  };
  const kinds = {
    logout: { act: async (s) => assert.equal((await direct.revoke(s.refresh_token)).status, 200), seen: refused },
    'logout in the app': { act: (s) => w.redisOf('main').del(s.key), seen: refused },
    ban: { act: (s) => row(s, 'active = false'), seen: refused },
    'role change': {
      act: (s) => row(s, "roles = '{user,chief of all}'"),
      seen: async (i, s) => {
        const r = await i.verify({ bearer: s.access_token });
        return r.status === 200 && r.roles === 'user,chief%20of%20all' && decodeJwt(r.jwt).claims.roles.includes('chief of all');
      },
    },
    'permission change': {
      act: (s) => row(s, "permissions = '{}'"),
      seen: async (i, s) => {
        const r = await i.verify({ bearer: s.access_token });
        return r.status === 200 && r.permissions === '' && !decodeJwt(r.jwt).claims.permissions?.length;
      },
    },
    'client disabled': { client: 'other', act: (s) => clients('disable', s), seen: refused, undo: (s) => clients('enable', s) },
  };

  const login = async (kind) => {
    const client = kinds[kind].client ?? 'api';
    const s = await w.session(++user);
    const r = await direct.exchange(s, { client_id: client });
    assert.equal(r.status, 200, r.body);
    const all = { ...s, ...r.json(), client };
    // Each knows it before, so that what it answers after comes of the feed alone.
    for (const i of instances) await until(`${i.name} to accept a token`, async () => (await i.verify({ bearer: all.access_token })).status === 200);
    return all;
  };

  /** Ms from `since()` until the instance has seen the change. */
  const follow = async (i, kind, s, since) => {
    const began = performance.now();
    while (!(await kinds[kind].seen(i, s))) {
      if (performance.now() - began > LIMIT_MS) throw new Error(`${kind}: not at ${i.name} after ${LIMIT_MS} ms`);
      await sleep(2);
    }
    return performance.now() - since();
  };

  return {
    w, instances, links, kinds,
    /**
     * `times` changes of a kind, one after the other: for each and for each instance the ms from the moment when it was sent; with
     * `cut` ('cut' or 'stall' of every link, for about `cutMs`, the change within) from the moment when the links were restored.
     */
    measure: async (kind, times, { cut, cutMs = 400 } = {}) => {
      const out = [];
      for (let n = 0; n < times; n++) {
        const s = await login(kind);
        if (cut) {
          for (const l of links) l[cut]();
          await sleep(cutMs * Math.random());
        }
        let since = performance.now();
        const acted = kinds[kind].act(s);
        const all = Promise.all(instances.map((i) => follow(i, kind, s, () => since)));
        if (cut) {
          await sleep(cutMs * (0.5 + Math.random() / 2));
          since = performance.now();
          for (const l of links) l.restore();
        }
        out.push(...(await all));
        await acted;
        await kinds[kind].undo?.(s);
      }
      return out;
    },
    /** A transaction that is open on every shard and has written. */
    holdXmin: async () => {
      const open = w.shards.map((c) => psql(c));
      for (const o of open) await o.say('BEGIN; SELECT pg_current_xact_id(); CREATE TEMP TABLE held (x int)');
      return () => open.forEach((o) => o.end());
    },
    stop: async () => {
      app.end();
      links.forEach((l) => l.close());
      await w.stop();
    },
  };
}

export const percentile = (list, p) => [...list].sort((x, y) => x - y)[Math.min(list.length - 1, Math.floor((list.length * p) / 100))];
