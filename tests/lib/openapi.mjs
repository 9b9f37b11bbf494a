// SPDX-License-Identifier: MIT
// docs/openapi.yaml as a judge of answers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { root } from './paths.mjs';

const npm = createRequire(path.join(root, 'tests/system/package.json'));
const YAML = npm('yaml');
const { default: Ajv } = npm('ajv/dist/2020.js');

export const file = path.join(root, 'docs/openapi.yaml');
export const spec = YAML.parse(readFileSync(file, 'utf8'));

const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema(spec, 'openapi');

/** What is at a pointer, through references: [pointer, value]. */
function resolve(pointer) {
  const value = pointer.split('/').slice(1).reduce((v, k) => v?.[k.replaceAll('~1', '/').replaceAll('~0', '~')], spec);
  return value?.$ref ? resolve(value.$ref.slice(1)) : [pointer, value];
}
const at = (...keys) => keys.map((k) => `/${String(k).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

function check(pointer, value, what) {
  const valid = ajv.getSchema(`openapi#${encodeURI(pointer)}`) ?? ajv.compile({ $ref: `openapi#${encodeURI(pointer)}` });
  assert.ok(valid(value), `${what}: ${ajv.errorsText(valid.errors)} in ${JSON.stringify(value)}`);
}

const transport = new Set(['date', 'connection', 'keep-alive', 'content-length', 'content-type', 'transfer-encoding']);

/** The document's path of a target, whatever realm or issuer comes before it. */
function routeOf(target) {
  const [where] = target.split('?');
  if (where.startsWith('/.well-known/oauth-authorization-server')) return '/.well-known/oauth-authorization-server';
  const paths = Object.keys(spec.paths);
  const parent = where.slice(0, where.lastIndexOf('/') + 1);
  return paths.find((p) => where.endsWith(p)) ?? paths.find((p) => /\{\w+\}$/.test(p) && parent.endsWith(p.replace(/\{\w+\}$/, ''))) ?? where;
}

/** Fails unless the answer is one that the document declares for this path and method. */
export function judge(method, target, answer) {
  const { status, headers, body } = answer;
  // Refused before it came to any route, or because its answer would be too large.
  if (body === '' && [400, 413, 414, 431].includes(status) && !headers['x-request-id']) return;
  const route = routeOf(target);
  const item = spec.paths[route];
  const verb = route === '/verify' ? 'get' : method.toLowerCase();
  const what = `${method} ${target} ${status}`;
  let pointer;
  const operations = Object.keys(item ?? {}).filter((k) => k !== 'parameters');
  if (!item || status === 404) pointer = '/components/responses/NotFound';
  else if (!operations.includes(verb)) pointer = '/components/responses/OtherMethod';
  else pointer = at('paths', route, verb, 'responses', status);
  const [where, response] = resolve(pointer);
  assert.ok(response, `${what}: not a declared status`);
  if (pointer.endsWith('NotFound')) assert.equal(status, 404, what);
  if (pointer.endsWith('OtherMethod')) assert.equal(status, 405, what);
  const declared = Object.keys(response.headers ?? {});
  for (const name of declared) {
    const [place, header] = resolve(`${where}${at('headers', name)}`);
    const value = headers[name.toLowerCase()];
    if (value === undefined) assert.ok(!header.required, `${what}: no header ${name}`);
    else for (const v of [value].flat()) check(`${place}/schema`, v, `${what}: header ${name}`);
  }
  for (const name of Object.keys(headers))
    assert.ok(transport.has(name) || declared.some((d) => d.toLowerCase() === name), `${what}: header ${name} is not declared`);
  const type = headers['content-type']?.split(';')[0];
  const content = response.content ?? {};
  if (Object.keys(content).length === 0) {
    assert.equal(body, '', `${what}: a body is not declared`);
    return;
  }
  assert.ok(content[type], `${what}: content type ${type}`);
  const value = type === 'application/json' ? JSON.parse(body) : body;
  check(`${where}${at('content', type, 'schema')}`, value, what);
}

/** The instance, with every answer judged; `seen` counts them by operation and status. */
export function judged(instance) {
  const seen = new Map();
  const request = instance.http.request;
  instance.http.request = async (method, target, options) => {
    const answer = await request(method, target, options);
    judge(method, target, answer);
    const key = `${method} ${routeOf(target)} ${answer.status}`;
    seen.set(key, (seen.get(key) ?? 0) + 1);
    return answer;
  };
  instance.seen = seen;
  return instance;
}

/** Declared statuses of an operation that none of the instances answered; but those of what is down, elsewhere or too large. */
export function unseen(instances, method, route) {
  const said = Object.keys(spec.paths[route][method].responses).filter((s) => !['404', '405', '431', '503'].includes(s));
  const key = (status) => `${method.toUpperCase()} ${route} ${status}`;
  return said.map(key).filter((k) => !instances.some((i) => i.seen.has(k)));
}
