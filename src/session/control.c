/* SPDX-License-Identifier: MIT */
#include "keys/keystate.h"
#include "keys/signing.h"
#include "session/engine_internal.h"

#include <stdlib.h>

/* Everything shared is read in one transaction-less batch: it is small, and each part stands for
 * itself. */
static const struct sg_pg_stmt read_policy = {
    .name = "control_policy",
    .sql = "SELECT realm, version, phase, percent_e2, array_to_string(cohorts, ','), realm_epoch, "
           "(extract(epoch FROM phase_entered_at) * 1000)::bigint, pg_is_in_recovery()::int, "
           "array_to_string(disabled_clients, chr(31)) "
           "FROM segue_control.policy",
};
static const struct sg_pg_stmt read_keys = {
    .name = "control_keys",
    .sql = "SELECT realm, kid, state, private_sealed FROM segue_control.signing_key "
           "WHERE state <> 'retired' ORDER BY created_at, kid",
    .binary_result = true,
};
static const struct sg_pg_stmt read_continuity = {
    .name = "control_continuity",
    .sql = "SELECT realm, proven::int, run_id, sentinel, evicted, flushes "
           "FROM segue_control.continuity",
};
static const struct sg_pg_stmt read_map = {
    .name = "control_map",
    .sql = "SELECT bucket, shard FROM segue_control.bucket_map",
};
static const struct sg_pg_stmt write_instance = {
    .name = "control_instance",
    .sql = "INSERT INTO segue_control.instance (instance, realm, policy_version) "
           "SELECT $1, r, v FROM unnest($2::text[], $3::bigint[]) AS u (r, v) "
           "ON CONFLICT (instance, realm) DO UPDATE "
           "SET policy_version = excluded.policy_version, seen_at = clock_timestamp()",
    .n_params = 3,
};

enum { POLICY, CONTINUITY, KEYS, MAP };

static void
copy_text(char *out, size_t cap, struct sg_slice s)
{
    snprintf(out, cap, "%.*s", (int)s.len, s.ptr != NULL ? s.ptr : "");
}

/* Cuts the first of what is separated off the list; false at its end. */
static bool
next_item(struct sg_slice *list, char separator, struct sg_slice *item)
{
    const char *end = list->len > 0 ? memchr(list->ptr, separator, list->len) : NULL;
    size_t n = end != NULL ? (size_t)(end - list->ptr) : list->len;

    if (list->len == 0)
        return false;
    *item = sg_slice(list->ptr, n);
    *list = end != NULL ? sg_slice(end + 1, list->len - n - 1) : (struct sg_slice){0};
    return true;
}

static void
take_lists(struct sg_policy *p, struct sg_slice cohorts, struct sg_slice disabled)
{
    struct sg_slice item;

    while (p->n_cohorts < SG_COHORTS_MAX && next_item(&cohorts, ',', &item))
        copy_text(p->cohorts[p->n_cohorts++], sizeof p->cohorts[0], item);
    while (p->n_disabled < SG_DISABLED_MAX && next_item(&disabled, '\x1f', &item))
        copy_text(p->disabled[p->n_disabled++], sizeof p->disabled[0], item);
}

/* Returns whether this confirms the policies (rule 13): not what a replica says, and not what is
 * older than what was read before. */
static bool
take_policies(struct sg_engine *e, const struct sg_pg_batch *b, bool *changed)
{
    int known = 0, i;

    for (i = 0; i < sg_pg_rows(b, POLICY); i++) {
        char name[64];
        struct sg_policy p = {0};
        struct sg_realm *r;

        copy_text(name, sizeof name, sg_pg_value(b, POLICY, i, 0));
        if ((r = engine_find_realm(e, name)) == NULL)
            continue;
        p.version = sg_pg_int(b, POLICY, i, 1, 0);
        if (sg_phase_parse(sg_pg_value(b, POLICY, i, 2), &p.phase, NULL) != 0)
            continue; /* the table's CHECK forbids it */
        p.percent_e2 = (int)sg_pg_int(b, POLICY, i, 3, 0);
        take_lists(&p, sg_pg_value(b, POLICY, i, 4), sg_pg_value(b, POLICY, i, 8));
        p.realm_epoch = (int)sg_pg_int(b, POLICY, i, 5, 0);
        p.phase_entered_ms = sg_pg_int(b, POLICY, i, 6, 0);
        if (p.version < r->policy.version)
            continue; /* a replica behind, after a failover: never go back in time */
        known += sg_pg_int(b, POLICY, i, 7, 0) == 0;
        *changed = *changed || p.version != r->policy.version;
        r->policy = p;
    }
    return known == e->n_realms;
}

static void
take_continuity(struct sg_engine *e, const struct sg_pg_batch *b)
{
    int i;

    for (i = 0; i < sg_pg_rows(b, CONTINUITY); i++) {
        char name[64];
        struct sg_realm *r;

        copy_text(name, sizeof name, sg_pg_value(b, CONTINUITY, i, 0));
        if ((r = engine_find_realm(e, name)) == NULL)
            continue;
        r->continuity.proven = sg_pg_int(b, CONTINUITY, i, 1, 0) != 0;
        copy_text(r->continuity.run_id, sizeof r->continuity.run_id,
                  sg_pg_value(b, CONTINUITY, i, 2));
        copy_text(r->continuity.sentinel, sizeof r->continuity.sentinel,
                  sg_pg_value(b, CONTINUITY, i, 3));
        r->continuity.evicted = sg_pg_int(b, CONTINUITY, i, 4, 0);
        r->continuity.flushes = sg_pg_int(b, CONTINUITY, i, 5, 0);
    }
}

static void
take_key(struct sg_engine *e, const struct sg_pg_batch *b, int row)
{
    char name[64], kid[SEGUE_KID_BYTES + 1], state_name[16];
    enum sg_key_state state;
    struct segue_key *key;
    struct sg_realm *r;
    struct sg_err err;

    copy_text(name, sizeof name, sg_pg_value(b, KEYS, row, 0));
    copy_text(kid, sizeof kid, sg_pg_value(b, KEYS, row, 1));
    copy_text(state_name, sizeof state_name, sg_pg_value(b, KEYS, row, 2));
    if ((r = engine_find_realm(e, name)) == NULL || sg_key_state_parse(state_name, &state, &err))
        return;
    if (segue_keyset_find(r->keys, kid) == NULL) {
        if (sg_signing_key_open(e->options.ring, name, kid, sg_pg_value(b, KEYS, row, 3), &key,
                                &err) != 0) {
            engine_event(e, true, "a signing key cannot be opened", &err);
            return;
        }
        if (segue_keyset_add(r->keys, key) != SEGUE_OK)
            engine_event(e, true, "more signing keys than can be held", NULL);
        segue_key_free(key);
    }
    if (sg_key_state_signs(state)) {
        segue_key_free(r->signing);
        r->signing = segue_keyset_find(r->keys, kid) != NULL
                         ? segue_key_ref(segue_keyset_find(r->keys, kid))
                         : NULL;
    }
}

static void
take_map(struct sg_engine *e, const struct sg_pg_batch *b)
{
    uint8_t map[SG_BUCKETS];
    int i, n = sg_pg_rows(b, MAP);

    if (n != SG_BUCKETS)
        return; /* not laid out yet: readiness says so */
    for (i = 0; i < n; i++) {
        int64_t bucket = sg_pg_int(b, MAP, i, 0, -1), shard = sg_pg_int(b, MAP, i, 1, -1);

        if (bucket < 0 || bucket >= SG_BUCKETS || shard < 0 || shard >= sg_shards_count(e->shards))
            return;
        map[bucket] = (uint8_t)shard;
    }
    sg_shards_set_map(e->shards, map);
    e->map_read = true;
    e->map_wanted = e->map_wanted && e->control_again; /* told of a newer one meanwhile */
}

static void tell_instance(struct sg_engine *e);

static void
instance_written(struct sg_pg_batch *b)
{
    struct sg_engine *e = sg_container_of(b, struct sg_engine, instance_batch);

    if (b->rc == 0)
        e->instance_told_ns = e->instance_sent_ns;
    sg_pg_batch_clear(b); /* a failure shows as a stale row, and the next reading writes it again */
    e->instance_busy = false;
    e->open_ops--;
    if (e->instance_again && !e->closing)
        tell_instance(e);
}

/* Tells the control schema which policy this loop is under, after it is: an instance is under a
 * policy when all of its loops are. */
static void
tell_instance(struct sg_engine *e)
{
    struct sg_buf realms = SG_BUF_INIT(8192), versions = SG_BUF_INIT(8192);
    char name[80];
    int i;

    e->instance_again = e->instance_busy; /* it is told of the policy before */
    if (e->instance_busy)
        return;
    snprintf(name, sizeof name, e->options.loop_index == 0 ? "%s" : "%s/%d", e->options.instance,
             e->options.loop_index);
    for (i = 0; i < e->n_realms; i++) {
        sg_buf_printf(&realms, "%c%s", i == 0 ? '{' : ',', e->realms[i]->config->name);
        sg_buf_printf(&versions, "%c%lld", i == 0 ? '{' : ',',
                      (long long)e->realms[i]->policy.version);
    }
    sg_buf_puts(&realms, "}");
    sg_buf_puts(&versions, "}");
    memset(&e->instance_batch, 0, sizeof e->instance_batch);
    e->instance_batch.calls[0] = (struct sg_pg_call){
        .stmt = &write_instance,
        .params = {sg_str(name), sg_buf_slice(&realms), sg_buf_slice(&versions)}};
    e->instance_batch.n_calls = 1;
    e->instance_batch.deadline_ns = engine_deadline(e, OP_TIMEOUT_MS);
    e->instance_batch.done = instance_written;
    e->instance_busy = true;
    e->instance_sent_ns = sg_mono_ns(e->clock);
    e->open_ops++;
    sg_pg_submit(e->control, &e->instance_batch);
    sg_buf_free(&realms);
    sg_buf_free(&versions);
}

static void
schemas_checked(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_engine *e = ctx;

    e->schema_busy = false;
    e->open_ops--;
    if (rc == 0)
        e->schema_ok = true;
    else
        snprintf(e->schema_why, sizeof e->schema_why, "%s: %s", err->place, err->text);
}

/* Once: a shard whose schema is another one's, or whose place in the list was changed, must not be
 * written to. */
static void
check_schemas(struct sg_engine *e)
{
    if (e->schema_ok || e->schema_busy || !e->map_read)
        return;
    e->schema_busy = true;
    e->open_ops++;
    sg_store_check_versions(e->store, engine_deadline(e, OP_TIMEOUT_MS), schemas_checked, e);
}

/* A key that is no longer listed is retired: every token it signed has expired. */
static void
drop_retired(struct sg_realm *r, const struct sg_pg_batch *b)
{
    int i, row, n = sg_pg_rows(b, KEYS);

    for (i = segue_keyset_count(r->keys) - 1; i >= 0; i--) {
        const char *kid = segue_key_kid(segue_keyset_at(r->keys, i));

        for (row = 0; row < n; row++)
            if (sg_slice_eq(sg_pg_value(b, KEYS, row, 0), sg_str(r->config->name)) &&
                sg_slice_eq(sg_pg_value(b, KEYS, row, 1), sg_str(kid)))
                break;
        if (row == n)
            segue_keyset_remove(r->keys, kid);
    }
}

static void
control_read(struct sg_pg_batch *b)
{
    struct sg_engine *e = sg_container_of(b, struct sg_engine, control_batch);
    int i;

    e->control_busy = false;
    e->open_ops--;
    if (b->rc == 0 && !e->closing) {
        bool changed = false, confirmed = take_policies(e, b, &changed);

        take_continuity(e, b);
        for (i = 0; i < sg_pg_rows(b, KEYS); i++)
            take_key(e, b, i);
        for (i = 0; i < e->n_realms; i++)
            drop_retired(e->realms[i], b);
        if (b->n_calls > MAP)
            take_map(e, b);
        check_schemas(e);
        if (confirmed)
            e->control_good_ns = e->control_sent_ns;
        if (changed || sg_mono_ns(e->clock) - e->instance_told_ns > TELL_MS * SG_NS_PER_MS)
            tell_instance(e);
    } else if (!e->closing && e->n_realms > 0)
        e->realms[0]->counters.control_errors++;
    sg_pg_batch_clear(b);
    if (e->control_again && !e->closing)
        control_poll(e);
}

void
control_poll(struct sg_engine *e)
{
    struct sg_pg_batch *b = &e->control_batch;

    if (e->control_busy) {
        e->control_again = true;
        return;
    }
    e->control_again = false;
    memset(b, 0, sizeof *b);
    b->calls[POLICY].stmt = &read_policy;
    b->calls[CONTINUITY].stmt = &read_continuity;
    b->calls[KEYS].stmt = &read_keys;
    b->calls[MAP].stmt = &read_map;
    b->n_calls = !e->map_read || e->map_wanted ? MAP + 1 : MAP;
    b->deadline_ns = engine_deadline(e, OP_TIMEOUT_MS);
    b->done = control_read;
    e->control_busy = true;
    e->control_sent_ns = sg_mono_ns(e->clock);
    e->open_ops++;
    sg_pg_submit(e->control, b);
}

void
control_reread_map(struct sg_engine *e)
{
    e->map_wanted = true;
    control_poll(e);
}

static void
on_up(void *ctx)
{
    control_poll(ctx);
}

static void
on_notify(void *ctx, const char *channel, const char *payload)
{
    struct sg_engine *e = ctx;

    (void)channel;
    if (strcmp(payload, "bucket_map") == 0)
        e->map_wanted = true;
    control_poll(e);
}

static void
on_down(void *ctx, const struct sg_err *err)
{
    engine_event(ctx, true, "control's notifications were lost; polling goes on", err);
}

int
control_start(struct sg_engine *e, struct sg_err *err)
{
    struct sg_pg_options options = {.conninfo = e->options.config->control,
                                    .name = "control",
                                    .connections = 1,
                                    .connect_timeout_ms = OP_TIMEOUT_MS,
                                    .max_queued = 16};
    struct sg_pg_listener_events events = {on_up, on_notify, on_down, e};

    if (sg_pg_open(e->loop, e->clock, &options, &e->control, err) != 0 ||
        sg_pg_listen(e->loop, e->clock, &options, "segue_control", &events, &e->control_listener,
                     err) != 0)
        return -1;
    control_poll(e);
    return 0;
}
