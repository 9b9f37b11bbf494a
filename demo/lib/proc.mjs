// SPDX-License-Identifier: MIT
// Child processes that cannot outlive us: each dies with its parent (pdeathsig), and is ended by its own id.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Starts a program; its output goes to the log file. options: {log, env, cwd, stdio, signal: what to end it with} */
export function start(command, args, { log, signal = 'SIGTERM', stdin = 'ignore', stdout, ...options } = {}) {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', command, ...args], {
    stdio: [stdin, 'pipe', 'pipe'],
    detached: true, // a group of its own: Ctrl-C reaches only the driver, which then ends all in order
    ...options,
  });
  if (log) {
    const file = createWriteStream(log, { flags: 'a' });
    if (!stdout) child.stdout.pipe(file, { end: false });
    child.stderr.pipe(file, { end: false });
  }
  child.gone = new Promise((done) => {
    child.once('exit', (code, why) => done({ code, signal: why }));
    child.once('error', (err) => done({ code: -1, error: err }));
  });
  child.end = async (graceMs = 3000) => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      const late = sleep(graceMs, 'late', { ref: false });
      if ((await Promise.race([child.gone, late])) === 'late') {
        console.error(`${command} ${args[0] ?? ''} (process ${child.pid}) did not end on ${signal} within ${graceMs} ms`);
        child.kill('SIGKILL');
      }
    }
    return child.gone;
  };
  return child;
}

/** Runs to the end: {code, stdout, stderr}. */
export async function run(command, args, { input, ...options } = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => (out[name] += text));
  child.stdin.on('error', () => {}).end(input ?? '');
  const code = await new Promise((done, failed) => child.once('error', failed).once('close', done));
  return { code, ...out };
}

/** Waits until a question is answered with something true. */
export async function until(what, ask, { forMs = 10_000, everyMs = 20 } = {}) {
  const end = performance.now() + forMs;
  let last;
  while (performance.now() < end) {
    try {
      const answer = await ask();
      if (answer) return answer;
    } catch (err) {
      last = err;
    }
    await sleep(everyMs);
  }
  throw new Error(`waited ${forMs} ms in vain for ${what}${last ? `: ${last.message}` : ''}`);
}

/** Keeps a program running: starts it again whenever it ends by itself. */
export class Supervised {
  constructor(makeChild) {
    this.makeChild = makeChild;
    this.restarts = 0;
    this.#start();
  }

  #start() {
    this.child = this.makeChild();
    this.child.gone.then(async () => {
      if (this.ended) return;
      await sleep(200);
      if (this.ended) return;
      this.restarts++;
      this.#start();
    });
  }

  get pid() {
    return this.child.pid;
  }

  async end() {
    this.ended = true;
    return this.child.end();
  }
}
