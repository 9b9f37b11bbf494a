// SPDX-License-Identifier: MIT
// Every mutant still applies to the tree it is meant for; ./dev test --mutants sees each turn its test red.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root } from '../lib/paths.mjs';

const folder = path.join(root, 'tests/mutants');
const patches = readdirSync(folder).filter((name) => name.endsWith('.patch'));

test('mutants: there are some, and each says what it breaks and which test must notice', () => {
  assert.ok(patches.length >= 30);
  for (const name of patches) {
    const text = readFileSync(path.join(folder, name), 'utf8');
    assert.match(text, /^Breaks: .+/m, name);
    assert.match(text, /^Test: .+/m, name);
  }
});

test('mutants: each patch applies to the tree as it is', () => {
  for (const name of patches)
    assert.doesNotThrow(() => execFileSync('git', ['apply', '--check', path.join(folder, name)], { cwd: root, stdio: 'pipe' }), `${name} does not apply: write it anew`);
});
