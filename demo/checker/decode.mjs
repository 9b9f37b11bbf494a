// SPDX-License-Identifier: MIT
/**
 * What an express-session record means, decided with JSON.parse alone: {subject: string or null, idleMs} or undefined when it
 * is no session of this framework.
 */
export function decode({ type, value }) {
  if (type !== 'string') return undefined;
  let record;
  try {
    record = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
  } catch {
    return undefined;
  }
  if (record === null || typeof record !== 'object' || Array.isArray(record)) return undefined;
  if (record.cookie === null || typeof record.cookie !== 'object' || Array.isArray(record.cookie)) return undefined;
  const user = record.passport?.user;
  const subject = user === undefined || user === null || user === '' ? null : String(user);
  return { subject, idleMs: record.cookie.originalMaxAge ?? 0 };
}
