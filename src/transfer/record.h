/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_RECORD_H
#define SG_TRANSFER_RECORD_H

#include "legacy/legacy.h"
#include "store/store.h"
#include "transfer/bridge.h"

/* One record of the legacy store as Segue understands it. Pure: no I/O. */
struct sg_record {
    /* in; the bytes are somebody else's */
    struct sg_slice key, value;
    int64_t ttl_ms; /* -1 = the key has none */
    /* out */
    uint8_t digest[SG_DIGEST_BYTES];
    int bucket;                       /* of the digest */
    char subject[SG_SUBJECT_MAX + 1]; /* "" = anonymous */
    int64_t idle_ms;
    int64_t expires_in_ms;
    const char *reject; /* why it cannot be stored; NULL = it can. Static storage */
    char place[200];    /* of the mistake; never the record's own bytes */
};

/* Reasons for a reject. */
#define SG_REJECT_TYPE "wrong-type"
#define SG_REJECT_KEY "key-too-long"
#define SG_REJECT_SIZE "too-large"
#define SG_REJECT_DECODE "undecodable"
#define SG_REJECT_READ "unreadable"

/* Fills in the digest, then what the value says. found: the reason already known not to decode it;
 * NULL. */
void sg_record_decode(const struct sg_bridge *bridge, struct sg_record *record, const char *found);

/* Room for either half of a sealed record or reject. */
#define SG_RECORD_KEPT_BYTES (SG_LEGACY_VALUE_MAX + SG_SEAL_OVERHEAD)

/* A rejected record's key, as far as it is kept, and its value, sealed; appended. The value is left
 * empty where it is too large: to be read again from the source by its key. */
SG_MUST_USE int sg_record_seal_reject(const struct sg_bridge *bridge,
                                      const struct sg_record *record, struct sg_buf *key,
                                      struct sg_buf *value, struct sg_err *err);

/* The session of a record: its public id and its bucket. */
void sg_record_sid(const struct sg_bridge *bridge, const uint8_t *digest, const char *subject,
                   int generation, uint8_t sid[SG_SID_BYTES], int *bucket);

#endif
