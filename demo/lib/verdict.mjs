// SPDX-License-Identifier: MIT
// From what was counted to what holds: each promise with its number, and the whole as one object.
import { proven } from './faults.mjs';
import { summary } from './stats.mjs';

const LAG_P99_MS = 250;
const LAG_MAX_MS = 1000;
const ROLLBACK_MS = 1000;
const SIZE = { sessions: 2000, undecodable: 20, clients: 200, races: 50, requests: 5000 };

const sum = (list, name) => list.reduce((total, item) => total + item[name], 0);
const lagHolds = (lag) => lag.n > 0 && lag.lost === 0 && lag.p99 <= LAG_P99_MS && lag.max <= LAG_MAX_MS;

/** walk: a Walk that has been gone. {result: the one object, promises: [{id, says, number, holds}], size: [{what, is, least, holds}]} */
export function judge({ walk, seeded }) {
  const { results, parts, facts, checks, faults } = walk;
  const found = results.findings;

  // A probe that began in a fault window says nothing about the bound.
  const lag = (batches) => {
    const samples = batches.flat().filter(({ at, ms }) => !faults.during(at, at + (ms ?? 5000)));
    return { ...summary(samples.filter(({ ms }) => ms !== null).map(({ ms }) => ms)), lost: samples.filter(({ ms }) => ms === null).length };
  };
  const revocation = lag([...parts.revocationLag, ...parts.banLag]);
  const role = lag(parts.roleLag);
  const clientLogout = lag([results.logoutLags]);

  const windows = faults.windows.map((window) => ({ ...window, proven: proven(window), retried: 0, slowest_retry_ms: 0 }));
  const outside = [];
  for (const failure of results.failures) {
    const window = windows.find((w) => failure.startedAt <= w.ended_at && failure.endedAt >= w.started_at);
    if (!window || failure.givenUp) {
      outside.push(failure);
      continue;
    }
    window.retried++;
    window.slowest_retry_ms = Math.max(window.slowest_retry_ms, failure.endedAt - failure.startedAt);
  }
  const stale = found.stale_roles.filter(({ at }) => !faults.during(at - LAG_MAX_MS, at));
  const resurrected = [...found.resurrected_logouts, ...parts.race.flatMap((race) => race.resurrected),
    ...checks.final.endedAlive, ...checks.transfer.endedAlive];
  const mismatches = [...checks.transfer.mismatches, ...checks.final.mismatches];
  const notOne = parts.exchangeTogether.flatMap((part) => part.wrong);
  const duplicates = [...checks.transfer.duplicates, ...checks.final.duplicates, ...notOne.filter((wrong) => wrong.sessions > 1)];
  const refreshes = parts.refreshTwice.flatMap((part) => part.wrong);
  const firstSight = parts.roleAtFirstSight.flatMap((part) => part.wrong);
  const believed = parts.forge.flatMap((part) => part.believed);
  const transfer = checks.transfer;
  const races = sum(parts.race, 'races');

  const result = {
    forced_relogins: found.forced_relogins.length,
    resurrected_logouts: resurrected.length,
    duplicate_sessions: duplicates.length,
    verify_mismatches: mismatches.length,
    records_read: transfer.read,
    records_stored: transfer.stored,
    records_rejected: transfer.rejected,
    requests: results.counts.requests,
    fault_windows: windows,
    request_errors: outside.length,
    revocation_lag_ms: { p50: revocation.p50, p99: revocation.p99, max: revocation.max, n: revocation.n },
    role_lag_ms: { p50: role.p50, p99: role.p99, max: role.max, n: role.n },
    rollback_ms: Math.round(facts.rollback_ms),
    latency_ms: Object.fromEntries(Object.entries(results.latencies).map(([label, list]) => {
      const { n, p50, p99 } = summary(list);
      return [label, { p50, p99, n }];
    })),
    phases: walk.phases,
  };

  const ledgerRead = transfer.ledger.stored + transfer.ledger.rejected;
  const promises = [
    ['P1', 'nobody is logged out', `${result.forced_relogins} forced re-logins of ${results.counts.logins} logins and ${facts.clients} clients`, result.forced_relogins === 0],
    ['P1', 'requests succeed', `${result.request_errors} of ${result.requests} failed outside fault windows or for longer than 5 s`, result.request_errors === 0],
    ['P1', 'faults were real', windows.map((w) => `${w.what}: ${w.retried} retried, slowest ${w.slowest_retry_ms} ms`).join('; '), windows.length >= 3 && windows.every((w) => w.proven && w.slowest_retry_ms <= 5000)],
    ['P2', 'nobody is logged back in', `${resurrected.length} of ${results.counts.logouts} logouts and ${races} races with ${sum(parts.race, 'exchanged')} exchanges`, resurrected.length === 0],
    ['P3', 'a logout or ban reaches every instance', `p50 ${revocation.p50} ms, p99 ${revocation.p99} ms, max ${revocation.max} ms (${revocation.n} probes)`, lagHolds(revocation)],
    ['P3', 'a role change reaches every instance', `p50 ${role.p50} ms, p99 ${role.p99} ms, max ${role.max} ms (${role.n} probes)`, lagHolds(role)],
    ['P3', 'as the clients see it', `their own logouts: p99 ${clientLogout.p99} ms, max ${clientLogout.max} ms; ${stale.length} stale roles; ${firstSight.length} of ${sum(parts.roleAtFirstSight, 'asked')} at an instance's first sight of a JWT`, stale.length + firstSight.length === 0 && (clientLogout.max ?? 0) <= LAG_MAX_MS],
    ['P4', 'one session of any number of exchanges', `${notOne.length} of ${sum(parts.exchangeTogether, 'tokens')} tokens, ${duplicates.length} double sessions, ${refreshes.length} of ${sum(parts.refreshTwice, 'tokens')} refreshes sent thrice`, notOne.length + duplicates.length + refreshes.length === 0],
    ['P5', 'no silent drop', `${transfer.read} read = ${transfer.stored} stored + ${transfer.rejected} rejected; the transfer's account: ${transfer.ledger.stored} + ${transfer.ledger.rejected}`,
      transfer.read === transfer.stored + transfer.rejected && transfer.rejected === seeded.undecodable && ledgerRead >= seeded.sessions + seeded.undecodable],
    ['P5', 'the analysis saw it coming', `${facts.analysis.undecodable} of ${facts.analysis.records} records do not decode`, facts.analysis.undecodable === seeded.undecodable],
    ['P5', 'both sides say the same', `${mismatches.length} differences in ${transfer.read + checks.final.read} records looked up`, mismatches.length === 0],
    ['P6', 'a token once issued stays good', `${facts.jwt_only_at_rollback} clients with nothing but a JWT went through the rollback`, facts.jwt_only_at_rollback >= 50 && result.forced_relogins === 0],
    ['P6', 'a phase governs minting', `${found.early_jwts.length} JWTs handed over where the phase forbids it`, found.early_jwts.length === 0],
    ['P7', 'every row is on the shard that owns its bucket', `${mismatches.filter((m) => m.what.includes('wrong place')).length} in a wrong place`, !mismatches.some((m) => m.what.includes('wrong place'))],
    ['P8', 'dry-run, journal, way back', `${facts.journal} steps in the journal; rollback in ${result.rollback_ms} ms; the dry run changed ${facts.dry_run_changed ? 'something' : 'nothing'}`,
      facts.journal >= walk.phases.length - 2 && result.rollback_ms < ROLLBACK_MS && facts.dry_run_changed === false],
    ['P9', 'no secret in clear', `${facts.leaks.found.length} places among ${facts.leaks.secrets} secrets and ${Math.round(facts.leaks.bytes / 1e6)} MB of logs and tables`, facts.leaks.found.length === 0 && facts.leaks.secrets > 500],
    ['rule 6', 'identity cannot be forged', `${believed.length} of ${sum(parts.forge, 'probes')} probes believed; ${found.wrong_identity.length} wrong identities`, believed.length + found.wrong_identity.length === 0],
  ].map(([id, says, number, holds]) => ({ id, says, number, holds }));

  const size = Object.entries({
    sessions: seeded.sessions, undecodable: seeded.undecodable, clients: facts.clients, races, requests: result.requests,
  }).map(([what, is]) => ({ what, is, least: SIZE[what], holds: is >= SIZE[what] }));

  result.ok = promises.every((p) => p.holds) && size.every((s) => s.holds);
  const details = {
    forced_relogins: found.forced_relogins, resurrected, stale, firstSight, wrong_identity: found.wrong_identity, early_jwts: found.early_jwts, duplicates, notOne,
    slow_logouts: results.logoutLags.filter(({ at, ms }) => ms > LAG_P99_MS && !faults.during(at, at + ms)), refreshes, mismatches, request_errors: outside, believed, leaks: facts.leaks.found,
  };
  return { result, promises, size, details };
}
