// SPDX-License-Identifier: MIT
// Phases by `segue phase` and `segue rollback`, on two instances: sticky, monotone, journaled, undone in under a second (P1, P6, P8).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { JWT_COOKIE, LEGACY_COOKIE, decodeJwt, startWorld } from '../lib/segue.mjs';
import { run } from '../lib/proc.mjs';
import { segue } from '../lib/paths.mjs';
import { sleep, until } from '../lib/wait.mjs';

const SUBJECTS = 400;
let w, a, b;

before(async () => {
  w = await startWorld({ users: SUBJECTS + 20, realms: { main: {}, end: {}, other: {} } });
  [a, b] = await Promise.all([w.serve('a'), w.serve('b')]);
});
after(() => w?.stop());

const phase = (realm, ...args) => w.run('phase', '--realm', realm, ...args);
const rollback = (realm, ...args) => w.run('rollback', '--realm', realm, ...args);
const policyRow = (realm) => w.control(`SELECT version, phase, percent_e2, cohorts, realm_epoch FROM segue_control.policy WHERE realm = '${realm}'`);
const journal = async (realm) =>
  (await w.control(`SELECT json_build_object('actor', actor, 'action', action, 'why', why, 'from', from_state, 'to', to_state, 'at', at)
    FROM segue_control.journal WHERE realm = '${realm}' ORDER BY id`)).split('\n').map((l) => JSON.parse(l));
const done = (r) => {
  assert.equal(r.code, 0, r.stderr);
  return r;
};
/** What a phase needs before it is entered, as the transfer leaves it. */
async function transferred(realm) {
  await w.control(`INSERT INTO segue_control.transfer_job (realm, state, snapshot_at) VALUES ('${realm}', 'following', now())`);
  await w.proveContinuity(realm);
}

describe('a step', () => {
  const refusedFor = async (realm, code, text, ...args) => {
    const [row, entries] = [await policyRow(realm), (await journal(realm)).length];
    const r = await phase(realm, ...args);
    assert.equal(r.code, code, r.stderr);
    assert.match(r.stderr, text);
    assert.equal(await policyRow(realm), row);
    assert.equal((await journal(realm)).length, entries);
  };

  test('that skips a phase is refused, and says which is the next', () => refusedFor('main', 1, /from observe the next phase is dual, not exchange/, 'exchange'));
  test('without a finished snapshot is refused, and says what to run', () => refusedFor('main', 1, /dual needs a finished snapshot: run `segue transfer run`/, 'dual'));
  test('without continuity is refused, and says why', async () => {
    await w.control("INSERT INTO segue_control.transfer_job (realm, state, snapshot_at) VALUES ('main', 'following', now())");
    await refusedFor('main', 1, /continuous/, 'dual');
  });
  test('of words that mean nothing is a usage error', async () => {
    await refusedFor('main', 2, /expected observe, dual, exchange, stateless or finalized, not 'sideways'/, 'sideways');
    for (const bad of ['101', '-1', '1.234', 'ten']) await refusedFor('main', 2, /--percent: expected 0 to 100 with at most two decimals/, '--percent', bad);
  });
  test('in a realm that is not there, or in none of several, is refused', async () => {
    const r = await phase('nowhere', 'dual');
    assert.equal(r.code, 2);
    assert.match(r.stderr, /no realm 'nowhere'/);
    const which = await w.run('phase', 'dual');
    assert.equal(which.code, 2);
    assert.match(which.stderr, /3 realms: name one with --realm/);
  });
  test('that is right is taken by every instance before the command ends, and journaled', async () => {
    await transferred('main');
    const before = await journal('main');
    const r = done(await phase('main', 'dual', '--why', 'the numbers look good', '--json'));
    const said = JSON.parse(r.stdout);
    assert.deepEqual([said.from.phase, said.to.phase, said.instances, said.dry_run], ['observe', 'dual', 2, false]);
    for (const i of [a, b]) {
      const seen = await i.verify({ realm: 'main' });
      assert.deepEqual([seen.policy, seen.phase], [said.to.version, 'dual']);
    }
    const [entry] = (await journal('main')).slice(before.length);
    assert.deepEqual([entry.action, entry.why, entry.from.phase, entry.to.phase], ['phase', 'the numbers look good', 'observe', 'dual']);
    assert.ok(entry.actor.length > 0);
    assert.ok(Math.abs(Date.parse(entry.at) - Date.now()) < 60_000);
  });
  test('tried with --dry-run changes nothing', async () => {
    const [row, entries] = [await policyRow('main'), await journal('main')];
    for (const args of [['exchange', '--percent', '25'], ['--percent', '3.21'], ['--cohort', 'editor']]) {
      const r = done(await phase('main', ...args, '--dry-run', '--json'));
      assert.equal(JSON.parse(r.stdout).dry_run, true);
    }
    done(await rollback('main', '--dry-run', '--distrust-jwts'));
    assert.equal(await policyRow('main'), row);
    assert.deepEqual(await journal('main'), entries);
    for (const i of [a, b]) assert.equal((await i.verify({ realm: 'main' })).phase, 'dual');
  });
  test('back is not taken by `segue phase` to what is forward, nor by `segue rollback`', async () => {
    const r = await rollback('main', '--to', 'exchange');
    assert.equal(r.code, 1);
    assert.match(r.stderr, /exchange is forward, use `segue phase`/);
  });
});

describe('a rollout', () => {
  const sessions = new Map();
  /** The subjects whose new session is handed a JWT now, asked on both instances in turn. */
  async function inRollout() {
    const chosen = new Set();
    const subjects = Array.from({ length: SUBJECTS }, (_, i) => i + 1);
    for (let at = 0; at < subjects.length; at += 20)
      await Promise.all(subjects.slice(at, at + 20).map(async (subject) => {
        const s = await w.session(subject);
        const r = await (subject % 2 ? a : b).verify({ cookies: { [LEGACY_COOKIE]: s.cookie } });
        assert.equal(r.subject, String(subject));
        if (r.handed) {
          chosen.add(subject);
          sessions.set(subject, { ...s, jwt: r.handed });
        }
      }));
    return chosen;
  }
  const within = (small, big) => [...small].every((s) => big.has(s));
  // The same rule, written down once more without a line of Segue's.
  const u64 = (n) => { const x = Buffer.alloc(8); x.writeBigUInt64BE(BigInt(n)); return x; };
  const slot = (subject) => {
    const fields = ['segue/rollout/1', 'main', String(subject)].map((f) => Buffer.from(f));
    const h = createHash('sha256').update(Buffer.concat(fields.flatMap((f) => [u64(f.length), f]))).digest();
    return Math.floor((h.readUInt32BE(0) / 2 ** 32) * 10_000);
  };
  const sets = {};

  test('grows by adding subjects, and is the same on every instance and for every session of a subject', async () => {
    done(await phase('main', 'exchange', '--percent', '0'));
    for (const percent of [0, 1, 25, 60, 100]) {
      done(await phase('main', '--percent', String(percent)));
      sets[percent] = await inRollout();
    }
    assert.equal(sets[0].size, 0);
    assert.equal(sets[100].size, SUBJECTS);
    assert.ok(within(sets[1], sets[25]) && within(sets[25], sets[60]));
    for (const percent of [25, 60]) {
      const share = (100 * sets[percent].size) / SUBJECTS;
      assert.ok(Math.abs(share - percent) < 4 * Math.sqrt((percent * (100 - percent)) / SUBJECTS), `${share} % at ${percent} %`);
      assert.deepEqual([...sets[percent]].sort((x, y) => x - y), Array.from({ length: SUBJECTS }, (_, i) => i + 1).filter((s) => slot(s) < percent * 100));
    }
  });
  test('made smaller picks the same subjects as before', async () => {
    done(await phase('main', '--percent', '25'));
    assert.deepEqual([...(await inRollout())].sort(), [...sets[25]].sort());
  });
  test('by cohort adds those who hold the role', async () => {
    await w.app(`UPDATE users SET roles = '{user,editor}' WHERE id = ${SUBJECTS + 1}`);
    done(await phase('main', '--percent', '0', '--cohort', 'editor'));
    const [yes, no] = [await w.session(SUBJECTS + 1), await w.session(SUBJECTS + 2)];
    assert.ok((await a.verify({ cookies: { [LEGACY_COOKIE]: yes.cookie } })).handed);
    assert.equal((await b.verify({ cookies: { [LEGACY_COOKIE]: no.cookie } })).handed, undefined);
    done(await phase('main', '--cohort', '-'));
    assert.equal((await policyRow('main')).split('|')[3], '{}');
  });
  test('that shrank still renews what was handed over', async () => {
    done(await phase('main', '--percent', '0'));
    const held = sessions.get([...sets[100]].find((s) => !sets[60].has(s)));
    const r = await a.verify({ cookies: { [LEGACY_COOKIE]: held.cookie } });
    assert.ok(r.handed, 'a browser that lost its JWT cookie gets it again');
    assert.equal((await b.verify({ bearer: held.jwt })).status, 200);
  });
});

describe('a rollback', () => {
  test('is under way everywhere in less than a second, and logs nobody out', async (t) => {
    done(await phase('main', '--percent', '100'));
    const browser = await w.session(1);
    const jwt = (await a.verify({ cookies: { [LEGACY_COOKIE]: browser.cookie } })).handed;
    const api = await w.session(2);
    let tokens = (await b.exchange(api)).json();

    // Clients that go on throughout, each answer looked at.
    let running = true;
    const statuses = new Map();
    const firstUnder = new Map();
    let version = Infinity;
    const began = { at: 0 };
    const clients = [a, b].flatMap((i) => [
      () => i.verify({ cookies: { [LEGACY_COOKIE]: browser.cookie, [JWT_COOKIE]: jwt } }),
      () => i.verify({ bearer: tokens.access_token }),
      () => i.verify({ cookies: { [JWT_COOKIE]: jwt } }),
    ].map(async (ask) => {
      while (running) {
        const r = await ask();
        statuses.set(r.status, (statuses.get(r.status) ?? 0) + 1);
        if (r.policy > version - 1 && r.phase === 'observe' && !firstUnder.has(i.name)) firstUnder.set(i.name, Date.now() - began.at);
        await sleep(5);
      }
    }));
    await sleep(100);
    version = (await a.policy('main')) + 1;
    began.at = Date.now();
    const r = done(await rollback('main', '--why', 'a drill', '--json'));
    const took = Date.now() - began.at;
    const fresh = await Promise.all([a, b].map(async (i) => i.verify({ cookies: { [LEGACY_COOKIE]: (await w.session(3)).cookie } })));
    for (const f of fresh) assert.deepEqual([f.phase, f.handed, f.status, f.subject], ['observe', undefined, 200, '3'], 'no first JWT once the command has ended');
    await sleep(200);
    running = false;
    await Promise.all(clients);
    const said = JSON.parse(r.stdout);
    t.diagnostic(`rollback took ${took} ms; instances answered under it after ${JSON.stringify([...firstUnder])} ms; ${JSON.stringify(said)}`);
    assert.ok(took < 1000, `${took} ms`);
    assert.equal(firstUnder.size, 2);
    for (const ms of firstUnder.values()) assert.ok(ms < 1000);
    assert.deepEqual([...statuses.keys()], [200]);

    for (const i of [a, b]) {
      assert.equal((await i.verify({ bearer: tokens.access_token })).cookie, `${LEGACY_COOKIE}=${api.cookie}`, 'upstream gets the session cookie');
      const next = await i.refresh(tokens.refresh_token);
      assert.equal(next.status, 200);
      tokens = next.json();
    }
    const [entry] = (await journal('main')).slice(-1);
    assert.deepEqual([entry.action, entry.why, entry.from.phase, entry.to.phase, entry.to.percent_e2], ['rollback', 'a drill', 'exchange', 'observe', 0]);
  });

  test('says how many clients hold only a JWT', async () => {
    const text = done(await rollback('main')).stdout;
    assert.match(text, /[1-9]\d* /);
    const none = await w.session(5, { realm: 'other' });
    assert.equal((await a.verify({ realm: 'other', cookies: { [LEGACY_COOKIE]: none.cookie } })).status, 200);
  });

  test('with --distrust-jwts voids every JWT of the realm, and clients go on by their session', async () => {
    for (const p of ['dual', 'exchange']) done(await phase('main', p));
    done(await phase('main', '--percent', '100'));
    const s = await w.session(7);
    const { access_token, refresh_token } = (await a.exchange(s)).json();
    const elsewhere = await w.session(7, { realm: 'other' });
    done(await rollback('main', '--distrust-jwts', '--why', 'a key was lost'));
    for (const i of [a, b]) {
      assert.equal((await i.verify({ bearer: access_token })).status, 401);
      const cookies = await i.verify({ cookies: { [JWT_COOKIE]: access_token, [LEGACY_COOKIE]: s.cookie } });
      assert.deepEqual([cookies.status, cookies.subject, cookies.credential], [200, '7', 'legacy']);
      // The session held a JWT, so it is given one of the new epoch.
      assert.equal(decodeJwt(cookies.handed).claims.re, 1);
      assert.equal((await i.verify({ realm: 'other', cookies: { [LEGACY_COOKIE]: elsewhere.cookie } })).subject, '7');
    }
    const renewed = (await a.refresh(refresh_token)).json();
    assert.equal(decodeJwt(renewed.access_token).claims.re, 1);
    assert.equal((await b.verify({ bearer: renewed.access_token })).status, 200);
    const [entry] = (await journal('main')).slice(-1);
    assert.deepEqual([entry.from.realm_epoch, entry.to.realm_epoch], [0, 1]);
  });
});

describe('finalized', () => {
  const upTo = async () => {
    await transferred('end');
    for (const p of ['dual', 'exchange', 'stateless']) done(await phase('end', p, ...(p === 'exchange' ? ['--percent', '100'] : [])));
  };

  test('wants its realm typed, and then is for ever', async () => {
    await upTo();
    const file = ['--config', w.file, '--realm', 'end'];
    for (const [args, input] of [[[], ''], [[], 'yes\n'], [['--confirm', 'main'], '']]) {
      const r = await run(segue, ['phase', 'finalized', ...file, ...args], { input });
      assert.equal(r.code, 2, r.stderr);
      assert.match(r.stderr, /not confirmed: expected --confirm end/);
    }
    assert.equal((await policyRow('end')).split('|')[1], 'stateless');
    const s = await w.session(9, { realm: 'end' });
    const jwt = (await a.verify({ realm: 'end', cookies: { [LEGACY_COOKIE]: s.cookie } })).handed;
    const typed = await run(segue, ['phase', 'finalized', ...file], { input: 'end\n' });
    assert.equal(typed.code, 0, typed.stderr);
    await until('both to be there', async () => (await a.verify({ realm: 'end' })).phase === 'finalized' && (await b.verify({ realm: 'end' })).phase === 'finalized', 1000);
    assert.equal((await b.verify({ realm: 'end', cookies: { [JWT_COOKIE]: jwt, [LEGACY_COOKIE]: s.cookie } })).subject, '9');
    for (const r of [await rollback('end'), await phase('end', 'stateless')]) {
      assert.equal(r.code, 1);
      assert.match(r.stderr, /finalized is the end/);
    }
  });
});

test('status says where every realm stands', async () => {
  const r = done(await w.run('status', '--json'));
  const text = r.stdout;
  for (const word of ['main', 'end', 'other', 'finalized', 'observe']) assert.ok(text.includes(word), word);
  assert.doesNotThrow(() => JSON.parse(text));
});

test('a command that finds control down says so and changes nothing', async () => {
  const down = w.write('down.yaml', { ...w.config, segue: { ...w.config.segue, control: 'postgresql://segue:geheim@127.0.0.1:1/control' } });
  for (const command of [['phase', 'dual'], ['rollback'], ['status']]) {
    const r = await run(segue, [command[0], ...command.slice(1), '--config', down, ...(command[0] === 'status' ? [] : ['--realm', 'main'])]);
    assert.equal(r.code, 1, command[0]);
    assert.match(r.stderr, /control.*refused/s);
    assert.doesNotMatch(r.stderr + r.stdout, /geheim/);
  }
});

test('no token, cookie, key or password in logs, metrics or tables', async () => assert.deepEqual(await w.leaks(), []));
