/* SPDX-License-Identifier: MIT */
#include "session/engine_internal.h"
#include "session/held_keys.h"

#include <stdlib.h>

/* Everything shared is read in one transaction-less batch: it is small, and each part stands for
 * itself. */
static const struct sg_pg_stmt read_policy = {
    .name = "control_policy",
    .sql = "SELECT realm, version, phase, percent_e2, array_to_string(cohorts, ','), realm_epoch, "
           "(extract(epoch FROM phase_entered_at) * 1000)::bigint, pg_is_in_recovery()::int, "
           "array_to_string(disabled_clients, chr(31)), root_check "
           "FROM segue_control.policy",
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
    .sql = "INSERT INTO segue_control.instance AS i (instance, realm, policy_version, keys, "
           "unopened, signing) SELECT $1, realm, version, keys, unopened, signing "
           "FROM jsonb_to_recordset($2::jsonb) AS u (realm text, version bigint, keys text[], "
           "unopened text[], signing text) "
           "ON CONFLICT (instance, realm) DO UPDATE SET policy_version = excluded.policy_version, "
           "keys = excluded.keys, unopened = excluded.unopened, signing = excluded.signing, "
           "keys_at = CASE WHEN i.keys = excluded.keys THEN i.keys_at ELSE clock_timestamp() END, "
           "seen_at = clock_timestamp()",
    .n_params = 2,
};
static const struct sg_pg_stmt leave_instance = {
    .name = "control_leave",
    .sql = "DELETE FROM segue_control.instance WHERE instance = $1",
    .n_params = 1,
};

#define LEAVE_MS 500 /* for saying so; a control database that is down is not waited for */

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
        r->foreign_root = sg_pg_value(b, POLICY, i, 9).len > 0 &&
                          !sg_slice_eq(sg_pg_value(b, POLICY, i, 9), sg_str(r->root_check));
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

static void
instance_name(const struct sg_engine *e, char out[80])
{
    snprintf(out, 80, e->options.loop_index == 0 ? "%s" : "%s/%d", e->options.instance,
             e->options.loop_index);
}

/* Tells the control schema which policy this loop is under and which keys it holds, after it is and
 * does: an instance is under a policy when all of its loops are. */
static void
tell_instance(struct sg_engine *e)
{
    struct sg_buf realms = SG_BUF_INIT(SG_REALMS_MAX * 8192);
    char name[80];
    int i;

    e->instance_again = e->instance_busy; /* it is told of the policy before */
    if (e->instance_busy)
        return;
    instance_name(e, name);
    for (i = 0; i < e->n_realms; i++) {
        sg_buf_printf(&realms, "%c{\"realm\":\"%s\",\"version\":%lld,", i == 0 ? '[' : ',',
                      e->realms[i]->config->name, (long long)e->realms[i]->policy.version);
        held_keys_tell(e->realms[i], &realms);
        sg_buf_puts(&realms, "}");
    }
    sg_buf_puts(&realms, "]");
    memset(&e->instance_batch, 0, sizeof e->instance_batch);
    e->instance_batch.calls[0] = (struct sg_pg_call){
        .stmt = &write_instance, .params = {sg_str(name), sg_buf_slice(&realms)}};
    e->instance_batch.n_calls = 1;
    e->instance_batch.deadline_ns = engine_deadline(e, OP_TIMEOUT_MS);
    e->instance_batch.done = instance_written;
    e->instance_busy = true;
    e->instance_sent_ns = sg_mono_ns(e->clock);
    e->open_ops++;
    sg_pg_submit(e->control, &e->instance_batch);
    sg_buf_free(&realms);
}

static void
left(struct sg_pg_batch *b)
{
    struct sg_engine *e = sg_container_of(b, struct sg_engine, leave_batch);

    sg_pg_batch_clear(b); /* a row that stays is taken for an instance that was cut off */
    e->open_ops--;
}

void
control_leave(struct sg_engine *e)
{
    char name[80];

    instance_name(e, name);
    e->leave_batch.calls[0] =
        (struct sg_pg_call){.stmt = &leave_instance, .params = {sg_str(name)}};
    e->leave_batch.n_calls = 1;
    e->leave_batch.deadline_ns = engine_deadline(e, LEAVE_MS);
    e->leave_batch.done = left;
    e->open_ops++;
    sg_pg_submit(e->control, &e->leave_batch);
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

static void
control_read(struct sg_pg_batch *b)
{
    struct sg_engine *e = sg_container_of(b, struct sg_engine, control_batch);

    e->control_busy = false;
    e->open_ops--;
    if (b->rc == 0 && !e->closing) {
        bool changed = false, confirmed = take_policies(e, b, &changed);

        take_continuity(e, b);
        changed |= held_keys_take(e, b, KEYS);
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
    b->calls[KEYS].stmt = &held_keys_read;
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
