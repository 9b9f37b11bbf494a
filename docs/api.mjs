// SPDX-License-Identifier: MIT
// The part of docs/libsegue.md below its marker, made of include/segue/segue.h: sections, and for each comment its
// text and the declarations under it. `node docs/api.mjs` writes it; `--check` fails when it is not current.
import { readFileSync, writeFileSync } from 'node:fs';

const header = new URL('../include/segue/segue.h', import.meta.url);
const page = new URL('libsegue.md', import.meta.url);
const marker = '<!-- Below: made of include/segue/segue.h by ./dev docs. -->\n';

/** A comment's text without its stars, lines joined to paragraphs. */
const prose = (comment) => comment.replace(/^\/\*\s?|\s*\*\/$/g, '').split('\n').map((l) => l.replace(/^\s*\* ?/, '').trim()).join('\n')
  .split(/\n{2,}/).map((p) => p.replaceAll('\n', ' ')).join('\n\n')
  .replace(/\b((?:segue|SEGUE)_[A-Za-z0-9_]*\w)(\(\))?/g, '`$1$2`').replace(/(?<=\s|^)(\*\w+|out\[cap\])/g, '`$1`').replaceAll('<=', '≤');

const wrap = (f) => (f.length <= 110 ? f : f.replace(/(.{60,100}?,) /g, '$1\n    '));

/** Declarations without what only the compiler reads. */
const code = (text) => text.replace(/^#define SEGUE_(API|MUST_USE).*\n?/gm, '').replace(/\bSEGUE_(API|MUST_USE)\s+/g, '').replace(/^\s*\n/gm, '').trimEnd()
  // Prototypes are wrapped for the names as they stand here.
  .replace(/^(?:\w[\w ]*[ *\n])\w+\([^;{]*\);$/gm, (f) => wrap(f.replace(/\s+/g, ' ')));

const text = readFileSync(header, 'utf8');
const body = text.slice(text.indexOf('/* libsegue:'), text.lastIndexOf('#ifdef __cplusplus'));
const out = [];
// A comment that begins a line at the margin opens a block; what follows up to the next one is its code.
for (const [, comment, rest] of body.matchAll(/^(\/\*(?:[^*]|\*(?!\/))*\*\/)\n((?:(?!\/\*).*\n)*)/gm)) {
  const section = comment.match(/^\/\* ---- (.*) ---- \*\/$/);
  const declarations = code(rest.replace(/#ifdef __cplusplus\nextern "C" \{\n#endif\n/, ''));
  if (section) out.push(`### ${section[1][0].toUpperCase()}${section[1].slice(1)}`);
  else out.push(prose(comment));
  if (declarations) out.push(`\`\`\`c\n${declarations}\n\`\`\``);
}
const made = `${out.join('\n\n')}\n`;

const old = readFileSync(page, 'utf8');
const at = old.indexOf(marker);
if (at < 0) throw new Error('docs/libsegue.md has lost its marker');
const now = `${old.slice(0, at + marker.length)}\n${made}`;
if (process.argv.includes('--check')) {
  if (now !== old) {
    console.error('docs/libsegue.md is not what include/segue/segue.h says: run ./dev docs');
    process.exitCode = 1;
  }
} else {
  writeFileSync(page, now);
  console.log('docs/libsegue.md');
}
