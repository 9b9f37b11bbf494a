// SPDX-License-Identifier: MIT
import { execFile, spawn } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/**
 * Runs a program to its end. Never rejects for an exit code: `{code, signal, stdout, stderr}`. A program that is still there
 * after `timeout` ms is killed, and that does reject.
 */
export function run(file, args = [], { input = '', timeout = 60_000, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = execFile(file, args, { maxBuffer: 64 << 20, ...options }, (error, stdout, stderr) => {
      clearTimeout(timer);
      if (error && error.code !== undefined && typeof error.code !== 'number') return reject(error);
      if (expired) return reject(new Error(`${file} ${args.join(' ')}: still running after ${timeout} ms\n${stderr}`));
      resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr });
    });
    let expired = false;
    const timer = setTimeout(() => {
      expired = true;
      child.kill('SIGKILL');
    }, timeout);
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdin.end(input);
  });
}

/** One SQL text through psql; the rows as text, columns parted by '|'. */
export async function sql(conninfo, text) {
  const r = await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', conninfo], { input: text, timeout: 30_000 });
  if (r.code !== 0) throw new Error(`psql ${conninfo}: ${r.stderr.trim()}`);
  return r.stdout.trimEnd();
}

/** One Redis command through redis-cli. */
export async function redis(url, ...args) {
  const r = await run('redis-cli', ['-u', url, ...args], { timeout: 30_000 });
  if (r.code !== 0 || r.stdout.startsWith('Could not connect')) throw new Error(`redis-cli: ${r.stdout}${r.stderr}`);
  return r.stdout.trimEnd();
}

/** Whether a process of this id exists and is more than a zombie. */
export function alive(pid) {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The ids of all processes whose working directory is `dir` or below it. */
export function processesIn(dir) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const cwd = readlinkSync(`/proc/${pid}/cwd`);
      return cwd === dir || cwd.startsWith(`${dir}/`);
    } catch {
      return false;
    }
  });
}

const running = new Set();

/**
 * Ends every program that start() began and that still runs: what a failed test left behind would keep the test file from
 * ending. A test file says `after(endAll)`.
 */
export async function endAll() {
  await Promise.all([...running].map(async (p) => {
    p.kill('SIGTERM');
    const timer = setTimeout(() => p.kill('SIGKILL'), 5_000);
    await p.ended.catch(() => {});
    clearTimeout(timer);
  }));
}

/**
 * A long-running program whose output is read by line. `lines` keeps stdout's so far, `stderr` the rest as text; `line(test)`
 * waits for the next line (each is given once) that passes the test; `ended` resolves to `{code, signal}` once it has ended
 * and its output is closed.
 */
export function start(file, args, options = {}) {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const p = { child, pid: child.pid, lines: [], stderr: '', over: false };
  let waiting = [];
  let given = 0;
  let rest = '';
  const offer = () => {
    waiting = waiting.filter((w) => {
      while (given < p.lines.length) {
        const l = p.lines[given++];
        if (w.test(l)) {
          w.resolve(l);
          return false;
        }
      }
      if (!p.over) return true;
      w.reject(new Error(`${file} ${args.join(' ')} ended (${child.exitCode ?? child.signalCode}): ${p.stderr.trim()}`));
      return false;
    });
  };
  child.stdout.setEncoding('utf8').on('data', (d) => {
    const parts = (rest + d).split('\n');
    rest = parts.pop();
    p.lines.push(...parts);
    offer();
  });
  child.stderr.setEncoding('utf8').on('data', (d) => (p.stderr = (p.stderr + d).slice(-100_000)));
  child.stdin.on('error', () => {});
  running.add(p);
  p.ended = new Promise((resolve, reject) => {
    child.on('error', (e) => {
      running.delete(p);
      reject(e);
    });
    child.on('close', (code, signal) => {
      running.delete(p);
      p.over = true;
      offer();
      resolve({ code, signal });
    });
  });
  p.ended.catch(() => {});
  p.line = (test = () => true) =>
    new Promise((resolve, reject) => {
      waiting.push({ test, resolve, reject });
      offer();
    });
  p.write = (text) => child.stdin.write(text);
  p.kill = (signal) => child.kill(signal);
  return p;
}
