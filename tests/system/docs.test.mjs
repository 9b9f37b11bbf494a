// SPDX-License-Identifier: MIT
// The documents say what the tree holds: drawn diagrams, tables and columns, fault points, folders, links.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { root } from '../lib/paths.mjs';

const read = (file) => readFileSync(path.join(root, file), 'utf8');
const files = (dir, end) => readdirSync(path.join(root, dir), { recursive: true }).filter((f) => f.endsWith(end)).map((f) => path.join(dir, f));
const diagrams = files('docs/diagrams', '.dot');
const documents = ['README.md', ...files('docs', '.md')];

/** What a drawing says, whatever version of Graphviz placed it: the names of nodes and edges, and every text, sorted. */
const words = (svg) => [...svg.matchAll(/<(title|text)\b[^>]*>([^<]*)</g)].map(([, kind, text]) => `${kind} ${text}`).sort();

describe('diagrams', () => {
  for (const dot of diagrams) {
    const svg = dot.replace(/\.dot$/, '.svg');

    test(`${svg} was drawn from its source as it is`, () => {
      const source = read(dot);
      const digest = createHash('sha256').update(source).digest('hex');
      assert.match(read(svg), new RegExp(`sha256 ${digest} -->\\n$`), `${dot} was changed: run ./dev docs`);
    });

    test(`${svg} says what Graphviz makes of its source`, () => {
      const drawn = spawnSync('dot', ['-Tsvg', path.join(root, dot)], { encoding: 'utf8' });
      assert.equal(drawn.status, 0, drawn.error?.message ?? drawn.stderr);
      assert.deepEqual(words(read(svg)), words(drawn.stdout));
    });
  }

  test('each is shown in a document', () => {
    const shown = documents.map(read).join('\n');
    for (const dot of diagrams) assert.ok(shown.includes(`${path.basename(dot, '.dot')}.svg)`), `no document shows ${dot}`);
  });
});

describe('the schema', () => {
  const schema = read('docs/schema.md');
  for (const [dir, name] of [['sql/shard', 'segue'], ['sql/control', 'segue_control']]) {
    const sql = files(dir, '.sql').map(read).join('\n');
    const dot = read(`docs/diagrams/schema-${path.basename(dir)}.dot`);
    const tables = [...sql.matchAll(new RegExp(`^CREATE TABLE ${name}\\.(\\w+) \\(\\n(.*?)^\\);`, 'gms'))];

    test(`every table of ${dir} is explained, and drawn with its columns`, () => {
      assert.ok(tables.length > 5, `${tables.length} tables found`);
      for (const [, table, body] of tables) {
        assert.ok(schema.includes(`\`${name}.${table}\``), `docs/schema.md does not explain ${name}.${table}`);
        const node = dot.match(new RegExp(`^  ${table} \\[label=<(.*?)^  </table>>\\]`, 'ms'));
        assert.ok(node, `schema-${path.basename(dir)}.dot does not draw ${table}`);
        const columns = [...body.matchAll(/^ {4}([a-z]\w*) +[a-z]/gm)].map((m) => m[1]).sort();
        const drawn = [...node[1].matchAll(/(\w+)(?:<\/u>)? <font/g)].map((m) => m[1]).sort();
        assert.deepEqual(drawn, columns, table);
      }
    });
  }
});

test('docs/libsegue.md says what the header says, and every function of it is explained', () => {
  const made = spawnSync(process.execPath, [path.join(root, 'docs/api.mjs'), '--check'], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  const page = read('docs/libsegue.md');
  const functions = [...read('include/segue/segue.h').matchAll(/\b(segue_\w+)\(/g)].map((m) => m[1]);
  assert.ok(functions.length > 20, `${functions.length} functions found`);
  for (const name of functions) assert.ok(page.includes(`${name}(`), `docs/libsegue.md has no ${name}`);
});

test('docs/flows.md tells what a crash leaves at every fault point of the code', () => {
  const flows = read('docs/flows.md');
  const points = new Set();
  for (const file of files('src', '.c')) for (const [, name] of read(file).matchAll(/(?:sg_fault\(|\.after = )"([a-z_.]+)"/g)) points.add(name);
  assert.ok(points.size > 10, `${points.size} fault points found`);
  for (const name of points) assert.ok(flows.includes(`\`${name}\``), `docs/flows.md does not name ${name}`);
});

test('the map in the README has a line for every folder of the code', () => {
  const map = read('README.md').split('## Code layout')[1].split('\n## ')[0];
  const folders = ['src', 'cmd'].flatMap((dir) => readdirSync(path.join(root, dir), { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => `${dir}/${e.name}`));
  assert.ok(folders.length > 10);
  for (const folder of folders) assert.ok(map.includes(`\`${folder}/\``), `README.md has no line for ${folder}/`);
});

test('what the documents link to, and the files they name, are there', () => {
  for (const document of documents) {
    const text = read(document);
    const links = [...text.matchAll(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)].map((m) => path.join(path.dirname(document), m[1]));
    const named = [...text.matchAll(/`((?:src|cmd|sql|tests|deploy|demo|docs|include)\/[\w./-]*\w\/?)`/g)].map((m) => m[1]);
    for (const file of [...links, ...named]) assert.ok(existsSync(path.join(root, file)), `${document}: there is no ${file}`);
  }
});
