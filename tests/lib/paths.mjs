// SPDX-License-Identifier: MIT
import { fileURLToPath } from 'node:url';
import path from 'node:path';

// The tree under test, and its build: `./dev test` chooses another one (sanitizers, a mutant) by SEGUE_BUILD.
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const build = path.resolve(root, process.env.SEGUE_BUILD ?? 'build');
export const segue = path.join(build, 'cmd/segue/segue');
