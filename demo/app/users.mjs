// SPDX-License-Identifier: MIT
// The app's own user table: who there is, with which roles, and whether a password is right.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import pg from 'pg';

const derive = promisify(scrypt);
const COST = { N: 512, r: 8, p: 1 }; // cheap on purpose: the demo logs in thousands of times on two cores
const SCHEMA = new URL('../../deploy/identity/users.sql', import.meta.url);

async function hash(password) {
  const salt = randomBytes(12);
  const key = await derive(password, salt, 32, COST);
  return `${salt.toString('base64url')}.${key.toString('base64url')}`;
}

async function matches(password, stored) {
  const [salt, key] = stored.split('.').map((part) => Buffer.from(part, 'base64url'));
  return timingSafeEqual(await derive(password, salt, 32, COST), key);
}

const asUser = (row) => row && { id: row.id, roles: row.roles, permissions: row.permissions, active: row.active };

export class Users {
  constructor(url) {
    this.pool = new pg.Pool({ connectionString: url, max: 8, connectionTimeoutMillis: 2000 });
    this.pool.on('error', () => {}); // an idle connection lost: the next query opens another
  }

  async createSchema() {
    await this.pool.query(readFileSync(SCHEMA, 'utf8'));
    await this.pool.query('CREATE TABLE IF NOT EXISTS note (id bigint PRIMARY KEY REFERENCES users, written int NOT NULL)');
  }

  /** accounts: [{id, name, password, roles, permissions}] */
  async create(accounts) {
    const hashes = await Promise.all(accounts.map((a) => hash(a.password)));
    await this.pool.query(
      `INSERT INTO users (id, name, password, roles, permissions)
       SELECT (a->>'id')::bigint, a->>'name', h, ARRAY(SELECT jsonb_array_elements_text(a->'roles')),
              ARRAY(SELECT jsonb_array_elements_text(a->'permissions'))
         FROM unnest($1::jsonb[], $2::text[]) AS t(a, h)`,
      [accounts.map(({ id, name, roles, permissions }) => JSON.stringify({ id, name, roles, permissions })), hashes],
    );
  }

  async byPassword(name, password) {
    const { rows } = await this.pool.query({
      name: 'by_name',
      text: 'SELECT id, password, active, roles, permissions FROM users WHERE name = $1',
      values: [name],
    });
    if (!rows[0]?.active || !(await matches(password, rows[0].password))) return null;
    return asUser(rows[0]);
  }

  async byId(id) {
    const { rows } = await this.pool.query({
      name: 'by_id',
      text: 'SELECT id, active, roles, permissions FROM users WHERE id = $1',
      values: [id],
    });
    return rows[0]?.active ? asUser(rows[0]) : null;
  }

  async setRoles(id, roles) {
    await this.pool.query('UPDATE users SET roles = $2 WHERE id = $1', [id, roles]);
  }

  async setActive(id, active) {
    await this.pool.query('UPDATE users SET active = $2 WHERE id = $1', [id, active]);
  }

  async addNote(id) {
    const { rows } = await this.pool.query(
      `INSERT INTO note VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET written = note.written + 1 RETURNING written`,
      [id],
    );
    return rows[0].written;
  }

  close() {
    return this.pool.end();
  }
}
