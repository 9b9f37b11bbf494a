// SPDX-License-Identifier: MIT
// Faults under way: each is done for real, proven by the victim's changed process or run id, and has a window of time in which
// requests may need another try.
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './proc.mjs';

const SETTLE_MS = 1500; // after the victim is back: connections are made anew

export class Faults {
  constructor(stage) {
    this.stage = stage;
    this.windows = [];
  }

  async #window(what, harm) {
    const window = { what, started_at: Date.now() };
    Object.assign(window, await harm());
    await this.stage.segue.ready();
    await sleep(SETTLE_MS);
    window.ended_at = Date.now();
    this.windows.push(window);
  }

  killInstance(name) {
    return this.#window(`segue serve ${name} killed (-9)`, async () => {
      const { segue } = this.stage;
      const oldPid = segue.instances[name].pid;
      process.kill(oldPid, 'SIGKILL');
      await until(`instance ${name} to be started again`, () => segue.instances[name].pid !== oldPid);
      return { old_pid: oldPid, new_pid: segue.instances[name].pid };
    });
  }

  restartRedis() {
    return this.#window('redis restarted', async () => {
      const oldRun = this.stage.cluster.redis.run_id;
      const { old_pid, new_pid, run_id } = await this.stage.cluster.restart('redis');
      return { old_pid, new_pid, old_run_id: oldRun, new_run_id: run_id };
    });
  }

  restartShard(name) {
    return this.#window(`${name} restarted`, async () => {
      const { old_pid, new_pid } = await this.stage.cluster.restart(name);
      return { old_pid, new_pid };
    });
  }

  /** The window that a stretch of time touches, if any. */
  during(from, to = from) {
    return this.windows.find((window) => from <= window.ended_at && to >= window.started_at);
  }
}

export const proven = (window) =>
  window.old_pid !== window.new_pid && window.new_pid > 0 && (window.old_run_id === undefined || window.old_run_id !== window.new_run_id);
