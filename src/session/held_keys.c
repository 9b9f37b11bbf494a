/* SPDX-License-Identifier: MIT */
#include "session/held_keys.h"

#include "keys/keystate.h"
#include "keys/signing.h"

#include <stdio.h>

const struct sg_pg_stmt held_keys_read = {
    .name = "control_keys",
    .sql = "SELECT realm, kid, state, private_sealed, public_jwk::text, sealed_with "
           "FROM segue_control.signing_key "
           "WHERE state <> 'retired' OR renews_until > clock_timestamp() "
           "ORDER BY state_at DESC, kid",
    .binary_result = true,
};

enum { REALM, KID, STATE, SEALED, PUBLIC, SEALED_WITH };

struct row {
    char kid[SEGUE_KID_BYTES + 1], sealed_with[SG_SEAL_ID_MAX + 1];
    enum sg_key_state state;
    struct sg_slice sealed, public_jwk;
};

static void
copy(char *out, size_t cap, struct sg_slice s)
{
    snprintf(out, cap, "%.*s", (int)s.len, s.ptr != NULL ? s.ptr : "");
}

static bool
read_row(const struct sg_realm *r, const struct sg_pg_batch *b, int call, int i, struct row *out)
{
    char state[16];

    if (!sg_slice_eq(sg_pg_value(b, call, i, REALM), sg_str(r->config->name)))
        return false;
    copy(out->kid, sizeof out->kid, sg_pg_value(b, call, i, KID));
    copy(out->sealed_with, sizeof out->sealed_with, sg_pg_value(b, call, i, SEALED_WITH));
    copy(state, sizeof state, sg_pg_value(b, call, i, STATE));
    out->sealed = sg_pg_value(b, call, i, SEALED);
    out->public_jwk = sg_pg_value(b, call, i, PUBLIC);
    return sg_key_state_parse(state, &out->state, NULL) == 0;
}

/* ---- private halves that this keyring does not open ---- */

static struct unopened_key *
unopened_find(struct sg_realm *r, const char *kid)
{
    int i;

    for (i = 0; i < r->n_unopened; i++)
        if (strcmp(r->unopened[i].kid, kid) == 0)
            return &r->unopened[i];
    return NULL;
}

static void
unopened_forget(struct sg_realm *r, const char *kid)
{
    struct unopened_key *u = unopened_find(r, kid);

    if (u != NULL)
        *u = r->unopened[--r->n_unopened];
}

/* Told once, with the realm, the key and what to do; tried again when it was sealed anew. */
static void
unopened_note(struct sg_realm *r, const struct row *row, const struct sg_err *err)
{
    struct unopened_key *u = unopened_find(r, row->kid);
    struct sg_err told;

    if (u == NULL && r->n_unopened == SG_UNOPENED_MAX)
        return;
    if (u == NULL)
        u = &r->unopened[r->n_unopened++];
    snprintf(u->kid, sizeof u->kid, "%s", row->kid);
    snprintf(u->sealed_with, sizeof u->sealed_with, "%s", row->sealed_with);
    snprintf(u->why, sizeof u->why, "realm %s: %s signing key %s cannot be opened: %s: %s",
             r->config->name, sg_key_state_name(row->state), row->kid, err->place, err->text);
    sg_fail(&told, err->code, r->config->name, "%s key %s: %s", sg_key_state_name(row->state),
            row->kid, err->text);
    engine_event(r->engine, true,
                 "a signing key cannot be opened: tokens are verified by its public half, and none "
                 "can be signed with it",
                 &told);
}

/* ---- taking ---- */

static bool
add(struct sg_realm *r, struct segue_keyset *set, struct segue_key *key)
{
    enum segue_status status = segue_keyset_add(set, key);

    segue_key_free(key);
    if (status != SEGUE_OK && set == r->keys)
        engine_event(r->engine, true, "more signing keys than can be held", NULL);
    return status == SEGUE_OK;
}

static bool
add_public(struct sg_realm *r, struct segue_keyset *set, const struct row *row)
{
    struct segue_key *key;

    if (row->public_jwk.len == 0 || segue_keyset_find(set, row->kid) != NULL)
        return false;
    return segue_key_from_jwk(row->public_jwk.ptr, row->public_jwk.len, &key, NULL) == SEGUE_OK &&
           add(r, set, key);
}

static bool
take_live(struct sg_realm *r, const struct row *row)
{
    const struct segue_key *held = segue_keyset_find(r->keys, row->kid);
    struct unopened_key *u = unopened_find(r, row->kid);
    struct segue_key *key;
    struct sg_err err;

    if (held != NULL && segue_key_has_private(held))
        return false;
    if (u != NULL && strcmp(u->sealed_with, row->sealed_with) == 0)
        return false;
    if (sg_signing_key_open(r->engine->options.ring, r->config->name, row->kid, row->sealed, &key,
                            &err) != 0) {
        unopened_note(r, row, &err);
        add_public(r, r->keys, row);
        return true;
    }
    unopened_forget(r, row->kid);
    segue_keyset_remove(r->keys, row->kid);
    return add(r, r->keys, key);
}

/* A key that is no longer listed for a set leaves it. */
static bool
drop(struct sg_realm *r, struct segue_keyset *set, const struct sg_pg_batch *b, int call)
{
    bool dropped = false;
    struct row row;
    int i, k;

    for (i = segue_keyset_count(set) - 1; i >= 0; i--) {
        const char *kid = segue_key_kid(segue_keyset_at(set, i));

        for (k = 0; k < sg_pg_rows(b, call); k++)
            if (read_row(r, b, call, k, &row) && strcmp(row.kid, kid) == 0 &&
                sg_key_state_verifies(row.state) == (set == r->keys))
                break;
        if (k == sg_pg_rows(b, call)) {
            unopened_forget(r, kid);
            dropped = segue_keyset_remove(set, kid);
        }
    }
    return dropped;
}

static bool
set_signing(struct sg_realm *r, const char *kid)
{
    const struct segue_key *key = kid[0] != '\0' ? segue_keyset_find(r->keys, kid) : NULL;
    bool changed;

    if (key != NULL && !segue_key_has_private(key))
        key = NULL;
    snprintf(r->active_kid, sizeof r->active_kid, "%s", kid);
    changed = key != r->signing;
    segue_key_free(r->signing);
    r->signing = key != NULL ? segue_key_ref(key) : NULL;
    return changed;
}

bool
held_keys_take(struct sg_engine *e, const struct sg_pg_batch *b, int call)
{
    bool changed = false;
    int i, k;

    for (i = 0; i < e->n_realms; i++) {
        struct sg_realm *r = e->realms[i];
        char active[SEGUE_KID_BYTES + 1] = "";
        struct row row;

        for (k = 0; k < sg_pg_rows(b, call); k++) {
            if (!read_row(r, b, call, k, &row))
                continue;
            if (sg_key_state_verifies(row.state))
                changed |= take_live(r, &row);
            else
                add_public(r, r->old_keys, &row);
            if (sg_key_state_signs(row.state))
                snprintf(active, sizeof active, "%s", row.kid);
        }
        changed |= set_signing(r, active);
        changed |= drop(r, r->keys, b, call);
        drop(r, r->old_keys, b, call);
    }
    return changed;
}

/* ---- telling ---- */

/* A kid has no '"' and no '\' (segue_key_generate). */
static void
add_kid(struct sg_buf *out, const char *kid, int *n)
{
    sg_buf_printf(out, "%s\"%s\"", (*n)++ > 0 ? "," : "", kid);
}

void
held_keys_tell(const struct sg_realm *r, struct sg_buf *out)
{
    int i, n = 0;

    sg_buf_puts(out, "\"keys\":[");
    for (i = 0; i < segue_keyset_count(r->keys); i++)
        if (segue_key_has_private(segue_keyset_at(r->keys, i)))
            add_kid(out, segue_key_kid(segue_keyset_at(r->keys, i)), &n);
    sg_buf_puts(out, "],\"unopened\":[");
    for (i = n = 0; i < r->n_unopened; i++)
        add_kid(out, r->unopened[i].kid, &n);
    sg_buf_puts(out, "],\"signing\":");
    if (r->signing != NULL)
        sg_buf_printf(out, "\"%s\"", segue_key_kid(r->signing));
    else
        sg_buf_puts(out, "null");
}

const char *
held_keys_missing(const struct sg_realm *r)
{
    int i;

    if (r->foreign_root)
        return "the keyring has another root than the one this realm was laid out with: no stored "
               "session would be found, so none is looked for; give this instance the right "
               "keyring";
    if (r->signing != NULL)
        return NULL;
    for (i = 0; i < r->n_unopened; i++)
        if (strcmp(r->unopened[i].kid, r->active_kid) == 0)
            return r->unopened[i].why;
    return "no active signing key: run `segue init`";
}
