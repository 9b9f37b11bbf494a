/* SPDX-License-Identifier: MIT */
#include "store_env.h"

#include "store/schema.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

static long
run_sql(const char *conninfo, const char *sql)
{
    PGconn *c = PQconnectdb(conninfo);
    PGresult *r = PQexec(c, sql);
    long n = 0;

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%.200s: %s", sql, PQerrorMessage(c));
    if (PQntuples(r) > 0 && PQnfields(r) > 0) {
        const char *v = PQgetvalue(r, 0, 0);

        n = strcmp(v, "t") == 0 ? 1 : strtol(v, NULL, 10);
    }
    PQclear(r);
    PQfinish(c);
    return n;
}

long
env_sql(struct store_env *env, int shard, const char *fmt, ...)
{
    char sql[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    return run_sql(env->conninfo[shard], sql);
}

static void
lay_out(struct store_env *env, int shard)
{
    char sql[64];
    int i;

    snprintf(sql, sizeof sql, "CREATE DATABASE shard%d", shard);
    test_pg_sql(&env->pg, sql);
    snprintf(env->conninfo[shard], sizeof env->conninfo[shard],
             "host=127.0.0.1 port=%d user=postgres dbname=shard%d", env->pg.port, shard);
    for (i = 0; i < sg_schema_shard.version; i++)
        run_sql(env->conninfo[shard], sg_schema_shard.migrations[i].ptr);
    env_sql(env, shard,
            "INSERT INTO segue.bucket_owner SELECT b, b * %d / 4096 = %d "
            "FROM generate_series(0, 4095) AS b",
            ENV_SHARDS, shard);
}

void
env_start(struct store_env *env)
{
    const char *conninfos[ENV_SHARDS];
    struct sg_shards_options options = {conninfos, ENV_SHARDS, 4, 1000};
    int i;

    test_pg_start(&env->pg);
    for (i = 0; i < ENV_SHARDS; i++) {
        lay_out(env, i);
        conninfos[i] = env->conninfo[i];
    }
    uv_loop_init(&env->loop);
    assert_int_equal(
        sg_shards_open(&env->loop, sg_clock_system(), &options, &env->shards, &env->err), 0);
    assert_int_equal(
        sg_store_new(&env->loop, sg_clock_system(), env->shards, &env->store, &env->err), 0);
}

static void
set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

void
env_stop(struct store_env *env)
{
    bool closed = false;

    sg_store_free(env->store);
    sg_shards_close(env->shards, set_flag, &closed);
    test_run_until(&env->loop, &closed, 2000);
    assert_int_equal(uv_loop_close(&env->loop), 0);
    test_pg_stop(&env->pg);
}

void
env_reset(struct store_env *env)
{
    int i;

    for (i = 0; i < ENV_SHARDS; i++)
        env_sql(env, i,
                "TRUNCATE segue.subject, segue.credential, segue.session, segue.token_ref, "
                "segue.refresh_token, "
                "segue.revocation, segue.heartbeat, segue.outbox, segue.reject, "
                "segue.transfer_ledger; UPDATE segue.bucket_owner SET owned = true WHERE NOT owned "
                "AND bucket * %d / 4096 = %d",
                ENV_SHARDS, i);
}

uint64_t
env_deadline(int ms)
{
    return sg_mono_ns(sg_clock_system()) + (uint64_t)ms * SG_NS_PER_MS;
}

void
env_done(void *ctx, int rc, const struct sg_err *err)
{
    struct env_call *call = ctx;

    assert_false(call->done);
    call->done = true;
    call->rc = rc;
    call->err = *err;
}

int
env_wait(struct store_env *env, struct env_call *call)
{
    assert_false(call->done); /* never from within the call */
    test_run_until(&env->loop, &call->done, 20000);
    env->err = call->err;
    return call->rc;
}

void
env_sid(uint8_t out[SG_SID_BYTES], int number)
{
    memset(out, 0x5a, SG_SID_BYTES);
    memcpy(out, &number, sizeof number);
}

void
env_digest(uint8_t out[SG_DIGEST_BYTES], int number)
{
    memset(out, 0xd1, SG_DIGEST_BYTES);
    memcpy(out, &number, sizeof number);
}

struct sg_ref_row
env_ref(int number, int bucket, const char *subject, bool reuses_ids)
{
    struct sg_ref_row row = {
        .realm = REALM, .bucket = bucket, .subject = subject, .reuses_ids = reuses_ids};

    env_digest(row.digest, number);
    return row;
}

struct sg_session_row
env_session(int number, int bucket)
{
    static char names[4096][16];
    char *name = names[(unsigned)number % 4096];
    struct sg_session_row row = {.realm = REALM,
                                 .bucket = bucket,
                                 .subject = name,
                                 .origin = "legacy",
                                 .client_id = "web",
                                 .has_store_digest = true,
                                 .handle = sg_str("handle"),
                                 .record = sg_str("record"),
                                 .idle_ms = 60000,
                                 .exp_source_in_ms = 60000,
                                 .exp_segue_in_ms = -1,
                                 .jwt_until_in_ms = -1,
                                 .seen_in_source = true};

    snprintf(name, sizeof names[0], "u%d", number);
    env_sid(row.sid, number);
    env_digest(row.store_digest, number);
    return row;
}

struct sg_end_row
env_end(int number, int bucket)
{
    struct sg_end_row row = {.realm = REALM,
                             .has_digest = true,
                             .digest_bucket = bucket,
                             .has_sid = true,
                             .sid_bucket = bucket,
                             .subject = "",
                             .reason = "logout",
                             .tombstone_ref = true};

    env_sid(row.sid, number);
    env_digest(row.digest, number);
    return row;
}
