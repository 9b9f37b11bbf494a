// SPDX-License-Identifier: MIT
// Breaks the code on purpose and sees that a test notices. Each NAME.patch here begins with header lines
//   Breaks: what would be wrong in words (a promise, a rule)
//   Test: the command that must go red, run in the root of the patched tree
// followed by a unified diff. All of it happens in a copy of the tree; the working tree is never touched. Prints one line a mutant:
//   killed NAME | SURVIVED NAME | BROKEN NAME (does not apply, does not build, or its test is red without it)
// usage: node tests/mutants/run.mjs [NAME…]
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { root } from '../lib/paths.mjs';
import { processesIn } from '../lib/proc.mjs';

const TEST_LIMIT_MS = 300_000; // a mutant whose test hangs this long is noticed, too
const folder = path.join(root, 'tests/mutants');
const names = process.argv.slice(2);
const patches = readdirSync(folder).filter((f) => f.endsWith('.patch') && (names.length === 0 || names.some((n) => f.includes(n)))).sort();

const copy = mkdtempSync(path.join(os.tmpdir(), 'segue-mutants-'));
const tmp = path.join(copy, 'tmp'); // TMPDIR of the tests
mkdirSync(tmp);
for (const dir of [copy, tmp]) chmodSync(dir, 0o755); // PostgreSQL's user enters
/** Broken code leaves servers behind: they all work below the copy. */
const killLeftovers = () => processesIn(copy).forEach((pid) => process.kill(pid, 'SIGKILL'));
process.on('exit', () => {
  killLeftovers();
  rmSync(copy, { recursive: true, force: true });
});

let running = null;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    if (running) process.kill(-running, 'SIGTERM');
    process.exit(130);
  });

/** A shell command in the copy: {code, out}; code is 'timeout' after the limit. */
function shell(command, limit = TEST_LIMIT_MS) {
  return new Promise((resolve) => {
    const child = spawn('bash', ['-c', command], {
      cwd: copy,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: tmp, SEGUE_BUILD: 'build', SEGUE_LONG: '' },
    });
    let out = '';
    let code = null;
    running = child.pid;
    const timer = setTimeout(() => {
      code = 'timeout';
      process.kill(-child.pid, 'SIGKILL');
    }, limit);
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (d) => (out = (out + d).slice(-20_000)));
    child.on('close', (c, signal) => {
      clearTimeout(timer);
      running = null;
      resolve({ code: code ?? c ?? signal, out });
    });
  });
}

function copyTree() {
  const files = spawnSync('git', ['-c', 'safe.directory=*', 'ls-files', '-co', '--exclude-standard', '-z'], { cwd: root, encoding: 'utf8' }).stdout.split('\0');
  for (const f of files.filter((f) => f && existsSync(path.join(root, f)))) {
    mkdirSync(path.dirname(path.join(copy, f)), { recursive: true });
    cpSync(path.join(root, f), path.join(copy, f), { preserveTimestamps: true });
  }
  for (const dir of ['demo', 'tests/system', 'ui']) {
    const modules = path.join(root, dir, 'node_modules');
    if (existsSync(modules)) symlinkSync(modules, path.join(copy, dir, 'node_modules'));
  }
}

const build = () => shell('ninja -C build', 1_200_000);

let bad = 0;
function verdict(word, name, text) {
  if (word !== 'killed') bad++;
  console.log(`${word} ${name}: ${text}`);
}

const baselines = new Map(); // a test command: its result without any mutant

async function tryMutant(file) {
  const name = path.basename(file, '.patch');
  const head = readFileSync(path.join(folder, file), 'utf8').split(/^(?:diff --git|--- )/m)[0];
  const [breaks, test] = ['Breaks', 'Test'].map((k) => new RegExp(`^${k}: *(.+)$`, 'm').exec(head)?.[1]);
  if (!breaks || !test) return verdict('BROKEN', name, 'expected the header lines "Breaks:" and "Test:"');
  if (!baselines.has(test)) baselines.set(test, await shell(test));
  const baseline = baselines.get(test);
  if (baseline.code !== 0) return verdict('BROKEN', name, `its test is red without it (${baseline.code}): ${test}\n${baseline.out}`);

  const patch = path.join(folder, file);
  const applied = await shell(`git apply --whitespace=nowarn '${patch}'`);
  if (applied.code !== 0) return verdict('BROKEN', name, `does not apply: ${applied.out.trim()}`);
  const built = await build();
  if (built.code !== 0) verdict('BROKEN', name, `does not build\n${built.out.slice(-2000)}`);
  else {
    const { code } = await shell(test);
    killLeftovers();
    if (code === 0) verdict('SURVIVED', name, `${breaks}: not noticed by ${test}`);
    else verdict('killed', name, breaks);
  }
  const back = await shell(`git apply -R --whitespace=nowarn '${patch}'`);
  if (back.code !== 0) throw new Error(`${name} cannot be taken back: ${back.out}`);
}

copyTree();
const first = await shell('git init -q . && meson setup build -Dfaults=true && ninja -C build', 1_200_000);
if (first.code !== 0) {
  console.log(`BROKEN all: the tree does not build without a mutant\n${first.out.slice(-2000)}`);
  process.exit(1);
}
for (const file of patches) {
  await tryMutant(file);
  await build(); // back to what it was, before the next baseline runs
}
process.exit(bad ? 1 : 0);
