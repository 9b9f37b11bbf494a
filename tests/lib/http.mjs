// SPDX-License-Identifier: MIT
import http from 'node:http';

/**
 * A client of one server that keeps its connections. `request(method, path, {headers, body, timeout})` resolves to {status, headers
 * (lower case; set-cookie is an array), body, ms, json()} and rejects only where no answer came. `saw`, if given, is called with
 * every answer.
 */
export function client(port, { saw = () => {} } = {}) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  const request = (method, path, { headers = {}, body, timeout = 10_000 } = {}) =>
    new Promise((resolve, reject) => {
      const began = performance.now();
      const text = body === undefined ? undefined : Buffer.from(body);
      const req = http.request(
        { host: '127.0.0.1', port, method, path, agent, headers: text ? { ...headers, 'content-length': text.length } : headers },
        (res) => {
          const parts = [];
          res.on('data', (d) => parts.push(d));
          res.on('error', reject);
          res.on('end', () => {
            const answer = {
              status: res.statusCode,
              headers: res.headers,
              body: Buffer.concat(parts).toString(),
              ms: performance.now() - began,
              json: () => JSON.parse(answer.body),
            };
            saw(answer);
            resolve(answer);
          });
        },
      );
      req.setTimeout(timeout, () => req.destroy(new Error(`${method} ${path}: no answer in ${timeout} ms`)));
      req.on('error', reject);
      req.end(text);
    });
  return { request, close: () => agent.destroy() };
}

/** {name, value, attributes: {'max-age': '0', httponly: true, …}} of one Set-Cookie value. */
export function parseSetCookie(text) {
  const [first, ...rest] = text.split(';').map((s) => s.trim());
  const at = first.indexOf('=');
  const attributes = Object.fromEntries(
    rest.map((a) => {
      const eq = a.indexOf('=');
      return eq < 0 ? [a.toLowerCase(), true] : [a.slice(0, eq).toLowerCase(), a.slice(eq + 1)];
    }),
  );
  return { name: first.slice(0, at), value: first.slice(at + 1), attributes };
}
