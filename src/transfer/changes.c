/* SPDX-License-Identifier: MIT */
#include "transfer/changes.h"

#include "base/fault.h"
#include "keys/digest.h"
#include "transfer/load.h"
#include "transfer/record.h"

#include <stdlib.h>

/* A key under work. */
struct job {
    struct sg_changes *changes;
    struct sg_dirty_key *key;
    uint8_t digest[SG_DIGEST_BYTES];
    struct sg_legacy_request read;
    int blocked_on; /* shard; -1 = none */
    int loaded;     /* index in the load; -1 = it is not in it */
    struct sg_hash value;
    int64_t expires_ms;
    struct sg_ref_read first; /* the token_ref before it was made a tombstone */
};

/* One shard's share of the ends. */
struct part {
    struct sg_changes *changes;
    int shard, first, n;
};

struct sg_changes {
    const struct sg_bridge *bridge;
    struct sg_recent *recent;
    int64_t step_timeout_ms;
    sg_changes_done done;
    void *ctx;
    bool busy, again, renaming;
    int lane, n;
    struct job jobs[SG_CHANGES_KEYS];
    struct sg_ref_read refs[SG_CHANGES_KEYS];
    struct sg_end_row ends[SG_CHANGES_KEYS];
    int of[SG_CHANGES_KEYS];     /* row of refs -> job */
    int end_of[SG_CHANGES_KEYS]; /* row of ends -> job */
    struct part parts[SG_SHARDS_MAX];
    int n_refs, pending;
    uint64_t asked_ns; /* the legacy store, for the records */
    struct sg_load *load;
    struct sg_err err;
    struct sg_changes_counts counts;
};

int
sg_changes_new(const struct sg_bridge *bridge, struct sg_recent *recent, int64_t step_timeout_ms,
               sg_changes_done done, void *ctx, struct sg_changes **out, struct sg_err *err)
{
    struct sg_changes *c = calloc(1, sizeof *c);

    if (c == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    c->bridge = bridge;
    c->recent = recent;
    c->step_timeout_ms = step_timeout_ms;
    c->done = done;
    c->ctx = ctx;
    *out = c;
    return 0;
}

void
sg_changes_free(struct sg_changes *c)
{
    if (c == NULL)
        return;
    sg_load_free(c->load);
    free(c);
}

bool
sg_changes_busy(const struct sg_changes *c)
{
    return c->busy;
}

int
sg_changes_n(const struct sg_changes *c)
{
    return c->n;
}

struct sg_dirty_key *
sg_changes_key(const struct sg_changes *c, int i)
{
    return c->jobs[i].key;
}

int
sg_changes_blocked_on(const struct sg_changes *c, int i)
{
    return c->jobs[i].blocked_on;
}

const struct sg_err *
sg_changes_trouble(const struct sg_changes *c)
{
    return &c->err;
}

struct sg_changes_counts
sg_changes_counted(const struct sg_changes *c)
{
    return c->counts;
}

static uint64_t
deadline(const struct sg_changes *c)
{
    return sg_bridge_deadline(c->bridge, c->step_timeout_ms);
}

static void
note_failure(struct sg_changes *c, const struct sg_err *err)
{
    if (c->err.code == SG_OK)
        c->err = *err;
}

static void
finish(struct sg_changes *c)
{
    int i;

    for (i = 0; i < c->n; i++) {
        struct job *j = &c->jobs[i];

        sg_legacy_request_clear(&j->read);
        if (j->blocked_on < 0 && j->loaded >= 0)
            sg_recent_put(c->recent, j->digest, &j->value, j->expires_ms);
    }
    sg_load_free(c->load);
    c->load = NULL;
    c->busy = false;
    c->done(c->ctx, c);
}

/* ---- ends, of deleted keys and of former names ---- */

static void read_records(struct sg_changes *c);
static void end_named(struct sg_changes *c);
static void look_again(struct sg_changes *c);

static void
ends_over(struct sg_changes *c)
{
    if (!c->again)
        look_again(c);
    else if (c->renaming)
        finish(c);
    else
        read_records(c);
}

static void
on_ended(void *ctx, int rc, const struct sg_err *err)
{
    struct part *part = ctx;
    struct sg_changes *c = part->changes;
    int i;

    if (rc != 0)
        note_failure(c, err);
    for (i = part->first; i < part->first + part->n; i++) {
        if (rc != 0)
            c->jobs[c->end_of[i]].blocked_on = part->shard;
        else if (c->renaming)
            c->counts.renamed += c->ends[i].changed;
        else
            c->counts.ended += c->ends[i].changed;
    }
    if (--c->pending == 0)
        ends_over(c);
}

/* Never seen: a tombstone on the digest's shard, and no session. */
static int
shard_of_end(const struct sg_changes *c, const struct sg_ref_read *ref)
{
    int bucket =
        ref->found ? sg_bridge_session_bucket(c->bridge, ref->subject, ref->digest) : ref->bucket;

    return sg_shard_of_bucket(c->bridge->shards, bucket);
}

static const char *
why(const struct sg_changes *c, const struct job *j)
{
    return c->renaming && j->loaded >= 0 ? "renamed" : "app-logout";
}

static void
fill_end(struct sg_changes *c, const struct sg_ref_read *ref, const struct job *j,
         struct sg_end_row *row)
{
    memset(row, 0, sizeof *row);
    row->realm = c->bridge->realm;
    row->has_digest = true;
    row->digest_bucket = ref->bucket;
    memcpy(row->digest, ref->digest, sizeof row->digest);
    row->has_sid = ref->found;
    row->subject = ref->found ? ref->subject : "";
    if (ref->found)
        sg_record_sid(c->bridge, ref->digest, ref->subject, ref->generation, row->sid,
                      &row->sid_bucket);
    row->reason = why(c, j);
    row->tombstone_ref = true;
}

/* A tombstone does not say that the session behind it was reached, too: its shard may have been
 * down. Without a subject there is nothing behind it that could be exchanged. The second time: only
 * what was put under the ref between the first look and the tombstone. */
static bool
must_end(const struct sg_changes *c, const struct sg_ref_read *ref, const struct job *j)
{
    if (ref->ended && ref->subject[0] == '\0')
        return false;
    if (!c->again)
        return true;
    return ref->found && ref->ended &&
           !(j->first.found && j->first.generation == ref->generation &&
             strcmp(j->first.subject, ref->subject) == 0);
}

static void
on_refs(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_changes *c = ctx;
    int shard, i, n = 0, shards = sg_shards_count(c->bridge->shards);
    struct sg_err silent;

    c->pending = 1;
    if (rc != 0) {
        note_failure(c, err);
        for (i = 0; i < c->n_refs; i++)
            c->jobs[c->of[i]].blocked_on = c->lane;
        shards = 0;
    }
    for (i = 0; !c->again && i < c->n_refs; i++)
        c->jobs[c->of[i]].first = c->refs[i];
    for (shard = 0; shard < shards; shard++) {
        struct part *part = &c->parts[shard];

        *part = (struct part){.changes = c, .shard = shard, .first = n};
        for (i = 0; i < c->n_refs; i++) {
            if (!must_end(c, &c->refs[i], &c->jobs[c->of[i]]) ||
                shard_of_end(c, &c->refs[i]) != shard)
                continue;
            fill_end(c, &c->refs[i], &c->jobs[c->of[i]], &c->ends[n]);
            c->end_of[n++] = c->of[i];
            part->n++;
        }
        if (part->n == 0)
            continue;
        c->pending++;
        if (sg_bridge_is_silent(c->bridge, shard, &silent)) {
            on_ended(part, -1, &silent);
            continue;
        }
        sg_store_end_sessions(c->bridge->store, &c->ends[part->first], part->n, deadline(c),
                              on_ended, part);
    }
    if (--c->pending == 0)
        ends_over(c);
}

static void
add_ref(struct sg_changes *c, int job, const uint8_t *digest)
{
    struct sg_ref_read *ref = &c->refs[c->n_refs];

    memset(ref, 0, sizeof *ref);
    ref->realm = c->bridge->realm;
    ref->bucket = sg_bridge_bucket_of_digest(c->bridge, digest);
    memcpy(ref->digest, digest, sizeof ref->digest);
    c->of[c->n_refs++] = job;
}

/* Nobody changes a tombstone any more, so this second look is final: a scan or an exchange that put
 * its ref before the tombstone, after the first look, is found now. */
static void
look_again(struct sg_changes *c)
{
    int i;

    c->again = true;
    for (i = 0; i < c->n_refs; i++)
        c->refs[i].found = c->refs[i].ended = false;
    end_named(c);
}

static void
end_named(struct sg_changes *c)
{
    if (c->n_refs == 0) {
        c->again = true;
        ends_over(c);
        return;
    }
    sg_store_get_refs(c->bridge->store, c->refs, c->n_refs, deadline(c), on_refs, c);
}

/* ---- 4: former names ---- */

static void
end_former_names(struct sg_changes *c)
{
    int i;

    c->renaming = true;
    c->again = false;
    c->n_refs = 0;
    for (i = 0; i < c->n; i++) {
        struct job *j = &c->jobs[i];

        if (j->key->renamed_from != NULL && j->blocked_on < 0) {
            struct sg_hash from =
                sg_store_key_digest(&c->bridge->realm_key, sg_str(j->key->renamed_from));

            add_ref(c, i, from.b);
        }
    }
    end_named(c);
}

/* ---- 2 and 3: records ---- */

static void
on_loaded(void *ctx, struct sg_load *load)
{
    struct sg_changes *c = ctx;
    struct sg_load_counts counts = sg_load_counted(load);
    struct sg_err err;
    int i;

    if (sg_load_result(load, &err) != 0)
        note_failure(c, &err);
    for (i = 0; i < c->n; i++) {
        struct job *j = &c->jobs[i];
        int shard = j->loaded >= 0 ? sg_load_blocked_on(load, j->loaded) : -1;

        if (shard >= 0)
            j->blocked_on = shard < sg_shards_count(c->bridge->shards) ? shard : c->lane;
    }
    c->counts.stored += counts.stored;
    c->counts.rejected += counts.rejected;
    c->counts.refused += counts.refused;
    c->counts.ended += counts.ended;
    end_former_names(c);
}

/* Whether the record must be stored; then it is added to the load. */
static void
take_record(struct sg_changes *c, struct job *j)
{
    struct sg_slice key = j->key->key, value = sg_buf_slice(&j->read.read_value);
    bool readable = j->read.rc == 0;
    int64_t ttl_ms = j->read.read_ttl_ms;
    struct sg_err err;

    j->value = sg_hash_fields("segue.transfer.value", &value, 1);
    j->expires_ms = sg_wall_ms(c->bridge->clock) + ttl_ms;
    if (readable && !j->key->deleted && j->key->renamed_from == NULL &&
        sg_recent_has(c->recent, j->digest, &j->value, j->expires_ms, ttl_ms)) {
        c->counts.spared++;
        return;
    }
    sg_recent_drop(c->recent, j->digest);
    j->loaded = sg_load_count(c->load);
    if (sg_load_add(c->load, key, readable ? value : sg_str(""), readable ? ttl_ms : -1,
                    readable ? NULL : SG_REJECT_READ, &err) != 0) {
        note_failure(c, &err);
        j->loaded = -1;
        j->blocked_on = c->lane;
    }
}

static void
load_records(struct sg_changes *c)
{
    const struct sg_load_options options = {
        .chunk = -1,
        .by_shard = true,
        .timeout_ms = c->step_timeout_ms,
        .done = on_loaded,
        .ctx = c,
    };
    struct sg_err err;
    int i;

    if (sg_load_new(c->bridge, c->n, &c->load, &err) != 0) {
        note_failure(c, &err);
        for (i = 0; i < c->n; i++)
            c->jobs[i].blocked_on = c->lane;
        finish(c);
        return;
    }
    sg_load_asked_at(c->load, c->asked_ns);
    for (i = 0; i < c->n; i++) {
        struct job *j = &c->jobs[i];

        if (j->blocked_on < 0 && (j->read.found || j->read.rc != 0))
            take_record(c, j);
        else if (j->blocked_on < 0)
            sg_recent_drop(c->recent, j->digest);
    }
    if (sg_fault("transfer.follow.before_store")) {
        sg_fail(&err, SG_E_UNAVAILABLE, "fault", "transfer.follow.before_store");
        note_failure(c, &err);
    }
    if (sg_load_count(c->load) > 0)
        sg_load_start(c->load, &options);
    else
        end_former_names(c);
}

static void
on_read(struct sg_legacy_request *request)
{
    struct job *j = sg_container_of(request, struct job, read);
    struct sg_changes *c = j->changes;

    /* SG_E_INVALID: it was read and cannot be a record, so it becomes a reject. */
    if (request->rc != 0 && request->err.code != SG_E_INVALID) {
        note_failure(c, &request->err);
        j->blocked_on = c->lane;
    }
    if (--c->pending == 0)
        load_records(c);
}

static void
read_records(struct sg_changes *c)
{
    int i;

    c->pending = 1;
    c->asked_ns = sg_mono_ns(c->bridge->clock);
    for (i = 0; i < c->n; i++) {
        struct job *j = &c->jobs[i];

        if (j->blocked_on >= 0 || j->key->key.len > SG_LEGACY_KEY_MAX)
            continue; /* a longer one is the scans' to reject */
        j->read.op = SG_LEGACY_READ;
        memcpy(j->read.key, j->key->key.ptr, j->key->key.len);
        j->read.deadline_ns = deadline(c);
        j->read.done = on_read;
        c->pending++;
        c->bridge->legacy->type->submit(c->bridge->legacy, &j->read);
    }
    if (--c->pending == 0)
        load_records(c);
}

/* ---- 1: deleted keys ---- */

void
sg_changes_start(struct sg_changes *c, struct sg_dirty_key *const *keys, int n, int lane)
{
    int i;

    c->busy = true;
    c->renaming = c->again = false;
    c->lane = lane;
    c->n = n;
    c->n_refs = 0;
    c->err.code = SG_OK;
    c->counts = (struct sg_changes_counts){0};
    for (i = 0; i < n; i++) {
        struct job *j = &c->jobs[i];
        struct sg_hash digest = sg_store_key_digest(&c->bridge->realm_key, keys[i]->key);

        memset(j, 0, sizeof *j);
        j->changes = c;
        j->key = keys[i];
        j->blocked_on = j->loaded = -1;
        memcpy(j->digest, digest.b, sizeof j->digest);
        if (keys[i]->deleted)
            add_ref(c, i, j->digest);
    }
    end_named(c);
}
