// SPDX-License-Identifier: MIT
// Tokens that nobody may accept. Most are signed by a key that Segue trusts: what is wrong with each is its name.
import { createHash, createHmac, createSign, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const b64 = (v) => Buffer.from(v).toString('base64url');
export const now = () => Math.floor(Date.now() / 1000);

/** A key to sign with: {kid, alg, jwk (private), sign(text)}. */
export function newKey(alg, kid) {
  const pair = alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : alg === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
  const signers = {
    ES256: (text) => sign('sha256', Buffer.from(text), { key: pair.privateKey, dsaEncoding: 'ieee-p1363' }),
    RS256: (text) => createSign('RSA-SHA256').update(text).sign(pair.privateKey),
    EdDSA: (text) => sign(null, Buffer.from(text), pair.privateKey),
  };
  const jwk = { ...pair.privateKey.export({ format: 'jwk' }), kid, alg };
  const publicJwk = { ...pair.publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
  return { kid, alg, jwk, publicJwk, publicKey: pair.publicKey, sign: signers[alg], der: (text) => sign('sha256', Buffer.from(text), pair.privateKey) };
}

/** Header and payload may be objects or the very text. */
export function compact(key, header, payload, signature) {
  const text = (v) => (typeof v === 'string' || Buffer.isBuffer(v) ? v : JSON.stringify(v));
  const input = `${b64(text(header))}.${b64(text(payload))}`;
  return `${input}.${signature === undefined ? b64(key.sign(input)) : signature}`;
}

const header = (key) => ({ alg: key.alg, typ: 'at+jwt', kid: key.kid });
const without = (o, ...names) => Object.fromEntries(Object.entries(o).filter(([k]) => !names.includes(k)));
const swap = (t, f) => t.split('.').map((part, i) => f(part, i)).join('.');

/** [name, token]; claims: those of a good token, keys: trusted ones by algorithm, stranger: one that is not. */
export function hostileTokens({ claims, keys, stranger, foreignKid, expired }) {
  const es = keys.ES256;
  const h = header(es);
  const good = compact(es, h, claims);
  const [gh, gp, gs] = good.split('.');
  const raw = Buffer.from(gs, 'base64url');
  const p1363 = (r, s) => b64(Buffer.concat([r, s]));
  const zero = Buffer.alloc(32);
  const one = Buffer.concat([Buffer.alloc(31), Buffer.from([1])]);
  const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
  const prime = Buffer.from('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff', 'hex');
  const list = [];
  const add = (name, token) => list.push([name, token]);
  const withHeader = (name, over, key = es) => add(name, compact(key, { ...header(key), ...over }, claims));
  const withClaims = (name, over, key = es) => add(name, compact(key, header(key), { ...claims, ...over }));
  const hmac = (secret, alg = 'HS256') => ({ sign: (t) => createHmac(alg.replace('HS', 'sha'), secret).update(t).digest() });

  // The algorithm is the key's, not the token's.
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
    add(`alg ${alg || 'empty'}, no signature`, compact(null, { ...h, alg }, claims, ''));
    add(`alg ${alg || 'empty'}, a signature`, compact(es, { ...h, alg }, claims));
    add(`alg ${alg || 'empty'}, no kid`, compact(null, without({ ...h, alg }, 'kid'), claims, ''));
  }
  for (const [what, key] of Object.entries(keys)) {
    const secrets = {
      'its PEM': key.publicKey.export({ type: 'spki', format: 'pem' }), 'its DER': key.publicKey.export({ type: 'spki', format: 'der' }),
      'its JWK': JSON.stringify(key.publicJwk), 'nothing': '', 'its kid': key.kid,
    };
    for (const [which, secret] of Object.entries(secrets)) add(`HS256 keyed with ${which} of ${what}`, compact(hmac(secret), { ...header(key), alg: 'HS256' }, claims));
    add(`HS512 keyed with its PEM of ${what}`, compact(hmac(secrets['its PEM'], 'HS512'), { ...header(key), alg: 'HS512' }, claims));
    for (const other of Object.keys(keys).filter((a) => a !== what)) {
      withHeader(`${what} key under alg ${other}`, { alg: other }, key);
      withHeader(`${what} key under the kid of ${other}`, { kid: keys[other].kid }, key);
      withHeader(`${what} key as ${other} altogether`, { kid: keys[other].kid, alg: other }, key);
    }
  }
  for (const alg of ['es256', 'ES384', 'ES512', 'ES256K', 'PS256', 'RS1', 'Ed25519', 'EdDSA ', 'ES256\u0000', null, 256, ['ES256']]) withHeader(`alg ${JSON.stringify(alg)}`, { alg });
  add('no alg', compact(es, without(h, 'alg'), claims));

  // The key is the realm's, not the token's.
  add('no kid', compact(es, without(h, 'kid'), claims));
  const kids = ['', 'unknown', '../../../../dev/null', "x' OR '1'='1", '$(id)', `${es.kid}\u0000`, `${es.kid} `, es.kid.toUpperCase(), 'k'.repeat(129), 'k'.repeat(900), foreignKid];
  for (const kid of kids) withHeader(`kid ${kid.length > 40 ? `of ${kid.length} bytes` : JSON.stringify(kid)}`, { kid });
  for (const kid of [0, null, true, [es.kid], { kid: es.kid }]) withHeader(`kid ${JSON.stringify(kid)}`, { kid });
  add('a stranger\'s key under a known kid', compact(stranger, h, claims));
  add('a stranger\'s key under its own kid', compact(stranger, header(stranger), claims));
  withHeader('an embedded key', { jwk: stranger.publicJwk }, stranger);
  add('an embedded key under a known kid', compact(stranger, { ...h, jwk: stranger.publicJwk }, claims));
  for (const name of ['jku', 'x5u']) withHeader(`${name} beside a good signature`, { [name]: 'https://evil.example/keys' });
  withHeader('x5c beside a good signature', { x5c: ['MIIB'] });
  withHeader('jwk beside a good signature', { jwk: es.publicJwk });
  withHeader('crit of what is not known', { crit: ['exp2'], exp2: 1 });
  withHeader('crit of what is known', { crit: ['exp'] });
  withHeader('crit empty', { crit: [] });
  withHeader('b64 false', { b64: false, crit: ['b64'] });
  withHeader('zip', { zip: 'DEF' });

  // Another kind of token.
  for (const typ of ['JWT', 'jwt', 'id_token+jwt', 'logout+jwt', 'dpop+jwt', 'secevent+jwt', 'token-introspection+jwt', 'at+jwt ', 'application/jwt', '', null, 1]) withHeader(`typ ${JSON.stringify(typ)}`, { typ });
  add('no typ', compact(es, without(h, 'typ'), claims));
  withHeader('a nested token', { cty: 'JWT', typ: 'JWT' });
  add('a JWE\'s five segments', `${gh}.${gp}.${gs}.${gp}.${gs}`);
  add('JSON serialization', JSON.stringify({ protected: gh, payload: gp, signature: gs }));

  // The signature.
  for (const bit of [0, 17, 63]) {
    const turned = Buffer.from(raw);
    turned[bit] ^= 1;
    add(`byte ${bit} of the signature changed`, `${gh}.${gp}.${b64(turned)}`);
  }
  add('signature of zeros', `${gh}.${gp}.${p1363(zero, zero)}`);
  for (const [n, r, s] of [['r=0', zero, raw.subarray(32)], ['s=0', raw.subarray(0, 32), zero], ['r=n', order, raw.subarray(32)], ['s=n', raw.subarray(0, 32), order], ['r=s=1', one, one], ['r=p', prime, raw.subarray(32)]])
    add(`signature with ${n}`, `${gh}.${gp}.${p1363(r, s)}`);
  add('signature cut short', `${gh}.${gp}.${gs.slice(0, -4)}`);
  add('signature with more behind', `${gh}.${gp}.${gs}AAAA`);
  add('signature twice', `${gh}.${gp}.${gs}${gs}`);
  add('no signature', `${gh}.${gp}.`);
  add('its signature in DER', `${gh}.${gp}.${b64(es.der(`${gh}.${gp}`))}`);
  add('another token\'s signature', `${gh}.${b64(JSON.stringify({ ...claims, sub: 'root' }))}.${gs}`);
  add('claims changed after signing', swap(good, (part, i) => (i === 1 ? b64(JSON.stringify({ ...claims, roles: ['admin'] })) : part)));
  add('RSA signature of zeros', compact(null, header(keys.RS256), claims, b64(Buffer.alloc(256))));
  add('RSA signature of ones', compact(null, header(keys.RS256), claims, b64(Buffer.concat([Buffer.alloc(255), Buffer.from([1])]))));
  add('Ed25519 signature of zeros', compact(null, header(keys.EdDSA), claims, b64(Buffer.alloc(64))));
  add('Ed25519 signature of the neutral point', compact(null, header(keys.EdDSA), claims, b64(Buffer.concat([Buffer.from([1]), Buffer.alloc(63)]))));

  // The compact form.
  const forms = {
    'one segment': gh, 'two segments': `${gh}.${gp}`, 'four segments': `${good}.${gs}`, 'an empty header': `.${gp}.${gs}`, 'an empty payload': `${gh}..${gs}`,
    'a doubled dot': `${gh}..${gp}.${gs}`, 'the header doubled': `${gh}${gh}.${gp}.${gs}`, 'only dots': '..', 'padding': `${gh}.${gp}.${gs}==`,
    'padding in the header': `${gh}=.${gp}.${gs}`, 'standard base64': `${gh}.${gp}.${Buffer.from(gs, 'base64url').toString('base64')}=`,
    'stray bits': `${gh}.${gp}.${gs.slice(0, -1)}${gs.endsWith('A') ? 'B' : String.fromCharCode(gs.charCodeAt(gs.length - 1) + 1)}`,
    'white space inside': `${gh}. ${gp}.${gs}`, 'a line end inside': `${gh}.\n${gp}.${gs}`, 'a quote around': `"${good}"`, 'a comma behind': `${good},${good}`,
    'a NUL behind': `${good}\u0000`, 'Bearer inside': `Bearer ${good}`, 'percent-encoded': encodeURIComponent(good).replaceAll('.', '%2E'), '10,000 dots': '.'.repeat(10_000),
    '9,000 bytes': compact(es, h, { ...claims, pad: 'x'.repeat(9000) }),
  };
  for (const [name, t] of Object.entries(forms)) add(name, t);

  // JSON.
  const json = JSON.stringify(claims);
  const head = JSON.stringify(h);
  const doubled = (text, member) => `${text.slice(0, -1)},${member}}`;
  add('sub twice', compact(es, h, doubled(json, '"sub":"root"')));
  add('sub twice, once escaped', compact(es, h, doubled(json, '"\\u0073ub":"root"')));
  add('exp twice', compact(es, h, doubled(json, `"exp":${now() + 9e6}`)));
  add('roles twice', compact(es, h, doubled(json, '"roles":["admin"]')));
  add('a further claim twice', compact(es, h, doubled(json, '"x":1,"x":2')));
  add('alg twice', compact(es, doubled(head, '"alg":"none"'), claims));
  add('kid twice', compact(es, doubled(head, `"kid":"${stranger.kid}"`), claims));
  const payloads = {
    'an array': '[]', 'a string': '"x"', 'null': 'null', 'nothing': ' ', 'more behind': `${json}{}`, 'a comma behind': `${json.slice(0, -1)},}`, 'a comment': `${json.slice(0, -1)}/* */}`,
    'single quotes': json.replaceAll('"', "'"), 'a byte-order mark': `\ufeff${json}`, 'deep nesting': doubled(json, `"x":${'['.repeat(2000)}${']'.repeat(2000)}`),
    'unclosed': json.slice(0, -1), 'NaN': doubled(json, '"x":NaN'), 'a huge number': json.replace(/"exp":\d+/, '"exp":1e400'), 'a number of 5,000 digits': json.replace(/"exp":\d+/, `"exp":${'9'.repeat(5000)}`),
    'a lone surrogate': json.replace(/"sub":"[^"]*"/, '"sub":"\\ud800"'), 'a NUL in sub': json.replace(/"sub":"[^"]*"/, '"sub":"1\\u0000"'), 'a raw control character': json.replace(/"sub":"[^"]*"/, '"sub":"1\u0001"'),
  };
  for (const [name, text] of Object.entries(payloads)) add(`payload: ${name}`, compact(es, h, text));
  add('payload: not UTF-8', compact(es, h, Buffer.concat([Buffer.from(json.slice(0, -1)), Buffer.from(',"x":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')])));
  add('header: an array', compact(es, '[]', claims));
  add('header: more behind', compact(es, `${head}{}`, claims));
  add('header: deep nesting', compact(es, doubled(head, `"x":${'{"a":'.repeat(50)}1${'}'.repeat(50)}`), claims));

  // The claims.
  for (const name of ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'sid', 'bkt']) add(`no ${name}`, compact(es, h, without(claims, name)));
  for (const name of ['iss', 'sub', 'jti', 'client_id', 'sid']) for (const v of ['', 1, null, [claims[name]], {}]) withClaims(`${name} ${JSON.stringify(v).slice(0, 20)}`, { [name]: v });
  for (const iss of [`${claims.iss}/`, claims.iss.toUpperCase(), 'https://evil.example', `${claims.iss}.evil.example`, claims.iss.replace('https', 'http')]) withClaims(`iss ${iss}`, { iss });
  for (const aud of ['https://evil.example', `${claims.aud}/`, claims.aud.slice(0, -1), [], ['https://evil.example'], {}, '', null, 7]) withClaims(`aud ${JSON.stringify(aud)}`, { aud });
  const times = { 'expired an hour ago': now() - 3600, 'expired just now': now() - 1, 'exp 0': 0, 'exp negative': -1, 'exp a string': String(now() + 60), 'exp a fraction': now() + 60.5, 'exp null': null, 'exp past the year 9999': 253402300800 };
  for (const [name, exp] of Object.entries(times)) withClaims(name, { exp, iat: now() - 7200 });
  withClaims('nbf in an hour', { nbf: now() + 3600 });
  withClaims('nbf a string', { nbf: '0' });
  withClaims('iat in an hour', { iat: now() + 3600, exp: now() + 7200 });
  for (const sid of ['AAAA', `${claims.sid}A`, `${claims.sid}==`, '!'.repeat(22)]) withClaims(`sid ${sid.slice(0, 24)}`, { sid });
  for (const bkt of [-1, 4096, '7', 1.5]) withClaims(`bkt ${bkt}`, { bkt });
  withClaims('an epoch of the realm that is past', { re: 0 });
  withClaims('a negative epoch', { sv: -1 });
  withClaims('roles a string', { roles: 'admin' });
  withClaims('129 roles', { roles: Array.from({ length: 129 }, (_, i) => `r${i}`) });
  add('a client\'s own token of a client that has none', compact(es, h, { ...without(claims, 'sid'), sub: 'web', client_id: 'web' }));
  add('a client\'s own token of nobody', compact(es, h, { ...without(claims, 'sid'), sub: 'ghost', client_id: 'ghost' }));
  add('a client\'s own token without a jti of ours', compact(es, h, { ...without(claims, 'sid'), sub: 'backend', client_id: 'backend', jti: 'x' }));
  add('expired, of a session that lives', expired);
  return list;
}

const u64 = (n) => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(BigInt(n));
  return b;
};
const fields = (...f) => Buffer.concat(f.flatMap((x) => [u64(Buffer.from(x).length), Buffer.from(x)]));

/** Refresh tokens with a right checksum that nobody was given (the layout: src/keys/refresh.h). */
export function forgedRefreshTokens() {
  const make = (version, bucket) => {
    const body = Buffer.concat([Buffer.from([version, bucket >> 8, bucket & 255]), randomBytes(32)]);
    const sum = createHash('sha256').update(fields('segue.refresh_checksum', body)).digest().subarray(0, 4);
    return `sgr_${Buffer.concat([body, sum]).toString('base64url')}`;
  };
  return [['refresh token, bucket 0', make(1, 0)], ['refresh token, bucket 4095', make(1, 4095)], ['refresh token, bucket 4096', make(1, 4096)],
    ['refresh token, version 2', make(2, 7)], ['refresh token, wrong checksum', `${make(1, 1).slice(0, -1)}_`], ['refresh token, cut', make(1, 1).slice(0, -2)]];
}

/** Session ids that the app did not sign; sid is one of a live session. */
export function forgedSessionTokens(sid, secretOfOthers) {
  const mac = (secret, text) => createHmac('sha256', secret).update(text).digest('base64').replace(/=+$/, '');
  return [['session id, unsigned', sid], ['session id, empty signature', `s:${sid}.`], ['session id, another secret', `s:${sid}.${mac(secretOfOthers, sid)}`],
    ['session id, empty secret', `s:${sid}.${mac('', sid)}`], ['session id, no prefix', `${sid}.${mac(secretOfOthers, sid)}`],
    ['session id, j: prefix', `j:{"sid":"${sid}"}`], ['session id, a path', `s:../../${sid}.x`], ['session id, an asterisk', 's:*.x'], ['session id, the key', `sess:${sid}`],
    ['session id, encoded twice', encodeURIComponent(encodeURIComponent(`s:${sid}.x`))], ['session id, 5,000 bytes', `s:${'a'.repeat(5000)}.x`]];
}
