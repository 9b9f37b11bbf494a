/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_SLICE_H
#define SG_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Bytes that somebody else owns. ptr may be NULL only where len is 0. */
struct sg_slice {
    const char *ptr;
    size_t len;
};

static inline struct sg_slice
sg_slice(const char *ptr, size_t len)
{
    return (struct sg_slice){ptr, len};
}

/* The bytes of a C string without its NUL; NULL gives the empty slice. */
static inline struct sg_slice
sg_str(const char *s)
{
    return (struct sg_slice){s, s != NULL ? strlen(s) : 0};
}

static inline bool
sg_slice_eq(struct sg_slice a, struct sg_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool
sg_slice_starts(struct sg_slice s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.len >= n && memcmp(s.ptr, prefix, n) == 0;
}

/* For the typed handle inside a larger struct: the struct that embeds member at ptr. */
#define sg_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
