// SPDX-License-Identifier: MIT
// P9: whether anything that was secret stands in clear where it must not: logs, tables, metrics, the process list.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';

const WINDOW = 32; // characters of a secret that are looked for; every secret of the demo has at least as many
const RUN = /[A-Za-z0-9_+/-]{32,}/g;

export class Leaks {
  constructor(secrets) {
    this.heads = new Set(secrets.filter((secret) => secret.length >= WINDOW).map((secret) => secret.slice(0, WINDOW)));
    this.bytes = 0;
    this.found = [];
  }

  look(where, text) {
    this.bytes += text.length;
    for (const [run] of text.matchAll(RUN))
      for (let i = 0; i + WINDOW <= run.length; i++)
        if (this.heads.has(run.slice(i, i + WINDOW))) return void this.found.push(where);
  }

  lookInFiles(dir, isWanted) {
    for (const name of readdirSync(dir)) {
      const path = join(dir, name);
      if (statSync(path).isFile() && isWanted(name)) this.look(path, readFileSync(path, 'latin1'));
    }
  }

  /** Every row of every table in the schemas, as text and, where a column holds bytes, as those. */
  async lookInDatabase(conninfo, schemas) {
    const client = new pg.Client({ connectionString: conninfo });
    await client.connect();
    try {
      const tables = await client.query(
        `SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables WHERE table_schema = ANY ($1)`, [schemas]);
      for (const { name } of tables.rows) {
        const { rows } = await client.query(`SELECT * FROM ${name}`);
        for (const row of rows)
          for (const [column, value] of Object.entries(row))
            if (Buffer.isBuffer(value)) this.look(`${name}.${column}`, value.toString('latin1'));
            else if (value !== null) this.look(`${name}.${column}`, typeof value === 'object' ? JSON.stringify(value) : String(value));
      }
    } finally {
      await client.end();
    }
  }

  lookAtProcesses(pids) {
    for (const pid of pids)
      try {
        this.look(`command line of process ${pid}`, readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
      } catch {
        // it has ended
      }
  }
}
