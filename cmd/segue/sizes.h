/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_SIZES_H
#define SEGUE_SIZES_H

#include "config/config.h"
#include "control.h"

/* How long the tokens of a realm's subjects would be, read from the shards: exact sizes, spread,
 * who is over a limit, and which roles make it so. */
#define SIZES_BYTES_MAX 65536 /* longer ones count as this */
#define SIZES_NAMES_MAX                                                                            \
    16384 /* distinct roles and permissions; further ones are not broken down                      \
           */
#define SIZES_LIST_MAX 1000

struct sizes_name {
    char *name;
    int64_t holders, over; /* subjects that hold it, and those of them whose cookie is too long */
    int64_t fits;          /* of those, how many would fit without it */
    int bytes;             /* of it in each token */
};

struct sizes_subject {
    char subject[201];
    int cookie_bytes, roles, permissions;
};

struct sizes {
    /* in */
    int64_t cookie_bytes; /* limit of name and value */
    int64_t header_bytes; /* limit of the whole header that reaches the app */
    int64_t other_bytes;  /* of it that are not Segue's */
    int list;             /* how many subjects over the limit to name, the longest first */
    /* out */
    char alg[16];
    int64_t subjects, unread; /* unread: not asked of the identity source yet, so not counted */
    int64_t unclaimed;        /* lack a custom claim that is required: they get no token */
    int64_t over_cookie;      /* their cookie leaves the roles out */
    int64_t over_token;       /* so does every token of theirs: token.max_bytes */
    int64_t over_header;
    int64_t no_cookie;       /* not even that fits */
    uint32_t *cookie_counts; /* [SIZES_BYTES_MAX + 1]: how many of each length */
    uint32_t *header_counts;
    struct sizes_subject *longest;
    int n_longest;
    struct sizes_name *names; /* [SIZES_NAMES_MAX]; name NULL = free */
    int n_names;
    int64_t names_left_out;
};

SG_MUST_USE int sizes_measure(struct sizes *s, const struct sg_config *config,
                              const struct sg_realm_config *realm, struct control_db *control,
                              struct sg_err *err);
void sizes_free(struct sizes *s);

/* The length that `percent` of the counted have at most; 0 = none were counted. */
int sizes_percentile(const uint32_t *counts, int percent);

/* The names by what they cost those over the limit, the dearest first: sorts s->names. */
void sizes_sort_names(struct sizes *s);

#endif
