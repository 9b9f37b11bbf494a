// SPDX-License-Identifier: MIT
import net from 'node:net';

/**
 * A link to a TCP server that can fail: `cut()` ends every connection and refuses new ones, `stall()` keeps them and lets nothing
 * pass, `restore()` ends either. `conninfo` is the server's URL with the link's own address in it.
 */
export async function startLink(target) {
  const to = new URL(target);
  const pairs = new Set();
  const link = { good: true, refusing: false };
  const pair = (client) => {
    if (link.refusing) return client.destroy();
    const server = net.connect(Number(to.port), to.hostname);
    const both = [client, server];
    pairs.add(both);
    for (const [from, other] of [[client, server], [server, client]]) {
      from.setNoDelay(true);
      from.on('data', (d) => other.write(d));
      from.on('error', () => {});
      from.on('close', () => {
        other.destroy();
        pairs.delete(both);
      });
      if (!link.good) from.pause();
    }
  };
  const listener = net.createServer(pair);
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const own = new URL(target);
  own.hostname = '127.0.0.1';
  own.port = String(listener.address().port);
  return Object.assign(link, {
    conninfo: own.href,
    cut: () => {
      link.good = false;
      link.refusing = true;
      for (const both of pairs) for (const s of both) s.destroy();
    },
    stall: () => {
      link.good = false;
      for (const both of pairs) for (const s of both) s.pause();
    },
    restore: () => {
      link.good = true;
      link.refusing = false;
      for (const both of pairs) for (const s of both) s.resume();
    },
    close: () => {
      listener.close();
      for (const both of pairs) for (const s of both) s.destroy();
    },
  });
}
