/* SPDX-License-Identifier: MIT */
#include "jwt/verify.h"

#include "base/encode.h"
#include "jwt/json_scan.h"

#include <strings.h>

_Static_assert(sizeof(struct sg_verify_memory) <= sizeof(struct segue_verify_buf),
               "verify_buf too small");
_Static_assert(_Alignof(struct sg_verify_memory) <= _Alignof(struct segue_verify_buf),
               "verify_buf alignment");

/* The three segments, still encoded; input: what is signed. */
struct segments {
    struct sg_slice header, payload, signature, input;
};

struct header {
    struct sg_slice alg, kid, typ;
    bool forbidden;
};

/* A third dot ends up in a segment, where decoding refuses it. */
static bool
split(const char *token, size_t len, struct segments *s)
{
    const char *dot1 = memchr(token, '.', len), *dot2 = memrchr(token, '.', len);

    if (dot1 == dot2)
        return false;
    s->header = sg_slice(token, (size_t)(dot1 - token));
    s->payload = sg_slice(dot1 + 1, (size_t)(dot2 - dot1 - 1));
    s->signature = sg_slice(dot2 + 1, (size_t)(token + len - dot2 - 1));
    s->input = sg_slice(token, (size_t)(dot2 - token));
    return true;
}

/* Members whose presence alone is refused: they would move the choice of key, or of what is signed,
 * to the token (RFC 8725 sections 3.9, 3.10; RFC 7797), or we would have to understand them
 * (crit). */
static bool
is_forbidden(const struct sg_json_string *name)
{
    static const char *const forbidden[] = {"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip"};
    size_t i;

    for (i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (sg_json_is(name, forbidden[i]))
            return true;
    return false;
}

static enum segue_status
read_header(char *json, size_t len, struct header *h)
{
    struct sg_json_level level;
    struct sg_json_string name, s;
    struct sg_json j;
    bool good;

    *h = (struct header){0};
    sg_json_init(&j, sg_slice(json, len));
    good = sg_json_enter_object(&j, &level);
    while (good && sg_json_member(&j, &level, &name)) {
        struct sg_slice *out = sg_json_is(&name, "alg")   ? &h->alg
                               : sg_json_is(&name, "kid") ? &h->kid
                               : sg_json_is(&name, "typ") ? &h->typ
                                                          : NULL;

        if (out == NULL) {
            h->forbidden = h->forbidden || is_forbidden(&name);
            good = sg_json_skip(&j, NULL);
        } else if ((good = sg_json_string(&j, &s))) {
            char *at = json + (s.raw.ptr - json);

            *out = sg_slice(at, sg_json_unescape(&s, at));
        }
    }
    if (!good || !sg_json_end(&j))
        return sg_json_failed(&j) == SG_JSON_TOO_BIG ? SEGUE_TOO_LARGE : SEGUE_MALFORMED;
    return h->forbidden ? SEGUE_FORBIDDEN : SEGUE_OK;
}

static bool
alg_is(struct sg_slice text, enum segue_alg alg)
{
    return sg_slice_eq(text, sg_str(segue_alg_name(alg))) ||
           (alg == SEGUE_EDDSA && sg_slice_eq(text, sg_str("Ed25519")));
}

/* Media types are compared without case, and "application/" may be left out (RFC 7515 section
 * 4.1.9). */
bool
sg_typ_is(struct sg_slice typ, const char *want)
{
    static const char prefix[] = "application/";
    size_t n = sizeof prefix - 1;

    if (want == NULL)
        want = "at+jwt";
    if (typ.len > n && strncasecmp(typ.ptr, prefix, n) == 0)
        typ = sg_slice(typ.ptr + n, typ.len - n);
    return typ.len == strlen(want) && strncasecmp(typ.ptr, want, typ.len) == 0;
}

/* The key that the header may name, and nothing else about the token decides. */
static enum segue_status
choose_key(struct segue_keyset *set, const struct header *h, struct sg_verifier **out)
{
    struct sg_verifier *v;

    if (!alg_is(h->alg, SEGUE_ES256) && !alg_is(h->alg, SEGUE_EDDSA) &&
        !alg_is(h->alg, SEGUE_RS256) && !alg_is(h->alg, SEGUE_HS256))
        return SEGUE_WRONG_ALG;
    if (h->kid.len == 0 || (v = sg_keyset_find(set, h->kid)) == NULL)
        return SEGUE_UNKNOWN_KEY;
    if (!alg_is(h->alg, v->key->alg))
        return SEGUE_WRONG_ALG;
    *out = v;
    return SEGUE_OK;
}

static bool
slice_is(struct segue_slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static bool
audience_matches(const struct segue_policy *policy, const struct segue_claims *c)
{
    size_t i;
    int k;

    for (k = 0; policy->audiences[k] != NULL; k++)
        for (i = 0; i < c->n_aud; i++)
            if (slice_is(c->aud[i], policy->audiences[k]))
                return true;
    return false;
}

/* Expiry comes last, so that SEGUE_EXPIRED means that all else is right. Times are at most the year
 * 9999, so nothing overflows. */
enum segue_status
sg_judge(const struct segue_policy *policy, int64_t now_sec, const struct segue_claims *c)
{
    int64_t leeway = policy->leeway_sec;

    if (!slice_is(c->iss, policy->issuer))
        return SEGUE_WRONG_ISSUER;
    if (!audience_matches(policy, c))
        return SEGUE_WRONG_AUDIENCE;
    if (now_sec < c->iat - leeway || (c->nbf != SEGUE_ABSENT && now_sec < c->nbf - leeway))
        return SEGUE_NOT_YET;
    return now_sec - leeway >= c->exp ? SEGUE_EXPIRED : SEGUE_OK;
}

/* The header's key and typ. A good token's header is nearly always that of the one before. */
static enum segue_status
know_header(struct segue_keyset *set, struct sg_slice text, struct sg_verify_memory *m,
            struct sg_verifier **v, struct sg_slice *typ)
{
    struct header h;
    enum segue_status status;
    ptrdiff_t n;

    if ((*v = sg_keyset_known(set, text)) != NULL) {
        *typ = sg_slice((*v)->header.typ, (*v)->header.typ_len);
        return SEGUE_OK;
    }
    n = sg_b64url_decode(text, (uint8_t *)m->header, sizeof m->header);
    if (n < 0)
        return SEGUE_MALFORMED;
    if ((status = read_header(m->header, (size_t)n, &h)) != SEGUE_OK ||
        (status = choose_key(set, &h, v)) != SEGUE_OK)
        return status;
    *typ = h.typ;
    return SEGUE_OK;
}

void
sg_claims_of_key(const struct segue_key *key, struct sg_verify_memory *m,
                 struct segue_claims *claims)
{
    memcpy(m->kid, key->kid, key->kid_len);
    claims->kid = (struct segue_slice){m->kid, key->kid_len};
    claims->alg = key->alg;
}

enum segue_status
sg_verify_genuine(struct segue_keyset *set, const char *want_typ, const char *token, size_t len,
                  struct sg_verify_memory *m, struct sg_genuine *out, struct segue_claims *claims)
{
    char sig[SG_SIGNATURE_MAX];
    struct sg_verifier *v;
    ptrdiff_t payload_len, sig_len;
    enum segue_status status;
    struct segments s;
    bool known;

    if (len == 0 || !split(token, len, &s))
        return SEGUE_MALFORMED;
    payload_len = sg_b64url_decode(s.payload, (uint8_t *)m->payload, sizeof m->payload);
    sig_len = sg_b64url_decode(s.signature, (uint8_t *)sig, sizeof sig);
    if (payload_len < 0 || sig_len < 0)
        return SEGUE_MALFORMED;
    if ((status = know_header(set, s.header, m, &v, &out->typ)) != SEGUE_OK)
        return status;
    known = out->typ.ptr == v->header.typ;
    if (!sg_typ_is(out->typ, want_typ))
        return SEGUE_WRONG_TYPE;
    status = sg_verify_signature(v, set->md, s.input, sg_slice(sig, (size_t)sig_len));
    if (status != SEGUE_OK)
        return status;
    if (!known)
        sg_keyset_remember(set, v, s.header, out->typ);
    out->verifier = v;
    out->payload_len = (size_t)payload_len;
    return sg_claims_parse(m->payload, out->payload_len, &m->room, claims);
}

enum segue_status
sg_verify_arguments(const struct segue_policy *p, int64_t now_sec, size_t len)
{
    if (p->issuer == NULL || p->audiences == NULL || p->leeway_sec < 0 ||
        p->leeway_sec > SEGUE_LEEWAY_MAX || p->max_token_bytes > SEGUE_TOKEN_BYTES || now_sec < 0)
        return SEGUE_INVALID;
    return len > (p->max_token_bytes != 0 ? p->max_token_bytes : SEGUE_TOKEN_BYTES)
               ? SEGUE_TOO_LARGE
               : SEGUE_OK;
}

enum segue_status
segue_verify(struct segue_keyset *set, const struct segue_policy *policy, int64_t now_sec,
             const char *token, size_t len, struct segue_verify_buf *buf,
             struct segue_claims *claims)
{
    struct sg_verify_memory *m = (struct sg_verify_memory *)buf;
    enum segue_status status = sg_verify_arguments(policy, now_sec, len);
    struct sg_genuine genuine;

    if (status != SEGUE_OK ||
        (status = sg_verify_genuine(set, policy->typ, token, len, m, &genuine, claims)) != SEGUE_OK)
        return status;
    sg_claims_of_key(genuine.verifier->key, m, claims);
    return sg_judge(policy, now_sec, claims);
}
