// SPDX-License-Identifier: MIT
import { setTimeout as sleep } from 'node:timers/promises';

/** Asks `probe` until it gives something truthy, which is returned; after `ms` fails with `what` and the last error. */
export async function until(what, probe, ms = 10_000, every = 20) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const got = await probe();
      if (got) return got;
      last = undefined;
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`, { cause: last });
    await sleep(every);
  }
}

export { sleep };
