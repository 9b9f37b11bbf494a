#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# Mini mongod for tests: OP_MSG/OP_QUERY front (python3-bson) over python3-mongomock. Debian packages only.
import asyncio, struct, sys, time, datetime, itertools, traceback
import bson, mongomock
from bson import SON, ObjectId, Int64
from bson.codec_options import CodecOptions
from bson.binary import Binary
try: from mongomock import DuplicateKeyError
except ImportError: from mongomock.errors import DuplicateKeyError
# Without pymongo mongomock has an ObjectId of its own, which it cannot compare with the one that bson decodes to.
import mongomock.filtering; mongomock.filtering.ObjectId = ObjectId
OPT = CodecOptions(document_class=SON)
client = mongomock.MongoClient(); cursors = {}; cid = itertools.count(1001); rid = itertools.count(1)
INDEX = {}
class Err(Exception):
    def __init__(s, code, name, msg): s.d = SON(ok=0.0, errmsg=msg, code=code, codeName=name)
def batch(ns, docs, size, first=True, single=False):
    docs = iter(docs); size = 101 if size is None else size
    b = list(itertools.islice(docs, size)) if size else []
    c = 0
    if not single:
        rest = list(docs)
        if rest: c = next(cid); cursors[c] = (ns, rest)
    return SON(cursor=SON([('firstBatch' if first else 'nextBatch', b), ('id', Int64(c)), ('ns', ns)]), ok=1.0)
def hello(c, db, k):
    r = SON(helloOk=True, ismaster=True, isWritablePrimary=True, maxBsonObjectSize=16777216, maxMessageSizeBytes=48000000, maxWriteBatchSize=100000,
      localTime=datetime.datetime.utcnow(), minWireVersion=0, maxWireVersion=17, readOnly=False, ok=1.0)
    if SESS: r['logicalSessionTimeoutMinutes'] = 30
    return r
SESS = '--sessions' in sys.argv
def insert(c, db, k):
    n = 0; we = []
    for i, d in enumerate(c['documents']):
        try: db[c[k]].insert_one(d); n += 1
        except DuplicateKeyError as e:
            we.append(SON(index=i, code=11000, errmsg='E11000 duplicate key error collection: %s.%s %s' % (db.name, c[k], e)))
            if c.get('ordered', True): break
    r = SON(n=n, ok=1.0)
    if we: r['writeErrors'] = we
    return r
def update(c, db, k):
    n = m = 0; ups = []; we = []
    for i, u in enumerate(c['updates']):
        f, q, kw = u['u'], u['q'], {'upsert': u.get('upsert', False)}
        try:
            if not any(x.startswith('$') for x in f): res = db[c[k]].replace_one(q, f, **kw)
            else:
                if u.get('arrayFilters'): kw['array_filters'] = u['arrayFilters']
                res = (db[c[k]].update_many if u.get('multi') else db[c[k]].update_one)(q, f, **kw)
            if res.upserted_id is not None: ups.append(SON(index=i, _id=res.upserted_id)); n += 1
            else: n += res.matched_count; m += res.modified_count or 0
        except DuplicateKeyError as e: we.append(SON(index=i, code=11000, errmsg='E11000 duplicate key error %s' % e))
    r = SON(n=n, nModified=m, ok=1.0)
    if ups: r['upserted'] = ups
    if we: r['writeErrors'] = we
    return r
def delete(c, db, k):
    n = 0
    for d in c['deletes']:
        n += (db[c[k]].delete_one if d.get('limit') == 1 else db[c[k]].delete_many)(d['q']).deleted_count
    return SON(n=n, ok=1.0)
def find(c, db, k):
    cur = db[c[k]].find(c.get('filter', {}), c.get('projection') or None)
    if c.get('sort'): cur = cur.sort(list(c['sort'].items()))
    if c.get('skip'): cur = cur.skip(int(c['skip']))
    lim = int(c.get('limit', 0))
    if lim: cur = cur.limit(abs(lim))
    return batch('%s.%s' % (db.name, c[k]), cur, c.get('batchSize'), single=c.get('singleBatch', False))
def getmore(c, db, k):
    i = int(c[k])
    if i not in cursors: raise Err(43, 'CursorNotFound', 'cursor id %d not found' % i)
    ns, rest = cursors.pop(i); b = c.get('batchSize') or 1000
    out, rest = rest[:b], rest[b:]
    if rest: cursors[i] = (ns, rest)
    return SON(cursor=SON(nextBatch=out, id=Int64(i if rest else 0), ns=ns), ok=1.0)
def killc(c, db, k):
    for i in c['cursors']: cursors.pop(int(i), None)
    return SON(cursorsKilled=c['cursors'], ok=1.0)
def fam(c, db, k):
    col, q = db[c[k]], c.get('query', {}); kw = dict(projection=c.get('fields'), sort=list(c['sort'].items()) if c.get('sort') else None)
    if c.get('remove'): v = col.find_one_and_delete(q, **kw)
    else:
        f = c['update']; kw.update(upsert=c.get('upsert', False), return_document=bool(c.get('new')))
        v = (col.find_one_and_update if any(x.startswith('$') for x in f) else col.find_one_and_replace)(q, f, **kw)
    return SON(lastErrorObject=SON(n=1 if v else 0, updatedExisting=bool(v)), value=v, ok=1.0)
def aggregate(c, db, k):
    p = c['pipeline']
    if p and '$changeStream' in p[0]: raise Err(40573, 'Location40573', 'The $changeStream stage is only supported on replica sets')
    return batch('%s.%s' % (db.name, c[k]), db[c[k]].aggregate(p), (c.get('cursor') or {}).get('batchSize'))
def mkidx(c, db, k):
    for ix in c['indexes']:
        kw = {x: ix[x] for x in ('unique', 'sparse', 'expireAfterSeconds') if x in ix}
        db[c[k]].create_index(list(ix['key'].items()), name=ix['name'], **kw)
        INDEX.setdefault((db.name, c[k]), {})[ix['name']] = SON(v=2, **{'key': ix['key'], 'name': ix['name']}, **kw)
    return SON(numIndexesBefore=1, numIndexesAfter=2, createdCollectionAutomatically=True, ok=1.0)
def lsidx(c, db, k):
    return batch('%s.%s' % (db.name, c[k]), [SON([('v', 2), ('key', SON(_id=1)), ('name', '_id_')])] + list(INDEX.get((db.name, c[k]), {}).values()), None)
def lscol(c, db, k):
    f = c.get('filter', {}).get('name')
    return batch(db.name + '.$cmd.listCollections', [SON([('name', n), ('type', 'collection'), ('options', SON()), ('info', SON(readOnly=False))]) for n in db.list_collection_names() if not isinstance(f, str) or f == n], None)
def count(c, db, k): return SON(n=db[c[k]].count_documents(c.get('query', {})), ok=1.0)
def drop(c, db, k): db.drop_collection(c[k]); INDEX.pop((db.name, c[k]), 0); return SON(ok=1.0)
def dropdb(c, db, k): client.drop_database(db.name); return SON(ok=1.0)
ok = lambda c, db, k: SON(ok=1.0)
CMD = dict(hello=hello, isMaster=hello, ismaster=hello, buildinfo=lambda c, db, k: CMD["buildInfo"](c, db, k), ping=ok, insert=insert, update=update, delete=delete, find=find, getMore=getmore, killCursors=killc,
  findAndModify=fam, findandmodify=fam, aggregate=aggregate, createIndexes=mkidx, listIndexes=lsidx, listCollections=lscol, count=count, drop=drop, dropDatabase=dropdb,
  create=ok, endSessions=ok, collMod=ok, distinct=lambda c, db, k: SON(values=db[c[k]].distinct(c['key'], c.get('query')), ok=1.0),
  buildInfo=lambda c, db, k: SON(version='6.0.0', versionArray=[6, 0, 0, 0], ok=1.0), listDatabases=lambda c, db, k: SON(databases=[SON(name=n, sizeOnDisk=1, empty=False) for n in client.list_database_names()], ok=1.0))
def run(c):
    k = next(iter(c)); f = CMD.get(k)
    try:
        if not f: raise Err(59, 'CommandNotFound', "no such command: '%s'" % k)
        return f(c, client[c.get('$db', 'admin')], k)
    except Err as e: return e.d
    except Exception as e:
        traceback.print_exc(); return SON(ok=0.0, errmsg='%s: %s' % (type(e).__name__, e), code=1, codeName='InternalError')
async def serve(r, w):
    try:
        while True:
            ln, req, _, op = struct.unpack('<iiii', await r.readexactly(16)); m = await r.readexactly(ln - 16)
            if op == 2004:
                e = m.index(0, 4); p = e + 9; n, = struct.unpack_from('<i', m, p); c = bson.decode_all(m[p:p+n], OPT)[0]
                c = c.get('$query', c); c['$db'] = m[4:e].decode().split('.')[0]
                b = bson.encode(run(c)); out = struct.pack('<iqii', 8, 0, 0, 1) + b; rop = 1
            elif op == 2013:
                fl, = struct.unpack_from('<I', m); p = 4; c = None; seq = {}; end = len(m) - (4 if fl & 1 else 0)
                while p < end:
                    t = m[p]; p += 1; n, = struct.unpack_from('<i', m, p)
                    if t == 0: c = bson.decode_all(m[p:p+n], OPT)[0]
                    else:
                        z = m.index(0, p + 4); seq[m[p+4:z].decode()] = bson.decode_all(m[z+1:p+n], OPT)
                    p += n
                c.update(seq); res = run(c)
                if fl & 2: continue
                out = struct.pack('<I', 0) + b'\0' + bson.encode(res); rop = 2013
            else: break
            w.write(struct.pack('<iiii', 16 + len(out), next(rid), req, rop) + out); await w.drain()
    except (asyncio.IncompleteReadError, ConnectionError): pass
    finally: w.close()
async def main():
    s = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1])); print('up', flush=True)
    async with s: await s.serve_forever()
asyncio.run(main())
