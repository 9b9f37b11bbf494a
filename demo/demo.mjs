// SPDX-License-Identifier: MIT
// The main job on a real system, from session tokens to JWTs and back, with a verdict. node demo.mjs --help
import { existsSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { segue as binary } from '../tests/lib/paths.mjs';
import { Progress } from './lib/progress.mjs';
import { report } from './lib/report.mjs';
import { Stage } from './lib/stage.mjs';
import { judge } from './lib/verdict.mjs';
import { Walk } from './lib/walk.mjs';

const HELP = `usage: ./dev demo [options]

Carries a genuine Express app with its sessions in Redis over to JWTs and sharded PostgreSQL while ${'≥'} 200 clients use it, goes back,
goes on, breaks things on the way, and says of every promise whether it held. Exit code 1 if one did not.

options:
  --quick           less than 3 minutes instead of about 8
  --json            the last line of stdout is the result as one JSON object
  --keep            leave everything running at the end until Ctrl-C, and the files after that
  --corrupt-row     spoil one row behind Segue's back before the sides are compared: the run must fail
  --time-scale X    what Segue's lifetimes, leeway, grace and quiet periods are multiplied by (default 0.02)
  --help            this
`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean' }, json: { type: 'boolean' }, keep: { type: 'boolean' }, 'corrupt-row': { type: 'boolean' },
    'time-scale': { type: 'string', default: '0.02' }, help: { type: 'boolean' },
  },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const timeScale = Number(values['time-scale']);
if (!(timeScale > 0 && timeScale <= 1)) {
  console.error(`demo: --time-scale: expected a number above 0 and at most 1, not '${values['time-scale']}'`);
  process.exit(2);
}
if (!existsSync(binary)) {
  console.error(`demo: ${binary} is missing: run ./dev build, or ./dev demo`);
  process.exit(2);
}

const options = {
  timeScale,
  corruptRow: values['corrupt-row'],
  pace: values['corrupt-row'] ? 0.3 : values.quick ? 1 : 5,
  thinkMs: values.quick ? 1300 : 1600,
  races: values.quick ? 30 : 60,
  probes: values.quick ? 10 : 40,
};
const say = new Progress();
const stage = new Stage(options);
let stopping = false;

async function stop(code, keepFiles) {
  stopping = true;
  say.end();
  await stage.end({ keepFiles });
  process.exit(code);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    if (stopping) return;
    stop(130, false);
  });

const walk = new Walk(stage, options, say);
try {
  await walk.go();
  say.end();
  const verdict = judge({ walk, seeded: stage.seeded });
  writeFileSync(stage.file('result.json'), JSON.stringify({ ...verdict.result, details: verdict.details }, null, 2));
  const keepFiles = values.keep || !verdict.result.ok;
  console.log(report(verdict));
  const files = 'result.json, metrics-*.txt, *.log, nginx/*.log';
  console.log(`\nLogs, metrics and details ${keepFiles ? `are in ${stage.dir}: ${files}` : `(${files}) are kept with --keep, or when something fails`}`);
  if (values.json) console.log(JSON.stringify(verdict.result));
  if (values.keep) {
    const instances = Object.keys(stage.segue.ports).map((name) => `${stage.segue.url(name)}/metrics`);
    console.error(`\nStill running: ${stage.nginx.origin}, ${instances.join(', ')}. Ctrl-C ends it.`);
    await new Promise(() => {});
  }
  await stop(verdict.result.ok ? 0 : 1, keepFiles);
} catch (err) {
  if (!stopping) {
    say.end();
    console.error(`demo: ${err.stack}\ndemo: logs and findings so far: ${stage.dir}`);
    const files = { secretsFile: stage.file('clients-secrets'), endedFile: stage.file('clients-ended') };
    const results = await stage.clients?.do('results', files).catch(() => null);
    if (results) writeFileSync(stage.file('findings.json'), JSON.stringify({ findings: results.findings, failures: results.failures, parts: walk.parts }, null, 2));
    await stop(1, true);
  }
}
