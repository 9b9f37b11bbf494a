// SPDX-License-Identifier: MIT
// The driver's side of the process that holds all clients.
import { fileURLToPath } from 'node:url';
import { start } from './proc.mjs';

const PROGRAM = fileURLToPath(new URL('../clients/main.mjs', import.meta.url));

export class Clients {
  #asked = new Map();
  #next = 0;

  constructor({ log }) {
    this.child = start(process.execPath, [PROGRAM], { log, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.child.on('message', ({ id, answer, error }) => {
      const { done, failed } = this.#asked.get(id);
      this.#asked.delete(id);
      if (error) failed(new Error(`clients: ${error}`));
      else done(answer);
    });
    this.child.gone.then(({ code, signal }) => {
      for (const { failed } of this.#asked.values()) failed(new Error(`the clients' process ended: ${code ?? signal}`));
    });
  }

  /** do(name, options): see the commands in demo/clients/main.mjs */
  do(name, options = {}) {
    const id = this.#next++;
    return new Promise((done, failed) => {
      this.#asked.set(id, { done, failed });
      this.child.send({ id, do: name, with: options }, (err) => err && failed(err));
    });
  }

  end() {
    return this.child.end();
  }
}
