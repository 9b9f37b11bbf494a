/* SPDX-License-Identifier: MIT */
#include "keys/keyring.h"

#include "base/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_BYTES (64 * 1024)

bool
sg_ring_id_ok(const char *id, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (!((id[i] >= 'a' && id[i] <= 'z') || (id[i] >= '0' && id[i] <= '9') ||
              (id[i] != '\0' && strchr("-_.", id[i]) != NULL)))
            return false;
    return len >= 1 && len <= SG_SEAL_ID_MAX;
}

const struct sg_ring_key *
sg_ring_find(const struct sg_keyring *ring, const char *id)
{
    int i;

    for (i = 0; i < ring->n; i++)
        if (strcmp(ring->keys[i].id, id) == 0)
            return &ring->keys[i];
    return NULL;
}

/* ---- reading ---- */

static bool
read_key(struct sg_slice text, struct sg_hash *out)
{
    return sg_unhex(text, out->b, sizeof out->b) == 0 ||
           (text.len == 43 && sg_b64url_decode(text, out->b, sizeof out->b) == SG_HASH_BYTES);
}

static struct sg_slice
trim(struct sg_slice s)
{
    while (s.len != 0 && strchr(" \t\r", s.ptr[0]) != NULL && s.ptr[0] != '\0')
        s = sg_slice(s.ptr + 1, s.len - 1);
    while (s.len != 0 && strchr(" \t\r", s.ptr[s.len - 1]) != NULL && s.ptr[s.len - 1] != '\0')
        s.len--;
    return s;
}

static int
read_line(struct sg_keyring *ring, const char *place, struct sg_slice line, struct sg_err *err)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    struct sg_slice id, text;
    struct sg_ring_key k = {0};
    int rc = 0;

    if (colon == NULL)
        return sg_fail(err, SG_E_INVALID, place, "expected <id>:<key> or root:<key>");
    id = trim(sg_slice(line.ptr, (size_t)(colon - line.ptr)));
    text = trim(sg_slice(colon + 1, line.len - (size_t)(colon - line.ptr) - 1));
    if (!sg_ring_id_ok(id.ptr, id.len))
        return sg_fail(err, SG_E_INVALID, place,
                       "a key's id is 1 to %d of a-z 0-9 - _ . before the ':'", SG_SEAL_ID_MAX);
    memcpy(k.id, id.ptr, id.len);
    if (!read_key(text, &k.key))
        rc = sg_fail(err, SG_E_INVALID, place,
                     "key '%s' must be 32 bytes: 64 hex digits or 43 base64url characters", k.id);
    else if (strcmp(k.id, "root") == 0 ? ring->has_root : sg_ring_find(ring, k.id) != NULL)
        rc = sg_fail(err, SG_E_INVALID, place, "key '%s' is there twice", k.id);
    else if (strcmp(k.id, "root") == 0) {
        ring->root = k.key;
        ring->has_root = true;
    } else if (ring->n == SG_RING_KEYS_MAX) {
        rc = sg_fail(err, SG_E_LIMIT, place, "more than %d sealing keys", SG_RING_KEYS_MAX);
    } else {
        ring->keys[ring->n++] = k;
    }
    sodium_memzero(&k, sizeof k);
    return rc;
}

static int
parse(struct sg_slice text, const char *ends, struct sg_keyring *ring, struct sg_err *err)
{
    char place[sizeof ring->place + 16];
    size_t at = 0, stop;
    int line = 0;

    while (at < text.len) {
        struct sg_slice one;

        for (stop = at;
             stop < text.len && (text.ptr[stop] == '\0' || strchr(ends, text.ptr[stop]) == NULL);
             stop++)
            ;
        line++;
        one = trim(sg_slice(text.ptr + at, stop - at));
        at = stop + 1;
        if (one.len == 0 || one.ptr[0] == '#')
            continue;
        snprintf(place, sizeof place, "%s:%d", ring->place, line);
        if (read_line(ring, place, one, err) != 0)
            return -1;
    }
    if (!ring->has_root || ring->n == 0)
        return sg_fail(err, SG_E_INVALID, ring->place, "the keyring has no %s",
                       !ring->has_root ? "root:<key> line" : "sealing key: <id>:<key>");
    return 0;
}

static int
ring_from_text(const char *name, struct sg_slice text, const char *ends, struct sg_keyring **out,
               struct sg_err *err)
{
    struct sg_keyring *ring = sodium_init() >= 0 ? calloc(1, sizeof *ring) : NULL;

    if (ring == NULL)
        return sg_fail(err, SG_E_INTERNAL, name, "out of memory");
    snprintf(ring->place, sizeof ring->place, "%s", name);
    if (parse(text, ends, ring, err) != 0) {
        sg_keyring_free(ring);
        return -1;
    }
    *out = ring;
    return 0;
}

static int
check_file(int fd, const char *path, struct sg_err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return sg_fail(err, SG_E_UNAVAILABLE, path, "could not look at the keyring: %s",
                       strerror(errno));
    if (!S_ISREG(st.st_mode))
        return sg_fail(err, SG_E_DENIED, path, "the keyring must be a regular file");
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return sg_fail(err, SG_E_DENIED, path,
                       "the keyring's mode is %04o: group and others must have no access; run "
                       "chmod 600 on it",
                       (unsigned)(st.st_mode & 07777));
    return 0;
}

static int
read_file(int fd, const char *path, char *text, size_t *len, struct sg_err *err)
{
    ssize_t n;

    *len = 0;
    while ((n = read(fd, text + *len, RING_BYTES + 1 - *len)) > 0)
        *len += (size_t)n;
    if (n < 0)
        return sg_fail(err, SG_E_UNAVAILABLE, path, "could not read the keyring: %s",
                       strerror(errno));
    if (*len > RING_BYTES)
        return sg_fail(err, SG_E_LIMIT, path, "the keyring is longer than %d bytes", RING_BYTES);
    return 0;
}

static int
load_file(const char *path, struct sg_keyring **out, struct sg_err *err)
{
    char *text = malloc(RING_BYTES + 1);
    size_t len;
    int fd, rc;

    if (text == NULL)
        return sg_fail(err, SG_E_INTERNAL, path, "out of memory");
    /* Not to hang on a named pipe put in its place. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        free(text);
        return sg_fail(err, errno == ENOENT ? SG_E_NOT_FOUND : SG_E_DENIED, path,
                       "could not open the keyring: %s", strerror(errno));
    }
    rc = check_file(fd, path, err);
    if (rc == 0)
        rc = read_file(fd, path, text, &len, err);
    if (rc == 0)
        rc = ring_from_text(path, sg_slice(text, len), "\n", out, err);
    close(fd);
    sodium_memzero(text, RING_BYTES + 1);
    free(text);
    return rc;
}

int
sg_keyring_from_env(const char *name, struct sg_keyring **out, struct sg_err *err)
{
    const char *text = getenv(name);
    char place[120];

    snprintf(place, sizeof place, "environment variable %s", name);
    if (text == NULL)
        return sg_fail(err, SG_E_NOT_FOUND, place, "is not set");
    if (strlen(text) > RING_BYTES)
        return sg_fail(err, SG_E_LIMIT, place, "the keyring is longer than %d bytes", RING_BYTES);
    return ring_from_text(place, sg_str(text), "\n,", out, err);
}

int
sg_keyring_load(const char *source, struct sg_keyring **out, struct sg_err *err)
{
    size_t n = strlen(source);
    char name[128];

    if (!sg_keyring_is_env(source))
        return load_file(source, out, err);
    snprintf(name, sizeof name, "%.*s", (int)(n - 3), source + 2);
    return sg_keyring_from_env(name, out, err);
}

bool
sg_keyring_is_env(const char *source)
{
    size_t n = strlen(source);

    return n > 3 && strncmp(source, "${", 2) == 0 && source[n - 1] == '}';
}

/* ---- writing ---- */

#define NEW_RING_BYTES 512

static size_t
new_ring_text(const char *id, char text[NEW_RING_BYTES])
{
    char hex[2][2 * SG_HASH_BYTES + 1];
    uint8_t key[SG_HASH_BYTES];
    int i, n;

    for (i = 0; i < 2; i++) {
        sg_random(key, sizeof key);
        sg_hex(key, sizeof key, hex[i]);
    }
    n = snprintf(text, NEW_RING_BYTES,
                 "# Segue keyring. root is never changed; the first other key seals, all open.\n"
                 "# Back it up apart from the database: neither is of use without the other.\n"
                 "root:%s\n%s:%s\n",
                 hex[0], id, hex[1]);
    sodium_memzero(key, sizeof key);
    sodium_memzero(hex, sizeof hex);
    return (size_t)n;
}

int
sg_keyring_create(const char *path, const char *id, struct sg_err *err)
{
    char text[NEW_RING_BYTES];
    int fd, cause = 0;
    size_t len;

    if (!sg_ring_id_ok(id, strlen(id)) || strcmp(id, "root") == 0)
        return sg_fail(err, SG_E_INVALID, path, "a sealing key's id is 1 to %d of a-z 0-9 - _ .",
                       SG_SEAL_ID_MAX);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return sg_fail(err, errno == EEXIST ? SG_E_CONFLICT : SG_E_DENIED, path,
                       "could not make the keyring: %s", strerror(errno));
    len = new_ring_text(id, text);
    errno = ENOSPC; /* what a short write means */
    if (write(fd, text, len) != (ssize_t)len || fsync(fd) != 0)
        cause = errno;
    sodium_memzero(text, sizeof text);
    if (close(fd) != 0 && cause == 0)
        cause = errno;
    if (cause == 0)
        return 0;
    unlink(path);
    return sg_fail(err, SG_E_UNAVAILABLE, path, "could not write the keyring: %s", strerror(cause));
}

void
sg_keyring_free(struct sg_keyring *ring)
{
    if (ring == NULL)
        return;
    sodium_memzero(ring, sizeof *ring);
    free(ring);
}

const char *
sg_keyring_sealing_id(const struct sg_keyring *ring)
{
    return ring->keys[0].id;
}

bool
sg_keyring_has(const struct sg_keyring *ring, const char *id)
{
    return sg_ring_find(ring, id) != NULL;
}
