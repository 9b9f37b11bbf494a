// SPDX-License-Identifier: MIT
// nginx in the foreground over a private directory, with the configuration that Segue ships (deploy/nginx).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { run, start, until } from './proc.mjs';

const SHIPPED = fileURLToPath(new URL('../../deploy/nginx', import.meta.url));
const ROUTES = {
  before: ['segue-straight.conf', 'segue-straight.conf'], // Segue has not come yet
  through: ['segue-through.conf', 'segue-through.conf'],
  straight: ['segue-straight.conf', 'segue-through.conf'], // browsers go straight to the app
};

export class Nginx {
  /** options: {dir, port, appSocket, segue: ['127.0.0.1:1', …], realm, audience} */
  constructor(options) {
    Object.assign(this, options);
    this.cert = join(this.dir, 'cert.pem');
    this.errorLog = join(this.dir, 'error.log');
    this.pidFile = join(this.dir, 'nginx.pid');
    mkdirSync(this.dir, { recursive: true });
  }

  get origin() {
    return `https://localhost:${this.port}`;
  }

  /** The certificate first: others need it before nginx runs. */
  async makeCertificate() {
    const made = await run('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost',
      '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:TRUE',
      '-keyout', join(this.dir, 'key.pem'), '-out', this.cert,
    ]);
    if (made.code !== 0) throw new Error(`openssl made no certificate: ${made.stderr.trim().split('\n').pop()}`);
  }

  async start(mode = 'before') {
    this.#write(mode);
    this.child = start('nginx', ['-p', this.dir, '-e', this.errorLog, '-c', join(this.dir, 'nginx.conf')], {
      log: this.errorLog,
      signal: 'SIGQUIT',
    });
    let gone;
    this.child.gone.then(() => (gone = true));
    const up = await until('nginx', async () => gone || (await this.#accepts()) || false, { forMs: 5000 });
    if (gone && up) throw new Error(`nginx did not start: ${readFileSync(this.errorLog, 'utf8').trim().split('\n').pop()}`);
  }

  /** Leads clients another way; answers when workers of the old configuration take no new connection any more. */
  async route(mode) {
    const before = this.#generation();
    this.#write(mode);
    this.child.kill('SIGHUP');
    await until('nginx to read its configuration again', () => this.#generation() > before, { forMs: 5000 });
  }

  end() {
    return this.child?.end();
  }

  #accepts() {
    return new Promise((done) => {
      const socket = connect(this.port, '127.0.0.1', () => {
        socket.destroy();
        done(true);
      });
      socket.on('error', () => done(false));
    });
  }

  // nginx says at level notice when it stops workers of an old configuration.
  #generation() {
    return readFileSync(this.errorLog, 'utf8').split('gracefully shutting down').length;
  }

  #write(mode) {
    const values = {
      LISTEN: `127.0.0.1:${this.port}`,
      HOST: 'localhost',
      CERT: this.cert,
      KEY: join(this.dir, 'key.pem'),
      SEGUE: this.segue.map((address) => `server ${address} max_fails=0;`).join(' '),
      APP: `unix:${this.appSocket}`,
      REALM: this.realm,
      AUDIENCE: this.audience,
      BROWSERS: ROUTES[mode][0],
      API: ROUTES[mode][1],
      DIR: SHIPPED,
    };
    const site = readFileSync(join(SHIPPED, 'segue.conf.template'), 'utf8').replace(
      /@([A-Z]+)@/g,
      (whole, name) => values[name] ?? whole,
    );
    writeFileSync(join(this.dir, 'site.conf'), site);
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `  ${kind}_temp_path ${this.dir}/temp_${kind};`);
    writeFileSync(
      join(this.dir, 'nginx.conf'),
      `daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes 1;
worker_shutdown_timeout 10s;
pid ${this.pidFile};
error_log ${this.errorLog} notice;
events { worker_connections 2048; }
http {
  log_format plain '$time_iso8601 $request_id $request_method $uri $status $request_time';
  access_log ${this.dir}/access.log plain buffer=64k flush=1s;
  keepalive_timeout 300s;
  keepalive_requests 1000000;
${temp.join('\n')}
  include ${this.dir}/site.conf;
}
`,
    );
  }
}
