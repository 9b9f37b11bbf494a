// SPDX-License-Identifier: MIT
import { segue } from './paths.mjs';
import { start } from './proc.mjs';

/**
 * A throw-away cluster by `segue dev`. It dies with this process. Returns the descriptor's fields (dir, shards, control, appdb,
 * redis), kept up to date, and
 *   restart(name), kill(name), start(name), pause(name), resume(name), halt(name)   name: 'shard0', 'appdb', 'redis';
 *     each resolves, once the server answers again, to {ok, old_pid, new_pid, run_id, …}, or rejects with the reason;
 *   status(), stop() (removes everything), dev (the process).
 */
export async function startCluster({ shards = 2, appDb = false, redis = true, appendonly = false, args = [], env } = {}) {
  const dev = start(
    segue,
    ['dev', '--json', '--exit-on-eof', '--shards', String(shards), ...(appDb ? ['--app-db'] : []),
      ...(redis ? [] : ['--no-redis']), ...(appendonly ? ['--redis-appendonly'] : []), ...args],
    { env: { ...process.env, ...env } },
  );
  const cluster = JSON.parse(await dev.line());
  await dev.line((l) => l === 'ready');

  // One command at a time, so that each answer belongs to the one that was asked.
  let turn = Promise.resolve();
  const command = (text) => {
    const answer = turn.then(async () => {
      dev.write(`${text}\n`);
      return JSON.parse(await dev.line());
    });
    turn = answer.catch(() => {});
    return answer;
  };
  const fault = (verb) => async (name) => {
    const answer = await command(`${verb} ${name}`);
    if (!answer.ok) throw new Error(answer.error);
    const server = [...cluster.shards, cluster.appdb, cluster.redis].find((s) => s?.name === name);
    server.pid = answer.new_pid;
    if (answer.run_id) server.run_id = answer.run_id;
    return answer;
  };
  return Object.assign(cluster, {
    dev,
    command,
    restart: fault('restart'),
    kill: fault('kill'),
    start: fault('start'),
    pause: fault('pause'),
    resume: fault('resume'),
    halt: fault('stop'),
    status: () => command('status'),
    stop: async () => {
      dev.kill('SIGTERM');
      return dev.ended;
    },
  });
}
