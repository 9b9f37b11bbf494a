// SPDX-License-Identifier: MIT
// Runs every test of every runner and closes with one line, "N passed, N failed". Called by `./dev test`, whose help has the options.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { root } from './lib/paths.mjs';
import { processesIn } from './lib/proc.mjs';

const FUZZ_SECONDS = 60; // each target, in a long run
const FILE_LIMIT_MS = 600_000; // one system test file, and one `meson test`
const args = process.argv.slice(2);
const options = new Set(args.filter((a) => a.startsWith('--')));
const names = args.filter((a) => !a.startsWith('--'));
const unknown = [...options].filter((o) => !['--long', '--asan', '--mutants'].includes(o));
if (unknown.length) {
  console.error(`./dev test: unknown option ${unknown[0]}: --long, --asan, --mutants`);
  process.exit(2);
}
const long = options.has('--long');
if (long) process.env.SEGUE_LONG = '1';
process.env.ASAN_OPTIONS ??= 'detect_leaks=1:abort_on_error=1';
process.env.UBSAN_OPTIONS ??= 'halt_on_error=1:print_stacktrace=1';

// All that tests put under TMPDIR goes at the end, also when a test was killed half-way. PostgreSQL's user enters it.
const tmp = mkdtempSync(path.join(os.tmpdir(), 'sgt-'));
chmodSync(tmp, 0o755);
process.env.TMPDIR = tmp;

/** Ends what tests left running and removes their files; returns the processes' descriptions. */
function cleanUp() {
  const left = processesIn(tmp).map((pid) => {
    const text = `${pid} ${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} in ${readlinkSync(`/proc/${pid}/cwd`)}`;
    process.kill(pid, 'SIGKILL');
    return text;
  });
  rmSync(tmp, { recursive: true, force: true, maxRetries: 5 });
  return left;
}

const wanted = (name) => names.length === 0 || names.some((n) => name.includes(n));
const tty = process.stdout.isTTY;
const total = { pass: 0, fail: 0, skip: 0 };
const failures = [];
let stage = '';

/** Counts one test; prints it only when it failed. */
function count(result, name, ms, detail) {
  total[result]++;
  if (tty) process.stdout.write(`\r\x1b[K  ${stage}: ${total.pass} passed, ${total.fail} failed  ${name}`.slice(0, process.stdout.columns + 3));
  if (result !== 'fail') return;
  failures.push(`${stage}: ${name}`);
  if (tty) process.stdout.write('\r\x1b[K');
  console.log(`  FAILED ${name}`);
  if (detail) console.log(detail.trimEnd().split('\n').slice(-40).map((l) => `    ${l}`).join('\n'));
}

/** Runs a stage to its end whatever happens in it, and prints its share and its time. */
async function during(name, work) {
  const before = { ...total };
  const started = Date.now();
  stage = name;
  try {
    await work();
  } catch (e) {
    count('fail', 'the runner itself', 0, e.stack);
  }
  if (tty) process.stdout.write('\r\x1b[K');
  const [passed, failed, skipped] = ['pass', 'fail', 'skip'].map((k) => total[k] - before[k]);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`${name}: ${passed ? `${passed} ok` : failed ? '' : 'done'}${failed ? `${passed ? ', ' : ''}${failed} FAILED` : ''}${skipped ? `, ${skipped} skipped` : ''} (${seconds} s)`);
}

let running = null; // {pid, closed}
let interrupted = false;

/** A program in its own process group, killed whole after the limit or when this one is interrupted: {code, out, expired}. */
function program(file, argv, { onLine = () => {}, env = {}, limit = FILE_LIMIT_MS, show = false } = {}) {
  if (interrupted) return new Promise(() => {}); // the end is near
  return new Promise((resolve, reject) => {
    const child = spawn(file, argv, { cwd: root, env: { ...process.env, ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let rest = '';
    let expired = false;
    let close;
    running = { pid: child.pid, closed: new Promise((r) => (close = r)) };
    const timer = setTimeout(() => {
      expired = true;
      process.kill(-child.pid, 'SIGKILL');
    }, limit);
    const take = (d) => {
      out = (out + d).slice(-200_000);
      if (show) process.stdout.write(d);
    };
    child.stdout.setEncoding('utf8').on('data', (d) => {
      take(d);
      const lines = (rest + d).split('\n');
      rest = lines.pop();
      lines.forEach(onLine);
    });
    child.stderr.setEncoding('utf8').on('data', take);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      running = null;
      close();
      if (!interrupted) resolve({ code: code ?? signal, out, expired });
    });
  });
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, async () => {
    if (interrupted) return;
    interrupted = true;
    // What it started ends by itself: segue dev by the signal or the end of its stdin, its servers with it.
    if (running) {
      process.kill(-running.pid, 'SIGTERM');
      await Promise.race([running.closed, new Promise((r) => setTimeout(r, 5_000))]);
    }
    cleanUp();
    console.log(`interrupted in ${stage}: ${total.pass} passed, ${total.fail} failed`);
    process.exit(130);
  });

/** Builds one kind; a build that fails is one failed test. */
async function build(kind) {
  const r = await program('./dev', ['build', kind], { limit: 1_800_000 });
  if (r.code !== 0) count('fail', `build ${kind}`, 0, r.out);
  return r.code === 0;
}

/** What TAP says, or where it says nothing, what the exit code says. */
function countUnit(t) {
  const tap = [...(t.stdout ?? '').matchAll(/^(not )?ok \d+ (?:- )?(.*)$/gm)];
  const bad = tap.filter((m) => m[1]).length;
  const detail = `${t.stdout ?? ''}\n${t.stderr ?? ''}`;
  for (const [, no, name] of tap) {
    if (/# SKIP/i.test(name)) count('skip', `${t.name}: ${name}`);
    else count(no ? 'fail' : 'pass', `${t.name}: ${name}`, 0, no ? detail : undefined);
  }
  if (t.result === 'SKIP') count('skip', t.name);
  else if (t.result !== 'OK' && bad === 0) count('fail', `${t.name} (${t.result})`, 0, detail);
  else if (tap.length === 0) count(t.result === 'OK' ? 'pass' : 'fail', t.name, 0, detail);
}

async function unitTests(dir) {
  const list = JSON.parse((await program('meson', ['introspect', '--tests', dir])).out);
  const chosen = [...new Set(list.map((t) => t.name))].filter((n) => wanted(n) && (long || !list.some((t) => t.name === n && t.suite.some((s) => s.endsWith('long')))));
  if (chosen.length === 0) return;
  const r = await program('meson', ['test', '-C', dir, '--no-rebuild', ...chosen], { limit: long ? 3_600_000 : FILE_LIMIT_MS });
  const log = path.join(root, dir, 'meson-logs/testlog.json');
  const seen = readFileSync(log, 'utf8').trim().split('\n').filter(Boolean).map((l) => JSON.parse(l));
  seen.forEach(countUnit);
  if (r.expired || seen.length < chosen.length) count('fail', `meson test: ${seen.length} of ${chosen.length} ran`, 0, r.out);
}

/** One file of Node tests on the programs of a build. */
async function nodeTests(file, dir) {
  let failed = 0;
  let any = 0;
  const r = await program(
    process.execPath,
    ['--test', `--test-reporter=${path.join(root, 'tests/lib/reporter.mjs')}`, '--test-reporter-destination=stdout', file],
    {
      env: { SEGUE_BUILD: dir, LEGACY_TOOL: path.join(root, dir, 'tests/system/legacy_tool') },
      limit: long ? 3_600_000 : FILE_LIMIT_MS,
      onLine: (line) => {
        let t;
        try {
          t = JSON.parse(line);
        } catch {
          return; // what a test printed
        }
        any++;
        if (t.result === 'fail') failed++;
        count(t.result, `${path.basename(file, '.test.mjs')}: ${t.name}`, t.ms, t.detail);
      },
    },
  );
  if (r.expired) count('fail', `${file}: still running after its limit`, 0, r.out);
  else if ((r.code !== 0 && failed === 0) || any === 0) count('fail', `${file}: ended with ${r.code} after ${any} tests`, 0, r.out);
}

const testFiles = (dir) =>
  existsSync(path.join(root, dir)) ? readdirSync(path.join(root, dir)).filter((f) => f.endsWith('.test.mjs') && wanted(f)).sort().map((f) => path.join(dir, f)) : [];

/** Each fuzzer for a while, from the kept corpus; what it finds anew stays in the build folder. */
async function fuzz() {
  if (!(await build('fuzz'))) return;
  const dir = path.join(root, 'build-fuzz/tests/fuzz');
  for (const file of readdirSync(dir).filter((f) => /^fuzz_\w+$/.test(f)).sort()) {
    const target = file.slice('fuzz_'.length);
    if (!wanted(target)) continue;
    const found = path.join(dir, `found_${target}`);
    mkdirSync(found, { recursive: true });
    const r = await program(path.join(dir, file), [`-max_total_time=${FUZZ_SECONDS}`, `-artifact_prefix=${found}/`, found, `tests/fuzz/corpus/${target}`]);
    count(r.code === 0 ? 'pass' : 'fail', `fuzz ${target}`, 0, r.out);
  }
}

/** House rules that a program can check. */
async function rules() {
  const files = (await program('git', ['-c', 'safe.directory=*', 'ls-files', '-co', '--exclude-standard'])).out.split('\n').filter((f) => f && existsSync(path.join(root, f)));
  const text = (f) => readFileSync(path.join(root, f), 'utf8');
  const c = files.filter((f) => /\.[ch]$/.test(f));
  const format = await program('clang-format', ['--dry-run', '-Werror', ...c]);
  count(format.code === 0 ? 'pass' : 'fail', 'C sources are formatted (./dev fmt)', 0, format.out.split('\n').filter((l) => l.includes('error:')).join('\n'));
  const unsigned = files.filter((f) => /\.([chS]|mjs)$/.test(f) && !text(f).split('\n', 2).some((l) => l.includes('SPDX-License-Identifier: MIT')));
  count(unsigned.length === 0 ? 'pass' : 'fail', 'sources begin with their SPDX line', 0, unsigned.join('\n'));
  const hosts = files.filter((f) => f.endsWith('package-lock.json') && /"resolved": "https?:/.test(text(f)));
  count(hosts.length === 0 ? 'pass' : 'fail', 'lock files name no registry', 0, hosts.join('\n'));
}

const started = Date.now();
let normal = false;
let sanitized = false;
await during('build', async () => (normal = await build('normal')));
if (names.length === 0 || options.has('--asan')) await during('sanitizer build', async () => (sanitized = await build('asan')));
if (names.length === 0) await during('release build', () => build('release'));
if (normal) await during('unit tests', () => unitTests('build'));
if (sanitized) await during('unit tests, sanitized', () => unitTests('build-asan'));
if (normal) {
  for (const file of [...testFiles('tests/system'), ...testFiles('demo'), ...testFiles('demo/test')]) await during(file, () => nodeTests(file, 'build'));
}
if (sanitized && options.has('--asan')) {
  for (const file of testFiles('tests/system')) await during(`${file}, sanitized`, () => nodeTests(file, 'build-asan'));
}
if (long) await during('fuzzing', fuzz);
if (names.length === 0) await during('house rules', rules);
if (options.has('--mutants')) {
  await during('mutants', async () => {
    const r = await program(process.execPath, ['tests/mutants/run.mjs', ...names], {
      limit: 3_600_000,
      onLine: (line) => {
        const m = /^(killed|SURVIVED|BROKEN) (.*)$/.exec(line);
        if (m) {
          if (!tty) console.log(`  ${line}`);
          count(m[1] === 'killed' ? 'pass' : 'fail', line);
        }
      },
    });
    if (r.code !== 0 && !/^(SURVIVED|BROKEN) /m.test(r.out)) count('fail', 'mutants', 0, r.out);
  });
}

await during('clean-up', () => {
  const left = cleanUp();
  if (left.length) count('fail', 'tests leave no process behind', 0, left.join('\n'));
});

if (total.pass + total.fail === 0) count('fail', `no test matches ${names.join(' ')}`);
if (failures.length) console.log(`\nfailed:\n${failures.map((f) => `  ${f}`).join('\n')}`);
console.log(`\n${total.skip ? `${total.skip} skipped, ` : ''}${Math.round((Date.now() - started) / 1000)} s`);
console.log(`${total.pass} passed, ${total.fail} failed`);
process.exit(total.fail ? 1 : 0);
