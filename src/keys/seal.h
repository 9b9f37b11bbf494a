/* SPDX-License-Identifier: MIT */
#ifndef SG_KEYS_SEAL_H
#define SG_KEYS_SEAL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"

/* Sealing (XChaCha20-Poly1305) with keys that live outside every database.
 *
 * A keyring is text, a line each, blank lines and lines that start with '#' apart:
 *
 *   root:<key>     once. Digests of store keys, session ids and refresh tokens hang on it and are
 *                  looked up by value, so it is never rotated: with another root no stored session
 *                  or token is found again. Guard it like the sealing keys; back it up.
 *   <id>:<key>     at least one. The first seals, all open. To rotate, put a new line first and
 * keep the old ones for as long as anything sealed with them is stored.
 *
 * <key> is 32 bytes as 64 hex digits or 43 base64url characters; <id> is 1 to 32 of a-z 0-9 - _ .
 * At most 64 KiB and 32 sealing keys. */
struct sg_keyring;

#define SG_SEAL_ID_MAX 32
/* A sealed blob is this much longer than its content, at most: version byte, id length byte, id,
 * nonce (24), tag (16). */
#define SG_SEAL_OVERHEAD (2 + SG_SEAL_ID_MAX + 24 + 16)
#define SG_SEAL_PLAIN_MAX (1 << 20)

/* Reads a keyring: a file, or "${NAME}" for the environment variable NAME. A file that group or
 * others may read or write, or that is not a regular file, is SG_E_DENIED. Errors are placed
 * "FILE:LINE" and never show a key. */
SG_MUST_USE int sg_keyring_load(const char *source, struct sg_keyring **out, struct sg_err *err);
bool sg_keyring_is_env(const char *source);

/* From the environment variable `name`, where ',' may stand for the end of a line. */
SG_MUST_USE int sg_keyring_from_env(const char *name, struct sg_keyring **out, struct sg_err *err);

/* Writes a new file (mode 0600, fails if it is there) with a random root and one sealing key,
 * flushed to the disk. */
SG_MUST_USE int sg_keyring_create(const char *path, const char *id, struct sg_err *err);

/* Wipes the keys. */
void sg_keyring_free(struct sg_keyring *ring);

/* The id of the key that seals; stored beside what it sealed. */
const char *sg_keyring_sealing_id(const struct sg_keyring *ring);
bool sg_keyring_has(const struct sg_keyring *ring, const char *id);

/* Appends the blob: version byte 1 | length of id, one byte | id | nonce (24) | ciphertext and tag.
 * domain ("session.handle") and the n aad fields (realm, row key, …) are bound to it, not stored:
 * sg_open must be given the same. Associated data = sg_hash_fields("segue.seal", {0x01, id, domain,
 * aad…}). SG_E_LIMIT past 1 MiB, 14 fields or out's maximum. */
SG_MUST_USE int sg_seal(const struct sg_keyring *ring, const char *domain,
                        const struct sg_slice *aad, int n_aad, struct sg_slice plain,
                        struct sg_buf *out, struct sg_err *err);

/* Appends the content to out. SG_E_NOT_FOUND: sealed with a key that is not in the ring (the text
 * says which, and to add it back); SG_E_DENIED: changed, or bound to something else; SG_E_INVALID:
 * not a sealed blob. */
SG_MUST_USE int sg_open(const struct sg_keyring *ring, const char *domain,
                        const struct sg_slice *aad, int n_aad, struct sg_slice sealed,
                        struct sg_buf *out, struct sg_err *err);

/* The id of the key that a blob was sealed with. */
SG_MUST_USE int sg_sealed_id(struct sg_slice sealed, char out[SG_SEAL_ID_MAX + 1],
                             struct sg_err *err);

/* The realm's key for a purpose: sg_hmac_fields(root, "segue.realm_key", {0x01, realm, purpose}).
 * The digests of keys/digest.h all take the one for SG_PURPOSE_DIGEST. */
#define SG_PURPOSE_DIGEST "digest"
/* Stored in clear, in hexadecimal, to tell a keyring with another root before it does harm. */
#define SG_PURPOSE_CHECK "check"
struct sg_hash sg_realm_key(const struct sg_keyring *ring, const char *realm, const char *purpose);

#endif
