/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_CREDENTIALS_H
#define SG_STORE_CREDENTIALS_H

#include "store/store.h"

/* Password hashes as migrated, by login name. Asynchronous, as everything in store.h. */

#define SG_DECOY_BYTES 512

struct sg_credential_row {
    const char *realm;
    int bucket;                     /* of the login's digest */
    uint8_t login[SG_DIGEST_BYTES]; /* sg_login_digest */
    const char *subject;
    struct sg_slice hash; /* sealed: sg_seal_credential */
    const char *decoy;    /* struct sg_password_hash */
    int64_t version;      /* the source's; an older one than stored changes nothing */
    /* out */
    bool stored; /* the row is as given now; else: */
    bool taken;  /* the login is another subject's, by as new a version */
};
/* Of two rows for one login the newer counts, of two as new the first, unless they say the same
 * subject: then the later. */
void sg_store_put_credentials(struct sg_store *store, struct sg_credential_row *rows, int n,
                              uint64_t deadline_ns, sg_store_done done, void *ctx);

struct sg_credential_read {
    const char *realm;
    int bucket;
    uint8_t login[SG_DIGEST_BYTES];
    /* out */
    bool found;
    char subject[201];
    struct sg_buf hash; /* sealed; the caller's to free */
};
void sg_store_get_credential(struct sg_store *store, struct sg_credential_read *read,
                             uint64_t deadline_ns, sg_store_done done, void *ctx);

/* What the credentials of one shard look like: of as many as are asked for the decoy and whose
 * it is, from a bucket on and around. Buckets are by hash, so from a random one on this is a fair
 * sample. */
struct sg_decoys_read {
    int shard;
    const char *realm;
    int from_bucket;
    int limit;
    int n; /* out */
    void (*decoy)(void *ctx, struct sg_slice decoy, struct sg_slice subject);
    void *ctx;
};
void sg_store_read_decoys(struct sg_store *store, struct sg_decoys_read *read, uint64_t deadline_ns,
                          sg_store_done done, void *ctx);

#endif
