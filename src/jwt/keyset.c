/* SPDX-License-Identifier: MIT */
#include "jwt/keyset.h"

#include "jwt/json_scan.h"
#include "jwt/jwk.h"
#include "jwt/status.h"

#include <stdlib.h>

#define JWKS_IN_BYTES (256 * 1024)

enum segue_status
segue_keyset_new(struct segue_keyset **out)
{
    struct segue_keyset *set = calloc(1, sizeof *set);

    if (set == NULL || (set->md = EVP_MD_CTX_new()) == NULL || sg_sha256_md() == NULL ||
        sodium_init() < 0) {
        segue_keyset_free(set);
        return SEGUE_INTERNAL;
    }
    *out = set;
    return SEGUE_OK;
}

static void
drop(struct sg_verifier *v)
{
    struct segue_key *key = (struct segue_key *)v->key; /* the set's own reference */

    sg_verifier_clear(v);
    segue_key_free(key);
}

void
segue_keyset_free(struct segue_keyset *set)
{
    int i;

    if (set == NULL)
        return;
    for (i = 0; i < set->n; i++)
        drop(&set->keys[i]);
    EVP_MD_CTX_free(set->md);
    free(set);
}

struct sg_verifier *
sg_keyset_find(struct segue_keyset *set, struct sg_slice kid)
{
    int i;

    for (i = 0; i < set->n; i++) {
        const struct segue_key *key = set->keys[i].key;

        if (sg_slice_eq(sg_slice(key->kid, key->kid_len), kid))
            return &set->keys[i];
    }
    return NULL;
}

static bool
knows(const struct sg_verifier *v, struct sg_slice header)
{
    return v->header.len == header.len && memcmp(v->header.text, header.ptr, header.len) == 0;
}

struct sg_verifier *
sg_keyset_known(struct segue_keyset *set, struct sg_slice header)
{
    int i;

    if (header.len == 0 || set->n == 0)
        return NULL;
    if (knows(&set->keys[set->last], header))
        return &set->keys[set->last];
    for (i = 0; i < set->n; i++)
        if (knows(&set->keys[i], header)) {
            set->last = i;
            return &set->keys[i];
        }
    return NULL;
}

void
sg_keyset_remember(struct segue_keyset *set, struct sg_verifier *v, struct sg_slice header,
                   struct sg_slice typ)
{
    struct sg_known_header *h = &v->header;

    if (header.len > sizeof h->text || typ.len > sizeof h->typ || typ.len == 0)
        return;
    memcpy(h->text, header.ptr, header.len);
    memcpy(h->typ, typ.ptr, typ.len);
    h->len = header.len;
    h->typ_len = typ.len;
    set->last = (int)(v - set->keys);
}

enum segue_status
segue_keyset_add(struct segue_keyset *set, const struct segue_key *key)
{
    enum segue_status status;

    if (segue_keyset_find(set, key->kid) != NULL)
        return SEGUE_DUPLICATE;
    if (set->n == SEGUE_KEYS_MAX)
        return SEGUE_TOO_LARGE;
    status = sg_verifier_init(&set->keys[set->n], key);
    if (status != SEGUE_OK)
        return status;
    segue_key_ref(key);
    set->n++;
    return SEGUE_OK;
}

enum segue_status
segue_keyset_copy(const struct segue_keyset *set, struct segue_keyset **out)
{
    struct segue_keyset *copy;
    enum segue_status status = segue_keyset_new(&copy);
    int i;

    if (status != SEGUE_OK)
        return status;
    for (i = 0; i < set->n; i++)
        if ((status = segue_keyset_add(copy, set->keys[i].key)) != SEGUE_OK) {
            segue_keyset_free(copy);
            return status;
        }
    *out = copy;
    return SEGUE_OK;
}

bool
segue_keyset_remove(struct segue_keyset *set, const char *kid)
{
    struct sg_verifier *v = sg_keyset_find(set, sg_str(kid));

    if (v == NULL)
        return false;
    drop(v);
    set->n--;
    set->last = 0;
    memmove(v, v + 1, (size_t)(&set->keys[set->n] - v) * sizeof *v);
    return true;
}

const struct segue_key *
segue_keyset_find(const struct segue_keyset *set, const char *kid)
{
    int i;

    for (i = 0; i < set->n; i++)
        if (strcmp(set->keys[i].key->kid, kid) == 0)
            return set->keys[i].key;
    return NULL;
}

int
segue_keyset_count(const struct segue_keyset *set)
{
    return set->n;
}

const struct segue_key *
segue_keyset_at(const struct segue_keyset *set, int i)
{
    return i >= 0 && i < set->n ? set->keys[i].key : NULL;
}

/* ---- JWKS ---- */

/* RFC 7517 section 5: what is not understood, lacks a member or is out of range is passed over, so
 * that one odd key does not keep the others from being used. */
static enum segue_status
add_jwk(struct segue_keyset *set, struct sg_slice json, int *skipped, struct segue_error *err)
{
    struct segue_key *key;
    enum segue_status status;

    if (json.ptr[0] != '{')
        return sg_jwt_fail(err, SEGUE_MALFORMED, "the 'keys' of a JWKS must be objects");
    status = sg_jwk_read(json, false, &key, err);
    if (status != SEGUE_OK && status != SEGUE_INTERNAL) {
        (*skipped)++;
        return SEGUE_OK;
    }
    if (status != SEGUE_OK)
        return status;
    status = segue_keyset_add(set, key);
    if (status != SEGUE_OK)
        sg_jwt_fail(err, status, "key '%s': %s", key->kid,
                    status == SEGUE_TOO_LARGE ? "more than 64 keys" : segue_strerror(status));
    segue_key_free(key);
    return status;
}

/* The texts between the brackets of "keys", one by one. */
static enum segue_status
read_keys(struct sg_json *j, struct segue_keyset *set, int *skipped, struct segue_error *err)
{
    enum segue_status status = SEGUE_OK;
    struct sg_json_level level;
    struct sg_slice raw;

    if (!sg_json_enter_array(j, &level))
        return SEGUE_OK; /* the reader remembers the failure */
    while (status == SEGUE_OK && sg_json_item(j, &level))
        if (sg_json_skip(j, &raw))
            status = add_jwk(set, raw, skipped, err);
    return status;
}

static enum segue_status
read_jwks(struct sg_slice json, struct segue_keyset *set, int *skipped, struct segue_error *err)
{
    enum segue_status status = SEGUE_OK;
    struct sg_json_level level;
    struct sg_json_string name;
    bool found = false;
    struct sg_json j;

    sg_json_init(&j, json);
    if (sg_json_enter_object(&j, &level))
        while (status == SEGUE_OK && sg_json_member(&j, &level, &name)) {
            if (sg_json_is(&name, "keys")) {
                found = true;
                status = read_keys(&j, set, skipped, err);
            } else {
                (void)sg_json_skip(&j, NULL); /* sg_json_end() tells */
            }
        }
    if (status != SEGUE_OK)
        return status;
    if (!sg_json_end(&j) || !found)
        return sg_jwt_fail(err, SEGUE_MALFORMED,
                           "a JWKS must be one strict JSON object with a 'keys' array");
    return SEGUE_OK;
}

enum segue_status
segue_keyset_from_jwks(const char *json, size_t len, struct segue_keyset **out, int *skipped,
                       struct segue_error *err)
{
    struct segue_keyset *set;
    enum segue_status status;
    int n = 0;

    if (len > JWKS_IN_BYTES)
        return sg_jwt_fail(err, SEGUE_TOO_LARGE, "a JWKS is longer than %d bytes", JWKS_IN_BYTES);
    if ((status = segue_keyset_new(&set)) != SEGUE_OK)
        return sg_jwt_fail(err, status, "%s", segue_strerror(status));
    status = read_jwks(sg_slice(json, len), set, &n, err);
    if (status != SEGUE_OK) {
        segue_keyset_free(set);
        return status;
    }
    if (skipped != NULL)
        *skipped = n;
    *out = set;
    return SEGUE_OK;
}

enum segue_status
segue_keyset_to_jwks(const struct segue_keyset *set, char *out, size_t cap, size_t *len)
{
    struct sg_buf b = SG_BUF_INIT(JWKS_IN_BYTES);
    enum segue_status status = SEGUE_OK;
    int i, written = 0;

    sg_buf_puts(&b, "{\"keys\":[");
    for (i = 0; i < set->n && status == SEGUE_OK; i++) {
        if (set->keys[i].key->alg == SEGUE_HS256)
            continue;
        sg_buf_puts(&b, written++ > 0 ? "," : "");
        if (!sg_jwk_write(set->keys[i].key, false, &b))
            status = SEGUE_INTERNAL;
    }
    sg_buf_puts(&b, "]}");
    if (status == SEGUE_OK && (b.failed || b.len >= cap))
        status = SEGUE_TOO_LARGE;
    if (status == SEGUE_OK) {
        memcpy(out, b.ptr, b.len + 1);
        *len = b.len;
    }
    sg_buf_free(&b);
    return status;
}
