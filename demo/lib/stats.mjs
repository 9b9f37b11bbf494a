// SPDX-License-Identifier: MIT
/** {n, p50, p99, max} of numbers, to a tenth. */
export function summary(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (share) => (sorted.length ? Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] * 10) / 10 : null);
  return { n: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}
