// SPDX-License-Identifier: MIT
// All clients in one process of their own, told what to do by the driver: {id, do, with} → {id, answer | error}.
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Actors } from './actors.mjs';
import { Admin } from './admin.mjs';
import { ApiClient } from './api.mjs';
import { Browser } from './browser.mjs';
import { World } from './world.mjs';

let world, actors, clients, running;

const commands = {
  /** {world, browsers: [account], apiClients: [account], admin: account, actors: [account]} */
  start(options) {
    world = new World(options.world);
    for (const account of [...options.browsers, ...options.apiClients, options.admin]) world.rolesAre(account.id, account.roles);
    const ordinary = [
      ...options.browsers.map((account) => new Browser(world, account)),
      ...options.apiClients.map((account) => new ApiClient(world, account)),
    ];
    clients = [...ordinary, new Admin(world, options.admin, ordinary)];
    actors = new Actors(world, options.actors);
    running = Promise.all(clients.map((client) => client.run())).catch((err) => {
      console.error(err);
      process.exit(1);
    });
    return { clients: clients.length };
  },

  /** {label, tokenEndpoint, handOver}: under which name to count; whether Segue can be asked; whether it may hand over JWTs */
  tell(news) {
    Object.assign(world, news);
  },

  async pause() {
    world.pause();
    while (!world.idle) await sleep(5);
  },

  resume() {
    world.resume();
  },

  counts() {
    const holds = {};
    for (const client of clients) if (client.loggedInSince) holds[client.holds] = (holds[client.holds] ?? 0) + 1;
    const findings = Object.fromEntries(Object.entries(world.findings).map(([kind, list]) => [kind, list.length]));
    return { ...world.counts, ...findings, holds, loggedIn: clients.filter((client) => client.loggedInSince).length };
  },

  act({ part, ...options }) {
    return actors[part](options);
  },

  /** Stops everybody; what was secret and what was ended goes to the given files. */
  async stop({ secretsFile, endedFile }) {
    world.stopped = true;
    world.resume();
    await running;
    await actors.close();
    return commands.results({ secretsFile, endedFile });
  },

  results({ secretsFile, endedFile }) {
    writeFileSync(secretsFile, JSON.stringify([...world.secrets]), { mode: 0o600 });
    writeFileSync(endedFile, JSON.stringify([...world.ended]), { mode: 0o600 });
    const { counts, latencies, failures, findings, logoutLags } = world;
    return { counts, latencies, failures, findings, logoutLags };
  },
};

process.on('message', async ({ id, do: name, with: options }) => {
  try {
    process.send({ id, answer: await commands[name](options) });
  } catch (err) {
    process.send({ id, error: err.stack });
  }
});
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {}); // the driver ends us
