/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include "segue/segue.h"

#include <stdlib.h>
#include <string.h>

static const char *const audiences[] = {AUDIENCE, NULL};
static const struct segue_policy policy = {.issuer = ISSUER, .audiences = audiences};

struct handle {
    struct segue_keyset *set;
    struct segue_cache *cache;
    struct segue_verify_buf buf;
};

static void *
open_key(const char *alg, const char *jwk, const char *pem)
{
    struct handle *h = calloc(1, sizeof *h);
    struct segue_key *key;

    if (h == NULL || segue_key_from_jwk(jwk, strlen(jwk), &key, NULL) != SEGUE_OK ||
        segue_keyset_new(&h->set) != SEGUE_OK || segue_keyset_add(h->set, key) != SEGUE_OK)
        abort();
    segue_key_free(key);
    return h;
}

static bool
verify(void *handle, const char *token, size_t len)
{
    struct handle *h = handle;
    struct segue_claims c;

    return segue_verify(h->set, &policy, NOW, token, len, &h->buf, &c) == SEGUE_OK &&
           c.sub.len > 0 && c.n_roles > 0;
}

static void *
open_cached(const char *alg, const char *jwk, const char *pem)
{
    struct handle *h = open_key(alg, jwk, pem);

    if (segue_cache_new((size_t)4 << 20, &h->cache) != SEGUE_OK)
        abort();
    return h;
}

static bool
verify_cached(void *handle, const char *token, size_t len)
{
    struct handle *h = handle;
    struct segue_claims c;

    return segue_cache_verify(h->cache, h->set, &policy, NOW, token, len, &h->buf, &c) ==
               SEGUE_OK &&
           c.sub.len > 0 && c.n_roles > 0;
}

const struct peer peer_segue_cached = {"segue-cached", open_cached, verify_cached};
const struct peer peer_segue = {"segue", open_key, verify};
