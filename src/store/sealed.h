/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_SEALED_H
#define SG_STORE_SEALED_H

#include "keys/seal.h"

#include <stdint.h>

/* What the store's sealed columns hold and what each blob is bound to, so that every writer and
 * reader agrees. All append to out, which is untouched where they fail; errors are sg_seal's and
 * sg_open's. sid: 16 bytes; key_digest: 32.
 *
 *   column              domain                   bound to
 *   session.handle      segue/handle/1           realm, sid
 *   session.record      segue/record/1           realm, sid
 *   reject.key_sealed   segue/reject-key/1       realm, key digest
 *   reject.value_sealed segue/reject-value/1     realm, key digest
 *   credential.hash     segue/credential/1       realm, login's digest, subject
 */

/* session.handle: the session's key in the legacy store. */
SG_MUST_USE int sg_seal_handle(const struct sg_keyring *ring, const char *realm, const uint8_t *sid,
                               struct sg_slice key, struct sg_buf *out, struct sg_err *err);
SG_MUST_USE int sg_open_handle(const struct sg_keyring *ring, const char *realm, const uint8_t *sid,
                               struct sg_slice sealed, struct sg_buf *out, struct sg_err *err);

/* session.record: the record's value there, to re-create it. */
SG_MUST_USE int sg_seal_record(const struct sg_keyring *ring, const char *realm, const uint8_t *sid,
                               struct sg_slice value, struct sg_buf *out, struct sg_err *err);
SG_MUST_USE int sg_open_record(const struct sg_keyring *ring, const char *realm, const uint8_t *sid,
                               struct sg_slice sealed, struct sg_buf *out, struct sg_err *err);

/* reject.key_sealed and reject.value_sealed: a record that could not be stored. */
SG_MUST_USE int sg_seal_reject_key(const struct sg_keyring *ring, const char *realm,
                                   const uint8_t *key_digest, struct sg_slice key,
                                   struct sg_buf *out, struct sg_err *err);
SG_MUST_USE int sg_open_reject_key(const struct sg_keyring *ring, const char *realm,
                                   const uint8_t *key_digest, struct sg_slice sealed,
                                   struct sg_buf *out, struct sg_err *err);
SG_MUST_USE int sg_seal_reject_value(const struct sg_keyring *ring, const char *realm,
                                     const uint8_t *key_digest, struct sg_slice value,
                                     struct sg_buf *out, struct sg_err *err);
SG_MUST_USE int sg_open_reject_value(const struct sg_keyring *ring, const char *realm,
                                     const uint8_t *key_digest, struct sg_slice sealed,
                                     struct sg_buf *out, struct sg_err *err);

/* credential.hash: a password hash as migrated. Bound to the subject too: who can write rows cannot
 * make his own password another's. */
SG_MUST_USE int sg_seal_credential(const struct sg_keyring *ring, const char *realm,
                                   const uint8_t *login, const char *subject, struct sg_slice hash,
                                   struct sg_buf *out, struct sg_err *err);
SG_MUST_USE int sg_open_credential(const struct sg_keyring *ring, const char *realm,
                                   const uint8_t *login, const char *subject,
                                   struct sg_slice sealed, struct sg_buf *out, struct sg_err *err);

#endif
