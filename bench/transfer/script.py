# SPDX-License-Identifier: MIT
# What an engineer would write in an afternoon: redis-py and psycopg2, in batches, one process. The same job as `segue transfer run`: each
# session into the shard of its subject, each key's digest into the shard of the digest; the record is not even sealed.
# usage: script.py copy|upsert REDIS_URL CONNINFO…   prints the seconds it took and its own CPU seconds
import hashlib
import hmac
import io
import json
import sys
import time

import psycopg2
import psycopg2.extras
import redis

mode, url, *conninfos = sys.argv[1:]
KEY = b'k' * 32
BATCH = 1000
shards = [psycopg2.connect(c) for c in conninfos]
for db in shards:
    with db.cursor() as c:
        c.execute('''CREATE SCHEMA IF NOT EXISTS script;
            CREATE TABLE IF NOT EXISTS script.session (bucket int, sid text, subject text, digest text, record text, expires timestamptz, PRIMARY KEY (bucket, sid));
            CREATE TABLE IF NOT EXISTS script.ref (bucket int, digest text, subject text, PRIMARY KEY (bucket, digest));''')
        if mode == 'copy':
            c.execute('TRUNCATE script.session, script.ref; ALTER TABLE script.session DROP CONSTRAINT session_pkey; ALTER TABLE script.ref DROP CONSTRAINT ref_pkey')
    db.commit()


def bucket(text):
    h = hashlib.sha256(text.encode()).digest()
    return h[0] << 4 | h[1] >> 4


def rows(r):
    cursor = 0
    while True:
        cursor, keys = r.scan(cursor, match='sess:*', count=BATCH)
        if keys:
            pipe = r.pipeline(transaction=False)
            pipe.mget(keys)
            for k in keys:
                pipe.pttl(k)
            values, *ttls = pipe.execute()
            now = time.time()
            for key, value, ttl in zip(keys, values, ttls):
                if value is None:
                    continue
                subject = str(json.loads(value)['passport']['user'])
                digest = hmac.new(KEY, key, 'sha256').hexdigest()
                sid = hmac.new(KEY, (digest + subject).encode(), 'sha256').hexdigest()[:32]
                yield digest, sid, subject, value.decode(), time.strftime('%Y-%m-%d %H:%M:%S+00', time.gmtime(now + ttl / 1000))
        if cursor == 0:
            return


def flush(db, table, lines):
    with db.cursor() as c:
        if mode == 'copy':
            text = io.StringIO(''.join('\t'.join(str(v).replace('\\', '\\\\').replace('\t', '\\t').replace('\n', '\\n') for v in l) + '\n' for l in lines))
            c.copy_expert(f'COPY script.{table} FROM STDIN', text)
        elif table == 'session':
            psycopg2.extras.execute_values(c, '''INSERT INTO script.session VALUES %s ON CONFLICT (bucket, sid) DO UPDATE
                SET record = EXCLUDED.record, expires = EXCLUDED.expires''', lines, page_size=BATCH)
        else:
            psycopg2.extras.execute_values(c, 'INSERT INTO script.ref VALUES %s ON CONFLICT (bucket, digest) DO NOTHING', lines, page_size=BATCH)
    db.commit()


began = time.time()
n = len(shards)
waiting = {(i, t): [] for i in range(n) for t in ('session', 'ref')}
count = 0
for digest, sid, subject, record, expires in rows(redis.Redis.from_url(url)):
    b, d = bucket(subject), bucket(digest)
    for key, line in (((b * n // 4096, 'session'), (b, sid, subject, digest, record, expires)), ((d * n // 4096, 'ref'), (d, digest, subject))):
        waiting[key].append(line)
        if len(waiting[key]) == BATCH:
            flush(shards[key[0]], key[1], waiting[key])
            waiting[key] = []
    count += 1
for (i, t), lines in waiting.items():
    if lines:
        flush(shards[i], t, lines)
if mode == 'copy':
    for db in shards:
        with db.cursor() as c:
            c.execute('ALTER TABLE script.session ADD PRIMARY KEY (bucket, sid); ALTER TABLE script.ref ADD PRIMARY KEY (bucket, digest)')
        db.commit()
print(json.dumps({'records': count, 'seconds': time.time() - began, 'cpu': time.process_time()}))
