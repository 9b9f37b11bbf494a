// SPDX-License-Identifier: MIT
/** A browser's cookies of one site. */
export class Jar {
  #cookies = new Map();

  take(answer) {
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) {
      const [pair, ...attributes] = line.split(/;\s*/);
      const cut = pair.indexOf('=');
      const name = pair.slice(0, cut);
      const value = pair.slice(cut + 1);
      const ends = expiry(attributes);
      if (value === '' || ends <= Date.now()) this.#cookies.delete(name);
      else this.#cookies.set(name, { value, ends });
    }
  }

  get(name) {
    return this.#cookies.get(name)?.value;
  }

  set(name, value) {
    this.#cookies.set(name, { value, ends: Infinity });
  }

  get header() {
    const now = Date.now();
    return [...this.#cookies].filter(([, c]) => c.ends > now).map(([name, c]) => `${name}=${c.value}`).join('; ');
  }

  clear() {
    this.#cookies.clear();
  }
}

function expiry(attributes) {
  const named = Object.fromEntries(attributes.map((a) => a.split(/=(.*)/s, 2)).map(([k, v]) => [k.toLowerCase(), v]));
  if (named['max-age'] !== undefined) return Date.now() + Number(named['max-age']) * 1000;
  return named.expires ? Date.parse(named.expires) : Infinity;
}
