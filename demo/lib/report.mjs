// SPDX-License-Identifier: MIT
// The report for people.

const SHOWN = 5; // of each kind of finding

export function report({ result, promises, size, details }) {
  const out = ['', 'The crossing'];
  for (const { id, says, number, holds } of promises) out.push(`  ${holds ? 'PASS' : 'FAIL'}  ${id.padEnd(6)}  ${says}: ${number}`);
  out.push('', 'Its size');
  for (const { what, is, least, holds } of size) out.push(`  ${holds ? 'PASS' : 'FAIL'}  ${what}: ${is} (at least ${least})`);
  out.push('', 'Latency as the clients saw it, in ms');
  for (const [label, { p50, p99, n }] of Object.entries(result.latency_ms))
    out.push(`  ${label.padEnd(18)}  p50 ${String(p50).padStart(6)}  p99 ${String(p99).padStart(7)}  ${String(n).padStart(6)} requests`);
  const wrong = Object.entries(details).filter(([, list]) => list.length > 0);
  if (result.ok) return out.join('\n');
  if (wrong.length) out.push('', 'What was wrong');
  for (const [kind, list] of wrong) {
    out.push(`  ${kind}: ${list.length}`);
    for (const item of list.slice(0, SHOWN)) out.push(`    ${typeof item === 'string' ? item : JSON.stringify(item)}`);
  }
  return out.join('\n');
}
