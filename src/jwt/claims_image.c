/* SPDX-License-Identifier: MIT */
#include "jwt/claims_image.h"

#include <string.h>

/* A slice of the payload. Offset 0 is none: there stands the brace. */
struct span {
    uint16_t at, len;
};
_Static_assert(SEGUE_TOKEN_BYTES <= UINT16_MAX, "offsets into a payload");

struct extra_image {
    struct span name, text;
    int64_t number;
    enum segue_kind kind;
};

/* Followed by the extras, the spans of aud, roles and permissions, and the payload. */
struct image {
    int64_t iat, exp, nbf, bkt, sv, rv, re;
    struct span iss, sub, client_id, jti, sid, scope, lh;
    uint16_t n_aud, n_roles, n_permissions, n_extra;
    uint16_t payload_len;
    bool has_roles, has_permissions; /* an empty list is not none */
};

static size_t
spans(const struct segue_claims *c)
{
    return c->n_aud + c->n_roles + c->n_permissions;
}

size_t
sg_claims_image_bytes(const struct segue_claims *c, size_t payload_len)
{
    size_t n = sizeof(struct image) + c->n_extra * sizeof(struct extra_image) +
               spans(c) * sizeof(struct span) + payload_len;

    return (n + 7) / 8 * 8;
}

static struct span
pack(struct segue_slice s, const char *payload)
{
    if (s.ptr == NULL)
        return (struct span){0, 0};
    return (struct span){(uint16_t)(s.ptr - payload), (uint16_t)s.len};
}

static struct segue_slice
unpack(struct span s, const char *payload)
{
    return (struct segue_slice){s.at != 0 ? payload + s.at : NULL, s.len};
}

static struct span *
pack_list(const struct segue_slice *list, size_t n, const char *payload, struct span *out)
{
    size_t i;

    for (i = 0; i < n; i++)
        *out++ = pack(list[i], payload);
    return out;
}

static const struct span *
unpack_list(const struct span *in, size_t n, const char *payload, struct segue_slice *out)
{
    size_t i;

    for (i = 0; i < n; i++)
        out[i] = unpack(*in++, payload);
    return in;
}

void
sg_claims_image_write(const struct segue_claims *c, const char *payload, size_t payload_len,
                      void *out)
{
    struct image *m = out;
    struct extra_image *extra = (struct extra_image *)(m + 1);
    struct span *span = (struct span *)(extra + c->n_extra);
    size_t i;

    *m = (struct image){
        .iat = c->iat,
        .exp = c->exp,
        .nbf = c->nbf,
        .bkt = c->bkt,
        .sv = c->sv,
        .rv = c->rv,
        .re = c->re,
        .iss = pack(c->iss, payload),
        .sub = pack(c->sub, payload),
        .client_id = pack(c->client_id, payload),
        .jti = pack(c->jti, payload),
        .sid = pack(c->sid, payload),
        .scope = pack(c->scope, payload),
        .lh = pack(c->lh, payload),
        .n_aud = (uint16_t)c->n_aud,
        .n_roles = (uint16_t)c->n_roles,
        .n_permissions = (uint16_t)c->n_permissions,
        .n_extra = (uint16_t)c->n_extra,
        .payload_len = (uint16_t)payload_len,
        .has_roles = c->roles != NULL,
        .has_permissions = c->permissions != NULL,
    };
    for (i = 0; i < c->n_extra; i++)
        extra[i] =
            (struct extra_image){pack(c->extra[i].name, payload), pack(c->extra[i].text, payload),
                                 c->extra[i].number, c->extra[i].kind};
    span = pack_list(c->aud, c->n_aud, payload, span);
    span = pack_list(c->roles, c->n_roles, payload, span);
    span = pack_list(c->permissions, c->n_permissions, payload, span);
    memcpy(span, payload, payload_len);
}

void
sg_claims_image_read(const void *image, struct sg_claims_room *room, char *payload,
                     struct segue_claims *c)
{
    const struct image *m = image;
    const struct extra_image *extra = (const struct extra_image *)(m + 1);
    const struct span *span = (const struct span *)(extra + m->n_extra);
    size_t i;

    *c = (struct segue_claims){
        .iss = unpack(m->iss, payload),
        .sub = unpack(m->sub, payload),
        .client_id = unpack(m->client_id, payload),
        .jti = unpack(m->jti, payload),
        .sid = unpack(m->sid, payload),
        .scope = unpack(m->scope, payload),
        .lh = unpack(m->lh, payload),
        .aud = room->aud,
        .n_aud = m->n_aud,
        .iat = m->iat,
        .exp = m->exp,
        .nbf = m->nbf,
        .bkt = m->bkt,
        .sv = m->sv,
        .rv = m->rv,
        .re = m->re,
        .roles = m->has_roles ? room->roles : NULL,
        .n_roles = m->n_roles,
        .permissions = m->has_permissions ? room->permissions : NULL,
        .n_permissions = m->n_permissions,
        .extra = room->extra,
        .n_extra = m->n_extra,
    };
    for (i = 0; i < m->n_extra; i++)
        room->extra[i] = (struct segue_extra){unpack(extra[i].name, payload), extra[i].kind,
                                              unpack(extra[i].text, payload), extra[i].number};
    span = unpack_list(span, m->n_aud, payload, room->aud);
    span = unpack_list(span, m->n_roles, payload, room->roles);
    span = unpack_list(span, m->n_permissions, payload, room->permissions);
    memcpy(payload, span, m->payload_len);
}
