/* SPDX-License-Identifier: MIT */
#include "session/end.h"

#include "base/fault.h"
#include "store/sealed.h"

#include <stdlib.h>

#define LEGACY_END_MS 500 /* then the outbox carries it */

struct ending {
    struct sg_realm *realm;
    const char *client_id;
    sg_store_done done;
    void *ctx;
    char reason[33];
    char key[SG_LEGACY_KEY_MAX + 1];
    char subject[SG_SUBJECT_MAX + 1];
    struct sg_session_read read;
    struct sg_ref_read ref;
    struct sg_refresh_read refresh;
    struct sg_end_row row;
    struct sg_legacy_request request;
};

static struct ending *
new_ending(struct sg_realm *realm, const char *reason, sg_store_done done, void *ctx)
{
    struct ending *e = calloc(1, sizeof *e);

    if (e == NULL) {
        struct sg_err err;

        sg_fail(&err, SG_E_INTERNAL, "end", "out of memory");
        done(ctx, -1, &err);
        return NULL;
    }
    e->realm = realm;
    e->done = done;
    e->ctx = ctx;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    e->row.realm = realm->config->name;
    e->row.reason = e->reason;
    e->row.subject = e->subject;
    realm->engine->open_ops++;
    return e;
}

static void
finish(struct ending *e, int rc, const struct sg_err *err)
{
    e->realm->engine->open_ops--;
    e->done(e->ctx, rc, err);
    sg_session_read_clear(&e->read);
    free(e);
}

static void
store_failed(struct ending *e, const struct sg_err *err)
{
    if (err->code == SG_E_NOT_OWNER) {
        e->realm->counters.not_owner++;
        control_reread_map(e->realm->engine);
    }
    finish(e, -1, err);
}

static void
legacy_ended(struct sg_legacy_request *request)
{
    struct ending *e = sg_container_of(request, struct ending, request);

    sg_legacy_request_clear(request);
    /* Failed: the mirror does it, by the outbox; of a session never seen there is no row. */
    if (request->rc != 0 && !e->row.has_sid)
        finish(e, -1, &request->err);
    else
        finish(e, 0, NULL);
}

static void
rows_ended(void *ctx, int rc, const struct sg_err *err)
{
    struct ending *e = ctx;
    struct sg_realm *r = e->realm;
    int64_t until = sg_wall_ms(r->engine->clock) + r->config->token.lifetime_ms +
                    r->config->token.leeway_ms + 60000;

    if (rc != 0) {
        store_failed(e, err);
        return;
    }
    sg_fault("end.after_rows");
    r->counters.ended++;
    /* This loop need not wait for its own feed. A full set is reported when the feed brings the
     * same row. */
    if (e->row.has_sid && sg_revoked_add_session(r->revoked, e->row.sid, until, NULL) != 0)
        r->revoked_full = true;
    if (e->key[0] == '\0' || !sg_phase_rules(r->policy.phase)->mirror) {
        finish(e, 0, NULL);
        return;
    }
    e->request.op = SG_LEGACY_END;
    snprintf(e->request.key, sizeof e->request.key, "%s", e->key);
    e->request.deadline_ns = engine_deadline(r->engine, LEGACY_END_MS);
    e->request.done = legacy_ended;
    r->legacy->type->submit(r->legacy, &e->request);
}

static void
set_digest(struct ending *e, const uint8_t digest[SG_DIGEST_BYTES])
{
    e->row.has_digest = true;
    memcpy(e->row.digest, digest, sizeof e->row.digest);
    e->row.digest_bucket = (int)sg_bucket(sg_str(e->realm->config->name),
                                          sg_slice((const char *)digest, SG_DIGEST_BYTES));
    e->row.tombstone_ref = !e->realm->codec->reuses_ids;
    recent_forget(e->realm, digest);
}

static void
write_end(struct ending *e)
{
    struct sg_engine *engine = e->realm->engine;

    e->row.mirror = e->row.has_digest && sg_phase_rules(e->realm->policy.phase)->mirror;
    sg_store_end_sessions(engine->store, &e->row, 1, engine_deadline(engine, OP_TIMEOUT_MS),
                          rows_ended, e);
}

static void
session_read(void *ctx, int rc, const struct sg_err *err)
{
    struct ending *e = ctx;
    struct sg_session_read *s = &e->read;
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX);

    if (rc != 0) {
        store_failed(e, err);
        return;
    }
    e->row.has_sid = true;
    memcpy(e->row.sid, s->sid, sizeof e->row.sid);
    e->row.sid_bucket = s->bucket;
    if (s->found) {
        snprintf(e->subject, sizeof e->subject, "%s", s->subject);
        if (s->has_store_digest)
            set_digest(e, s->store_digest);
        if (s->handle.len > 0 &&
            sg_open_handle(e->realm->engine->options.ring, e->realm->config->name, s->sid,
                           sg_buf_slice(&s->handle), &key, NULL) == 0)
            snprintf(e->key, sizeof e->key, "%s", key.ptr);
        sg_buf_wipe(&key);
    }
    write_end(e);
}

static void
read_session(struct ending *e, const uint8_t sid[SG_SID_BYTES], int bucket)
{
    struct sg_engine *engine = e->realm->engine;

    e->read.realm = e->realm->config->name;
    e->read.bucket = bucket;
    memcpy(e->read.sid, sid, sizeof e->read.sid);
    sg_store_get_sessions(engine->store, &e->read, 1, engine_deadline(engine, OP_TIMEOUT_MS),
                          session_read, e);
}

void
end_session(struct sg_realm *realm, const uint8_t sid[SG_SID_BYTES], int bucket, const char *reason,
            sg_store_done done, void *ctx)
{
    struct ending *e = new_ending(realm, reason, done, ctx);

    if (e != NULL)
        read_session(e, sid, bucket);
}

/* By key: the tombstone first, so that no exchange can add a reference any more; then whatever
 * reference got in before is read, and its session ended. Reading first would miss one that slips
 * in between. */
static void
ref_read(void *ctx, int rc, const struct sg_err *err)
{
    struct ending *e = ctx;
    const struct sg_realm *r = e->realm;
    struct sg_hash digest;
    struct sg_sid sid;

    if (rc != 0) {
        store_failed(e, err);
        return;
    }
    if (!e->ref.found || e->ref.subject[0] == '\0') {
        rows_ended(e, 0, NULL);
        return;
    }
    memcpy(digest.b, e->ref.digest, sizeof digest.b);
    sid =
        sg_session_id(&r->digest_key, &digest, sg_str(e->ref.subject), (uint64_t)e->ref.generation);
    snprintf(e->subject, sizeof e->subject, "%s", e->ref.subject);
    e->row.has_sid = true;
    memcpy(e->row.sid, sid.b, sizeof e->row.sid);
    e->row.sid_bucket = (int)sg_bucket(sg_str(r->config->name), sg_str(e->subject));
    write_end(e);
}

static void
ref_tombstoned(void *ctx, int rc, const struct sg_err *err)
{
    struct ending *e = ctx;
    struct sg_engine *engine = e->realm->engine;

    if (rc != 0)
        store_failed(e, err);
    else
        sg_store_get_refs(engine->store, &e->ref, 1, engine_deadline(engine, OP_TIMEOUT_MS),
                          ref_read, e);
}

void
end_by_key(struct sg_realm *realm, const char *key, sg_store_done done, void *ctx)
{
    struct ending *e = new_ending(realm, "logout", done, ctx);
    struct sg_hash digest;

    if (e == NULL)
        return;
    digest = sg_store_key_digest(&realm->digest_key, sg_str(key));
    snprintf(e->key, sizeof e->key, "%s", key);
    set_digest(e, digest.b);
    e->ref.realm = realm->config->name;
    e->ref.bucket = e->row.digest_bucket;
    memcpy(e->ref.digest, digest.b, sizeof e->ref.digest);
    sg_store_end_sessions(realm->engine->store, &e->row, 1,
                          engine_deadline(realm->engine, OP_TIMEOUT_MS), ref_tombstoned, e);
}

static void
refresh_read(void *ctx, int rc, const struct sg_err *err)
{
    struct ending *e = ctx;
    struct sg_err why;

    if (rc != 0)
        store_failed(e, err);
    else if (!e->refresh.found)
        finish(e, 0, NULL);
    else if (strcmp(e->refresh.client_id, e->client_id) != 0) {
        sg_fail(&why, SG_E_DENIED, "end", "the refresh token is another client's");
        finish(e, -1, &why);
    } else
        read_session(e, e->refresh.sid, e->refresh.bucket);
}

void
end_by_refresh(struct sg_realm *realm, const struct sg_refresh *refresh, const char *client_id,
               sg_store_done done, void *ctx)
{
    struct ending *e = new_ending(realm, "logout", done, ctx);
    struct sg_hash digest;

    if (e == NULL)
        return;
    digest = sg_refresh_digest(&realm->digest_key, sg_str(refresh->text));
    e->client_id = client_id;
    e->refresh =
        (struct sg_refresh_read){.realm = realm->config->name, .bucket = (int)refresh->bucket};
    memcpy(e->refresh.digest, digest.b, sizeof e->refresh.digest);
    sg_store_get_refresh(realm->engine->store, &e->refresh,
                         engine_deadline(realm->engine, OP_TIMEOUT_MS), refresh_read, e);
}
