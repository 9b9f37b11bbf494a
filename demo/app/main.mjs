// SPDX-License-Identifier: MIT
// Runs the app as a process of its own: node main.mjs OPTIONS.json
import { readFileSync } from 'node:fs';
import { startApp } from './server.mjs';

const app = await startApp(JSON.parse(readFileSync(process.argv[2], 'utf8')));
console.log(JSON.stringify({ ready: true, pid: process.pid }));
process.once('SIGTERM', async () => {
  await app.close();
  process.exit(0);
});
process.on('SIGINT', () => {}); // the driver's Ctrl-C reaches the whole group; the driver ends us in its order
