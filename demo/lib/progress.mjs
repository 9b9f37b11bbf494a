// SPDX-License-Identifier: MIT
// What is going on, as it goes: one living line on a terminal, plain lines in a pipe. On stderr: stdout is for the report.
const EVERY_MS = { terminal: 500, pipe: 10_000 };

export class Progress {
  constructor(out = process.stderr) {
    this.out = out;
    this.began = Date.now();
    this.living = out.isTTY;
    this.step = '';
    this.counts = () => null;
  }

  #elapsed() {
    const s = Math.floor((Date.now() - this.began) / 1000);
    return `${String(Math.floor(s / 60)).padStart(2)}:${String(s % 60).padStart(2, '0')}`;
  }

  #line(text) {
    this.out.write(`${this.living ? '\r\x1b[K' : ''}${this.#elapsed()}  ${text}\n`);
  }

  /** A new step begins. */
  say(text) {
    this.step = text;
    this.#line(text);
  }

  /** A fact about the step under way. */
  note(text) {
    this.#line(`  ${text}`);
  }

  /** ask: () => counts of the clients, shown now and then. */
  follow(ask) {
    this.timer = setInterval(async () => {
      const c = await ask().catch(() => null);
      if (!c || !this.timer) return;
      const lost = c.forced_relogins + c.resurrected_logouts;
      const text = `${c.requests} requests, ${c.retried} needed another try, ${c.logouts} logouts, ${lost} broken promises; clients hold ${Object.entries(
        c.holds).map(([what, n]) => `${what}: ${n}`).join(', ')}`;
      if (this.living) this.out.write(`\r\x1b[K${this.#elapsed()}  ${this.step} · ${text}`.slice(0, (this.out.columns ?? 200) + 4));
      else this.note(text);
    }, this.living ? EVERY_MS.terminal : EVERY_MS.pipe);
  }

  end() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.living) this.out.write('\r\x1b[K');
  }
}
