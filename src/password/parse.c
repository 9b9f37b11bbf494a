/* SPDX-License-Identifier: MIT */
#include "password/password.h"

#include <sodium.h>
#include <stdio.h>

static const char place[] = "password hash";
static const char crypt_alphabet[] =
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* The text, read from the left. at never passes whole.len. */
struct reader {
    struct sg_slice whole; /* without what Django puts before it */
    size_t at;
    struct sg_password_hash *out;
    char *decoy; /* where whole begins in out->decoy */
    struct sg_err *err;
};

static int
bad(const struct reader *r, const char *what)
{
    return sg_fail(r->err, SG_E_INVALID, place, "%s", what);
}

static int
too_much(const struct reader *r, const char *what)
{
    return sg_fail(r->err, SG_E_LIMIT, place, "%s", what);
}

static bool
skip(struct reader *r, const char *text)
{
    size_t n = strlen(text);

    if (r->whole.len - r->at < n || memcmp(r->whole.ptr + r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* Up to the delimiter, which is passed over; with '\0' up to the end. */
static bool
field(struct reader *r, char end, struct sg_slice *out)
{
    const char *from = r->whole.ptr + r->at;
    size_t left = r->whole.len - r->at;
    const char *to = end != '\0' ? memchr(from, end, left) : from + left;

    if (to == NULL)
        return false;
    *out = sg_slice(from, (size_t)(to - from));
    r->at += out->len + (end != '\0');
    return true;
}

/* Decimal without sign or leading zero, at most 2^31 - 1. */
static bool
number(struct sg_slice s, int64_t *out)
{
    int64_t n = 0;
    size_t i;

    if (s.len == 0 || s.len > 10 || (s.len > 1 && s.ptr[0] == '0'))
        return false;
    for (i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        n = n * 10 + (s.ptr[i] - '0');
    }
    if (n > INT32_MAX)
        return false;
    *out = n;
    return true;
}

static bool
number_field(struct reader *r, char end, int64_t *out)
{
    struct sg_slice s;

    return field(r, end, &s) && number(s, out);
}

static bool
is_of_crypt(struct sg_slice s)
{
    size_t i;

    for (i = 0; i < s.len; i++)
        if (s.ptr[i] == '\0' || strchr(crypt_alphabet, s.ptr[i]) == NULL)
            return false;
    return true;
}

/* Blots a part of the text out in the decoy; padding stays. */
static void
blot(struct reader *r, struct sg_slice part, char with)
{
    char *to = r->decoy + (part.ptr - r->whole.ptr);
    size_t i;

    for (i = 0; i < part.len; i++)
        if (part.ptr[i] != '=')
            to[i] = with;
}

/* The text goes to crypt(3) as it is. */
static int
take_crypt(struct reader *r, struct sg_slice salt, struct sg_slice digest)
{
    r->out->kind = SG_PASSWORD_CRYPT;
    blot(r, salt, '.');
    blot(r, digest, '.');
    memcpy(r->out->text, r->whole.ptr, r->whole.len);
    r->out->text[r->whole.len] = '\0';
    return 0;
}

/* ---- bcrypt: $2b$10$ and 22 + 31 characters ---- */

static int
parse_bcrypt(struct reader *r)
{
    struct sg_slice rest;
    int cost;

    if (r->whole.len != 60 || r->whole.ptr[6] != '$' || r->whole.ptr[4] < '0' ||
        r->whole.ptr[4] > '3' || r->whole.ptr[5] < '0' || r->whole.ptr[5] > '9')
        return bad(r, "expected $2b$ and two digits and 53 characters");
    cost = (r->whole.ptr[4] - '0') * 10 + (r->whole.ptr[5] - '0');
    rest = sg_slice(r->whole.ptr + 7, 53);
    if (cost < 4 || !is_of_crypt(rest))
        return bad(r, "not a bcrypt hash");
    if (cost > SG_PASSWORD_BCRYPT_COST_MAX)
        return too_much(r, "bcrypt with a cost above 14");
    return take_crypt(r, sg_slice(rest.ptr, 22), sg_slice(rest.ptr + 22, 31));
}

/* ---- SHA-crypt: $5$rounds=N$salt$digest ---- */

static int
parse_sha_crypt(struct reader *r, size_t digest_len)
{
    struct sg_slice salt, digest;
    int64_t rounds = 5000;

    if (skip(r, "rounds=") && !number_field(r, '$', &rounds))
        return bad(r, "expected rounds=NUMBER$");
    if (!field(r, '$', &salt) || !field(r, '\0', &digest) || salt.len > 16 || !is_of_crypt(salt) ||
        digest.len != digest_len || !is_of_crypt(digest) || rounds < 1000)
        return bad(r, "not a SHA-crypt hash");
    if (rounds > SG_PASSWORD_SHA_ROUNDS_MAX)
        return too_much(r, "SHA-crypt with more than 1,000,000 rounds");
    return take_crypt(r, salt, digest);
}

/* ---- scrypt and yescrypt ---- */

static int
check_scrypt_cost(const struct reader *r, int64_t n, int64_t block, int64_t p, int64_t t)
{
    if (n < 2 || (n & (n - 1)) != 0 || block < 1 || p < 1)
        return bad(r, "not parameters of scrypt");
    if (n > SG_PASSWORD_MEMORY_MAX || block > SG_PASSWORD_MEMORY_MAX ||
        p > SG_PASSWORD_MEMORY_MAX || t > 16 || block * p > SG_PASSWORD_MEMORY_MAX / 128 ||
        n > SG_PASSWORD_MEMORY_MAX / 128 / block ||
        n * block > SG_PASSWORD_WRITTEN_MAX / 128 / p / (t + 1))
        return too_much(r, "scrypt or yescrypt with more than 128 MiB, or 1 GiB written");
    return 0;
}

/* Value of a character of crypt(3)'s base64; -1 = none. */
static int
crypt_value(char c)
{
    const char *found = c != '\0' ? strchr(crypt_alphabet, c) : NULL;

    return found != NULL ? (int)(found - crypt_alphabet) : -1;
}

/* yescrypt's numbers of variable length (decode64_uint32 in libxcrypt's alg-yescrypt-common.c). */
static bool
yescrypt_number(struct reader *r, int64_t least, int64_t *out)
{
    int64_t start = 0, end = 47, value = least;
    int chars = 1, bits = 0, c;

    if (r->at >= r->whole.len || (c = crypt_value(r->whole.ptr[r->at++])) < 0)
        return false;
    while (c > end) {
        value += (end + 1 - start) << bits;
        start = end + 1;
        end = start + (62 - end) / 2;
        chars++;
        bits += 6;
        if (chars > 4) /* no parameter within the bounds is as long */
            return false;
    }
    value += (int64_t)(c - start) << bits;
    while (--chars > 0) {
        if (r->at >= r->whole.len || (c = crypt_value(r->whole.ptr[r->at++])) < 0)
            return false;
        bits -= 6;
        value += (int64_t)c << bits;
    }
    *out = value;
    return true;
}

/* $y$ flavor, log2 N, r, and where a set of bits says so p and t; $salt$digest. */
static int
parse_yescrypt(struct reader *r)
{
    int64_t flavor, log2n, block, have = 0, p = 1, t = 0;
    struct sg_slice salt, digest;

    if (!yescrypt_number(r, 0, &flavor) || !yescrypt_number(r, 1, &log2n) ||
        !yescrypt_number(r, 1, &block) || log2n > 62)
        return bad(r, "not parameters of yescrypt");
    if (!skip(r, "$") && (!yescrypt_number(r, 1, &have) || have > 3 ||
                          ((have & 1) != 0 && !yescrypt_number(r, 2, &p)) ||
                          ((have & 2) != 0 && !yescrypt_number(r, 1, &t)) || !skip(r, "$")))
        return bad(r, "not parameters of yescrypt");
    if (!field(r, '$', &salt) || !field(r, '\0', &digest) || salt.len > 86 || !is_of_crypt(salt) ||
        digest.len != 43 || !is_of_crypt(digest))
        return bad(r, "not a yescrypt hash");
    if (check_scrypt_cost(r, INT64_C(1) << log2n, block, p, t) != 0)
        return -1;
    return take_crypt(r, salt, digest);
}

static bool
crypt_number(struct reader *r, int chars, int64_t *out)
{
    int64_t value = 0;
    int i, c;

    for (i = 0; i < chars; i++) {
        if (r->at >= r->whole.len || (c = crypt_value(r->whole.ptr[r->at++])) < 0)
            return false;
        value |= (int64_t)c << (6 * i);
    }
    *out = value;
    return true;
}

/* $7$ log2 N in one character, r and p in five each, salt$digest */
static int
parse_crypt_scrypt(struct reader *r)
{
    int64_t log2n, block, p;
    struct sg_slice salt, digest;

    if (!crypt_number(r, 1, &log2n) || log2n > 62 || !crypt_number(r, 5, &block) ||
        !crypt_number(r, 5, &p) || !field(r, '$', &salt) || !field(r, '\0', &digest) ||
        !is_of_crypt(salt) || digest.len != 43 || !is_of_crypt(digest))
        return bad(r, "not a scrypt hash of crypt(3)");
    if (check_scrypt_cost(r, INT64_C(1) << log2n, block, p, 0) != 0)
        return -1;
    return take_crypt(r, salt, digest);
}

/* ---- base64 as the others write it ---- */

static int
decode(struct sg_slice text, int variant, uint8_t *out, size_t cap, size_t *len)
{
    char standard[SG_PASSWORD_HASH_MAX + 1];
    size_t i;

    for (i = 0; i < text.len; i++)
        standard[i] = text.ptr[i] == '.' ? '+' : text.ptr[i]; /* passlib's alphabet */
    return sodium_base642bin(out, cap, standard, text.len, NULL, len, NULL, variant);
}

/* Salt and digest into out, and out of the decoy. salt_variant -1: the salt is its own text. */
static int
take_derived(struct reader *r, enum sg_password_kind kind, struct sg_slice salt, int salt_variant,
             struct sg_slice digest, int digest_variant)
{
    struct sg_password_hash *out = r->out;
    size_t n = 0;

    out->kind = kind;
    out->salt_len = salt.len;
    if (salt_variant < 0
            ? salt.len > sizeof out->salt
            : decode(salt, salt_variant, out->salt, sizeof out->salt, &out->salt_len) != 0)
        return bad(r, "the salt is not base64, or too long");
    if (salt_variant < 0)
        memcpy(out->salt, salt.ptr, salt.len);
    if (digest_variant < 0
            ? sodium_hex2bin(out->digest, sizeof out->digest, digest.ptr, digest.len, NULL, &n,
                             NULL) != 0 ||
                  n * 2 != digest.len
            : decode(digest, digest_variant, out->digest, sizeof out->digest, &n) != 0)
        return bad(r, "the digest cannot be decoded, or is too long");
    if (n < 16)
        return bad(r, "a digest below 16 bytes");
    out->digest_len = n;
    blot(r, salt, 'A');
    blot(r, digest, digest_variant < 0 ? '0' : 'A');
    return 0;
}

static int
take_scrypt(struct reader *r, int64_t n, int64_t block, int64_t p)
{
    r->out->n = n;
    r->out->r = block;
    r->out->p = p;
    return check_scrypt_cost(r, n, block, p, 0);
}

/* passlib: $scrypt$ln=16,r=8,p=1$salt$digest */
static int
parse_passlib_scrypt(struct reader *r)
{
    const int variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
    int64_t log2n, block, p;
    struct sg_slice salt, digest;

    if (!skip(r, "ln=") || !number_field(r, ',', &log2n) || log2n > 62 || !skip(r, "r=") ||
        !number_field(r, ',', &block) || !skip(r, "p=") || !number_field(r, '$', &p) ||
        !field(r, '$', &salt) || !field(r, '\0', &digest))
        return bad(r, "expected $scrypt$ln=N,r=N,p=N$salt$digest");
    if (take_scrypt(r, INT64_C(1) << log2n, block, p) != 0)
        return -1;
    return take_derived(r, SG_PASSWORD_SCRYPT, salt, variant, digest, variant);
}

/* Django: scrypt$N$salt$r$p$digest */
static int
parse_django_scrypt(struct reader *r)
{
    int64_t n, block, p;
    struct sg_slice salt, digest;

    if (!number_field(r, '$', &n) || !field(r, '$', &salt) || !number_field(r, '$', &block) ||
        !number_field(r, '$', &p) || !field(r, '\0', &digest))
        return bad(r, "expected scrypt$N$salt$r$p$digest");
    if (take_scrypt(r, n, block, p) != 0)
        return -1;
    return take_derived(r, SG_PASSWORD_SCRYPT, salt, -1, digest, sodium_base64_VARIANT_ORIGINAL);
}

/* Werkzeug: scrypt:N:r:p$salt$hex */
static int
parse_werkzeug_scrypt(struct reader *r)
{
    int64_t n, block, p;
    struct sg_slice salt, digest;

    if (!number_field(r, ':', &n) || !number_field(r, ':', &block) || !number_field(r, '$', &p) ||
        !field(r, '$', &salt) || !field(r, '\0', &digest))
        return bad(r, "expected scrypt:N:r:p$salt$digest");
    if (take_scrypt(r, n, block, p) != 0)
        return -1;
    return take_derived(r, SG_PASSWORD_SCRYPT, salt, -1, digest, -1);
}

/* ---- PBKDF2: iterations$salt$digest ---- */

static int
parse_pbkdf2(struct reader *r, const char *digest_name, int salt_variant, int digest_variant)
{
    struct sg_slice salt, digest;

    if (!number_field(r, '$', &r->out->n) || r->out->n < 1 || !field(r, '$', &salt) ||
        !field(r, '\0', &digest))
        return bad(r, "expected PBKDF2's iterations, salt and digest");
    if (r->out->n > SG_PASSWORD_PBKDF2_ITERATIONS_MAX)
        return too_much(r, "PBKDF2 with more than 5,000,000 iterations");
    r->out->digest_name = digest_name;
    return take_derived(r, SG_PASSWORD_PBKDF2, salt, salt_variant, digest, digest_variant);
}

static int
parse_django_pbkdf2(struct reader *r, const char *digest_name)
{
    return parse_pbkdf2(r, digest_name, -1, sodium_base64_VARIANT_ORIGINAL);
}

static int
parse_passlib_pbkdf2(struct reader *r, const char *digest_name)
{
    const int variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;

    return parse_pbkdf2(r, digest_name, variant, variant);
}

/* ---- Argon2: $argon2id$v=19$m=65536,t=3,p=4$salt$digest ---- */

/* npm's argon2 writes m, p, t; the reference m, t, p. */
static bool
argon2_parameters(struct sg_slice list, int64_t *m, int64_t *t, int64_t *p)
{
    int64_t *const into[] = {m, t, p};
    static const char names[] = "mtp";
    int i;

    for (i = 0; i < 3; i++) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t n = comma != NULL ? (size_t)(comma - list.ptr) : list.len;
        const char *name = n > 2 && list.ptr[0] != '\0' ? strchr(names, list.ptr[0]) : NULL;

        if (name == NULL || list.ptr[1] != '=' || *into[name - names] != 0 ||
            !number(sg_slice(list.ptr + 2, n - 2), into[name - names]) ||
            (comma == NULL) != (i == 2))
            return false;
        if (comma != NULL)
            list = sg_slice(comma + 1, list.len - n - 1);
    }
    return *m > 0 && *t > 0 && *p > 0;
}

static int
parse_argon2(struct reader *r, const char *name)
{
    const int variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
    struct sg_slice parameters, salt, digest;
    struct sg_password_hash *out = r->out;
    int64_t m = 0, t = 0, p = 0;
    uint8_t bytes[128];
    size_t n;

    if (!skip(r, "v=19$"))
        return bad(r, "Argon2 of another version than 19");
    if (!field(r, '$', &parameters) || !argon2_parameters(parameters, &m, &t, &p) ||
        !field(r, '$', &salt) || !field(r, '\0', &digest))
        return bad(r, "expected m=N,t=N,p=N$salt$digest");
    if (sodium_base642bin(bytes, sizeof bytes, salt.ptr, salt.len, NULL, &n, NULL, variant) != 0 ||
        n < 8 ||
        sodium_base642bin(bytes, sizeof bytes, digest.ptr, digest.len, NULL, &n, NULL, variant) !=
            0 ||
        n < 16 || m < 8 * p)
        return bad(r, "not an Argon2 hash");
    if (m > SG_PASSWORD_MEMORY_MAX / 1024 || t > SG_PASSWORD_WRITTEN_MAX / 1024 / m)
        return too_much(r, "Argon2 with more than 128 MiB, or 1 GiB written");
    out->kind = SG_PASSWORD_ARGON2;
    snprintf(out->text, sizeof out->text, "$%s$v=19$m=%d,t=%d,p=%d$%.*s$%.*s", name, (int)m, (int)t,
             (int)p, (int)salt.len, salt.ptr, (int)digest.len, digest.ptr);
    blot(r, salt, 'A');
    blot(r, digest, 'A');
    return 0;
}

/* ---- which it is ---- */

static int
parse_known(struct reader *r)
{
    if (skip(r, "$2a$") || skip(r, "$2b$") || skip(r, "$2y$"))
        return parse_bcrypt(r);
    if (skip(r, "$argon2id$"))
        return parse_argon2(r, "argon2id");
    if (skip(r, "$argon2i$"))
        return parse_argon2(r, "argon2i");
    if (skip(r, "$y$"))
        return parse_yescrypt(r);
    if (skip(r, "$7$"))
        return parse_crypt_scrypt(r);
    if (skip(r, "$5$"))
        return parse_sha_crypt(r, 43);
    if (skip(r, "$6$"))
        return parse_sha_crypt(r, 86);
    if (skip(r, "$scrypt$"))
        return parse_passlib_scrypt(r);
    if (skip(r, "scrypt$"))
        return parse_django_scrypt(r);
    if (skip(r, "scrypt:"))
        return parse_werkzeug_scrypt(r);
    if (skip(r, "pbkdf2_sha256$"))
        return parse_django_pbkdf2(r, "SHA256");
    if (skip(r, "pbkdf2_sha1$"))
        return parse_django_pbkdf2(r, "SHA1");
    if (skip(r, "$pbkdf2-sha256$"))
        return parse_passlib_pbkdf2(r, "SHA256");
    if (skip(r, "$pbkdf2-sha512$"))
        return parse_passlib_pbkdf2(r, "SHA512");
    if (skip(r, "$pbkdf2$"))
        return parse_passlib_pbkdf2(r, "SHA1");
    if (skip(r, "pbkdf2:sha256:"))
        return parse_pbkdf2(r, "SHA256", -1, -1);
    return bad(r, "of no form that is known here");
}

int
sg_password_parse(struct sg_slice text, struct sg_password_hash *out, struct sg_err *err)
{
    static const char *const django[] = {"argon2$", "bcrypt_sha256$", "bcrypt$"};
    struct sg_password_hash hash = {0};
    struct reader r = {.out = &hash, .err = err};
    size_t skipped = 0, i;

    if (text.len == 0 || text.len > SG_PASSWORD_HASH_MAX || memchr(text.ptr, '\0', text.len))
        return sg_fail(err, SG_E_INVALID, place, "expected 1 to %d bytes without NUL",
                       SG_PASSWORD_HASH_MAX);
    memcpy(hash.decoy, text.ptr, text.len);
    for (i = 0; i < sizeof django / sizeof django[0]; i++) {
        size_t n = strlen(django[i]);

        if (text.len <= n || memcmp(text.ptr, django[i], n) != 0)
            continue;
        hash.sha256_first = i == 1;
        /* Django wrote the library's own text after its prefix, for Argon2 without the first '$' */
        skipped = i == 0 ? n - 1 : n;
        break;
    }
    r.decoy = hash.decoy + skipped;
    r.whole = sg_slice(text.ptr + skipped, text.len - skipped);
    if (parse_known(&r) != 0)
        return -1;
    if (skipped > 0 && (i == 0 ? hash.kind != SG_PASSWORD_ARGON2
                               : hash.kind != SG_PASSWORD_CRYPT || hash.text[1] != '2'))
        return bad(&r, "another form than its prefix says");
    *out = hash;
    return 0;
}
