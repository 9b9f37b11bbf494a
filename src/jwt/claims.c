/* SPDX-License-Identifier: MIT */
#include "jwt/claims.h"

#include "jwt/json_scan.h"
#include "jwt/status.h"

#include <stdlib.h>

#define YEAR_9999 INT64_C(253402300799)

enum form {
    TEXT,   /* a string */
    NUMBER, /* an integer from 0 to most */
    NAMES,  /* an array of strings */
    AUD,    /* a string or an array of strings */
};

/* Every claim this library knows, in the order written; read and write share the table. */
static const struct field {
    const char *name;
    uint8_t name_len;
    enum form form;
    bool required;
    size_t at;    /* in struct segue_claims */
    size_t count; /* NAMES, AUD: of the number beside it */
    size_t room;  /* NAMES, AUD: in struct sg_claims_room */
    int64_t most; /* NUMBER: largest value; NAMES, AUD: most entries */
} fields[] = {
#define NAME(text) text, sizeof(text) - 1
#define AT(member) offsetof(struct segue_claims, member)
#define ROOM(member) offsetof(struct sg_claims_room, member)
    {NAME("iss"), TEXT, true, AT(iss), 0, 0, 0},
    {NAME("sub"), TEXT, true, AT(sub), 0, 0, 0},
    {NAME("aud"), AUD, true, AT(aud), AT(n_aud), ROOM(aud), SEGUE_AUD_MAX},
    {NAME("client_id"), TEXT, true, AT(client_id), 0, 0, 0},
    {NAME("iat"), NUMBER, true, AT(iat), 0, 0, YEAR_9999},
    {NAME("exp"), NUMBER, true, AT(exp), 0, 0, YEAR_9999},
    {NAME("nbf"), NUMBER, false, AT(nbf), 0, 0, YEAR_9999},
    {NAME("jti"), TEXT, true, AT(jti), 0, 0, 0},
    {NAME("sid"), TEXT, false, AT(sid), 0, 0, 0},
    {NAME("scope"), TEXT, false, AT(scope), 0, 0, 0},
    {NAME("roles"), NAMES, false, AT(roles), AT(n_roles), ROOM(roles), SEGUE_NAMES_MAX},
    {NAME("permissions"), NAMES, false, AT(permissions), AT(n_permissions), ROOM(permissions),
     SEGUE_NAMES_MAX},
    {NAME("bkt"), NUMBER, false, AT(bkt), 0, 0, 4095},
    {NAME("sv"), NUMBER, false, AT(sv), 0, 0, INT32_MAX},
    {NAME("rv"), NUMBER, false, AT(rv), 0, 0, INT64_MAX},
    {NAME("re"), NUMBER, false, AT(re), 0, 0, INT32_MAX},
    {NAME("lh"), TEXT, false, AT(lh), 0, 0, 0},
#undef NAME
#undef AT
#undef ROOM
};

#define N_FIELDS (sizeof fields / sizeof fields[0])

static const void *
member(const struct segue_claims *c, size_t at)
{
    return (const char *)c + at;
}

static void *
member_out(struct segue_claims *c, size_t at)
{
    return (char *)c + at;
}

/* The field of that name, N_FIELDS if there is none. Issuers write claims in an order: looking
 * begins at the one that most likely follows. */
static size_t
find(const struct sg_json_string *name, size_t first)
{
    size_t i, k;

    for (k = 0; k < N_FIELDS; k++) {
        i = first + k < N_FIELDS ? first + k : first + k - N_FIELDS;
        if (name->escaped ? sg_json_is(name, fields[i].name)
                          : name->raw.len == fields[i].name_len &&
                                memcmp(name->raw.ptr, fields[i].name, name->raw.len) == 0)
            return i;
    }
    return N_FIELDS;
}

/* ---- reading ---- */

struct reader {
    struct sg_json j;
    char *json; /* the same bytes as j reads, to be unescaped in place */
    struct sg_claims_room *room;
    struct segue_claims *out;
    size_t next;   /* the field expected next */
    uint32_t seen; /* a bit for each field */
    /* Names of further claims: unescaped last, as they are compared with later ones until then. */
    struct sg_json_string extra_names[SEGUE_EXTRA_MAX];
};
_Static_assert(N_FIELDS <= 32, "a bit for each field");

static struct segue_slice
unescape(struct reader *r, const struct sg_json_string *s)
{
    char *at = r->json + (s->raw.ptr - r->json);

    return (struct segue_slice){at, s->escaped ? sg_json_unescape(s, at) : s->raw.len};
}

static bool
read_text(struct reader *r, struct segue_slice *out)
{
    struct sg_json_string s;

    if (!sg_json_string(&r->j, &s))
        return false;
    *out = unescape(r, &s);
    return true;
}

static bool
read_names(struct reader *r, const struct field *f, enum segue_status *status)
{
    struct segue_slice *list = (struct segue_slice *)((char *)r->room + f->room);
    struct sg_json_level level;
    size_t n = 0;

    if (f->form == AUD && sg_json_peek(&r->j) == SG_JSON_STRING) {
        if (!read_text(r, &list[n++]))
            return false;
    } else {
        if (!sg_json_enter_array(&r->j, &level))
            return false;
        while (sg_json_item(&r->j, &level)) {
            if (n == (size_t)f->most) {
                *status = SEGUE_TOO_LARGE;
                return false;
            }
            if (!read_text(r, &list[n++]))
                return false;
        }
        if (sg_json_failed(&r->j) != SG_JSON_FINE)
            return false;
    }
    *(const struct segue_slice **)member_out(r->out, f->at) = list;
    *(size_t *)member_out(r->out, f->count) = n;
    return true;
}

static bool
read_field(struct reader *r, const struct field *f, enum segue_status *status)
{
    int64_t v;

    switch (f->form) {
    case TEXT:
        return read_text(r, member_out(r->out, f->at));
    case NUMBER:
        if (!sg_json_int(&r->j, &v) || v < 0 || v > f->most)
            return false;
        *(int64_t *)member_out(r->out, f->at) = v;
        return true;
    case NAMES:
    case AUD:
        return read_names(r, f, status);
    }
    return false;
}

/* A claim of no field: kept as what it is. An integer that does not fit stays text. */
static bool
read_extra(struct reader *r, const struct sg_json_string *name, enum segue_status *status)
{
    struct segue_extra *e = &r->room->extra[r->out->n_extra];
    struct sg_slice raw;
    struct sg_json one;

    if (r->out->n_extra == SEGUE_EXTRA_MAX) {
        *status = SEGUE_TOO_LARGE;
        return false;
    }
    *e = (struct segue_extra){.kind = SEGUE_JSON};
    if (sg_json_peek(&r->j) == SG_JSON_STRING) {
        e->kind = SEGUE_STRING;
        if (!read_text(r, &e->text))
            return false;
    } else {
        if (!sg_json_skip(&r->j, &raw))
            return false;
        e->text = (struct segue_slice){raw.ptr, raw.len};
        sg_json_init(&one, raw);
        if (sg_json_peek(&one) == SG_JSON_NUMBER && sg_json_int(&one, &e->number))
            e->kind = SEGUE_INT;
    }
    r->extra_names[r->out->n_extra++] = *name;
    return true;
}

static bool
read_claim(struct reader *r, const struct sg_json_level *level, const struct sg_json_string *name,
           enum segue_status *status)
{
    size_t i = find(name, r->next);

    if (i == N_FIELDS)
        return sg_json_name_is_new(&r->j, level, name) && read_extra(r, name, status);
    if ((r->seen >> i & 1) != 0)
        return false;
    r->seen |= UINT32_C(1) << i;
    r->next = i + 1;
    return read_field(r, &fields[i], status);
}

static enum segue_status
check_required(const struct segue_claims *c)
{
    size_t i;

    for (i = 0; i < N_FIELDS; i++) {
        const struct field *f = &fields[i];
        bool there = f->form == TEXT     ? ((const struct segue_slice *)member(c, f->at))->len != 0
                     : f->form == NUMBER ? *(const int64_t *)member(c, f->at) >= 0
                                         : *(const size_t *)member(c, f->count) != 0;

        if (f->required && !there)
            return SEGUE_MISSING_CLAIM;
    }
    return SEGUE_OK;
}

enum segue_status
sg_claims_parse(char *json, size_t len, struct sg_claims_room *room, struct segue_claims *out)
{
    enum segue_status status = SEGUE_MALFORMED;
    struct reader r;
    struct sg_json_level level;
    struct sg_json_string name;
    bool good;
    size_t i;

    *out = (struct segue_claims)SEGUE_CLAIMS_INIT;
    r.json = json;
    r.room = room;
    r.out = out;
    r.next = 0;
    r.seen = 0;
    sg_json_init(&r.j, sg_slice(json, len));
    good = sg_json_enter_object(&r.j, &level);
    while (good && sg_json_name(&r.j, &level, &name))
        good = read_claim(&r, &level, &name, &status);
    if (!good || !sg_json_end(&r.j))
        return sg_json_failed(&r.j) == SG_JSON_TOO_BIG ? SEGUE_TOO_LARGE : status;
    for (i = 0; i < out->n_extra; i++)
        room->extra[i].name = unescape(&r, &r.extra_names[i]);
    out->extra = room->extra;
    return check_required(out);
}

/* ---- writing ---- */

static bool
add_text(struct sg_buf *b, struct segue_slice s)
{
    return sg_json_add_string(b, sg_slice(s.ptr, s.len));
}

static bool
add_names(struct sg_buf *b, const struct segue_slice *list, size_t n)
{
    size_t i;

    sg_buf_puts(b, "[");
    for (i = 0; i < n; i++) {
        if (i > 0)
            sg_buf_puts(b, ",");
        if (!add_text(b, list[i]))
            return false;
    }
    sg_buf_puts(b, "]");
    return true;
}

static enum segue_status
write_field(const struct segue_claims *c, const struct field *f, struct sg_buf *b,
            struct segue_error *err)
{
    const struct segue_slice *text = member(c, f->at);
    const int64_t *number = member(c, f->at);
    const struct segue_slice *const *list = member(c, f->at);
    const size_t *n = member(c, f->count);
    bool listed = f->form == NAMES || f->form == AUD;
    bool absent = f->form == TEXT     ? text->ptr == NULL || (f->required && text->len == 0)
                  : f->form == NUMBER ? *number == SEGUE_ABSENT
                                      : *n == 0;

    if (absent)
        return f->required
                   ? sg_jwt_fail(err, SEGUE_MISSING_CLAIM, "claim '%s' is required", f->name)
                   : SEGUE_OK;
    if (f->form == NUMBER && (*number < 0 || *number > f->most))
        return sg_jwt_fail(err, SEGUE_INVALID, "claim '%s' must be from 0 to %lld", f->name,
                           (long long)f->most);
    if (listed && *n > (size_t)f->most)
        return sg_jwt_fail(err, SEGUE_TOO_LARGE, "claim '%s' has more than %lld entries", f->name,
                           (long long)f->most);
    sg_buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", f->name);
    if (f->form == NUMBER)
        sg_buf_printf(b, "%lld", (long long)*number);
    else if (f->form == TEXT             ? !add_text(b, *text)
             : f->form == AUD && *n == 1 ? !add_text(b, (*list)[0])
                                         : !add_names(b, *list, *n))
        return sg_jwt_fail(err, SEGUE_INVALID, "claim '%s' must be UTF-8 without NUL", f->name);
    return SEGUE_OK;
}

static enum segue_status
write_extra(const struct segue_extra *e, struct sg_buf *b, struct segue_error *err)
{
    struct sg_json_string name = {sg_slice(e->name.ptr, e->name.len), false};
    struct sg_json j;

    if (e->name.len == 0 || find(&name, 0) < N_FIELDS)
        return sg_jwt_fail(err, SEGUE_INVALID, "a further claim is named '%.*s': that name is %s",
                           (int)e->name.len, e->name.ptr != NULL ? e->name.ptr : "",
                           e->name.len == 0 ? "empty" : "a member of its own");
    sg_buf_puts(b, ",");
    if (!add_text(b, e->name))
        return sg_jwt_fail(err, SEGUE_INVALID, "a further claim's name must be UTF-8 without NUL");
    sg_buf_puts(b, ":");
    if (e->kind == SEGUE_INT) {
        sg_buf_printf(b, "%lld", (long long)e->number);
    } else if (e->kind == SEGUE_STRING) {
        if (!add_text(b, e->text))
            return sg_jwt_fail(err, SEGUE_INVALID, "claim '%.*s' must be UTF-8 without NUL",
                               (int)e->name.len, e->name.ptr);
    } else {
        sg_json_init(&j, sg_slice(e->text.ptr, e->text.len));
        if (!sg_json_skip(&j, NULL) || !sg_json_end(&j))
            return sg_jwt_fail(err, SEGUE_INVALID, "claim '%.*s' must be one strict JSON value",
                               (int)e->name.len, e->name.ptr);
        sg_buf_add(b, sg_slice(e->text.ptr, e->text.len));
    }
    return SEGUE_OK;
}

/* A token that our own verifier refuses must never leave: the text is read back. It finds what the
 * writer does not look for: a name that comes twice, nesting too deep beneath the object. */
static enum segue_status
read_back(const struct sg_buf *b, struct segue_error *err)
{
    struct sg_claims_room *room = malloc(sizeof *room);
    char *copy = malloc(b->len + 1);
    enum segue_status status = SEGUE_INTERNAL;
    struct segue_claims again;

    if (room != NULL && copy != NULL) {
        memcpy(copy, b->ptr, b->len + 1);
        status = sg_claims_parse(copy, b->len, room, &again);
    }
    free(copy);
    free(room);
    if (status == SEGUE_OK || status == SEGUE_INTERNAL)
        return status;
    return sg_jwt_fail(err, status == SEGUE_TOO_LARGE ? status : SEGUE_INVALID,
                       "the further claims repeat a name or nest too deep");
}

enum segue_status
sg_claims_write(const struct segue_claims *c, struct sg_buf *out, struct segue_error *err)
{
    enum segue_status status;
    size_t i;

    if (c->n_extra > SEGUE_EXTRA_MAX)
        return sg_jwt_fail(err, SEGUE_TOO_LARGE, "more than %d further claims", SEGUE_EXTRA_MAX);
    sg_buf_puts(out, "{");
    for (i = 0; i < N_FIELDS; i++)
        if ((status = write_field(c, &fields[i], out, err)) != SEGUE_OK)
            return status;
    for (i = 0; i < c->n_extra; i++)
        if ((status = write_extra(&c->extra[i], out, err)) != SEGUE_OK)
            return status;
    sg_buf_puts(out, "}");
    if (c->exp <= c->iat)
        return sg_jwt_fail(err, SEGUE_INVALID, "claim 'exp' must be later than 'iat'");
    if (out->failed)
        return sg_jwt_fail(err, SEGUE_TOO_LARGE, "the claims are larger than %zu bytes",
                           out->max_bytes);
    return read_back(out, err);
}
