/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_EFFECTS_H
#define SG_REDIS_EFFECTS_H

#include "base/buf.h"
#include "redis/pull.h"

/* A primary's replication stream: commands in RESP, as they changed the data set. */

#define SG_COMMAND_ARGS_MAX 1024

/* One command; owns its text. Arguments above the bound given to sg_command_read are cut to nothing
 * (ptr NULL), and those past the 1,024th are not there. */
struct sg_command {
    struct sg_slice args[SG_COMMAND_ARGS_MAX];
    int n;
    uint64_t args_sent; /* how many there were */
    struct sg_buf text;
    size_t at[SG_COMMAND_ARGS_MAX]; /* private */
};

/* text_max bounds what the arguments of one command may take together. */
void sg_command_init(struct sg_command *command, size_t text_max);
void sg_command_free(struct sg_command *command);
/* SG_E_INVALID where the stream is none of commands. pull->taken then counts what was read: the
 * replication offset grows by it. An empty line, as primaries send to keep the line busy, is a
 * command of no arguments. */
SG_MUST_USE int sg_command_read(struct sg_pull *pull, size_t arg_max, struct sg_command *command,
                                struct sg_err *err);

enum sg_effect {
    SG_EFFECT_SET,     /* the key holds this string from now on, and expires_ms */
    SG_EFFECT_EXPIRES, /* the key is as it was, but for expires_ms */
    SG_EFFECT_WRITTEN, /* the key was changed in some way: read it */
    SG_EFFECT_GONE,    /* deleted, expired or evicted: the stream does not say which */
    SG_EFFECT_RENAMED, /* the key is now called `other` */
    SG_EFFECT_FLUSHED, /* the database holds nothing any more; database -1: none does */
    SG_EFFECT_SWAPPED, /* two databases changed places: what is known of either is void */
    SG_EFFECT_ACK,     /* the primary asks how far we are */
};

struct sg_effect_told {
    enum sg_effect effect;
    int database;
    struct sg_slice key, other, value;
    int64_t expires_ms; /* SET, EXPIRES: Unix milliseconds; -1 = it does not expire */
};

/* rc 0 = go on, -1 = stop with *err. */
typedef int (*sg_effect_fn)(void *ctx, const struct sg_effect_told *told, struct sg_err *err);

/* Tells what a command does, key by key; *database is the one selected, which SELECT changes. Of a
 * command that is not known its first argument is told as written: rather one too many. -1 as
 * `fn` said, or with SG_E_LIMIT where a command names more keys than were kept: what is known of
 * the data set is void then. */
SG_MUST_USE int sg_command_effects(const struct sg_command *command, int *database, sg_effect_fn fn,
                                   void *ctx, struct sg_err *err);

#endif
