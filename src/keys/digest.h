/* SPDX-License-Identifier: MIT */
#ifndef SG_KEYS_DIGEST_H
#define SG_KEYS_DIGEST_H

#include "base/hash.h"

#include <stdint.h>

/* The digests that stand for secrets in tables and tokens. A copied table tells nothing without the
 * realm's key: sg_realm_key(ring, realm, SG_PURPOSE_DIGEST), given as realm_key below.
 *
 * Layout, for readers in other languages: F(tag, f1, …) is, for the tag and then each field, its
 * length as 8 bytes big-endian followed by its bytes. The first field is always the version byte
 * 0x01. HMAC is HMAC-SHA-256, and numbers are big-endian:
 *
 *   realm_key           HMAC(root,      F("segue.realm_key",      01, realm, purpose))       32
 *   store_key_digest    HMAC(realm_key, F("segue.store_key",      01, store_key))            32
 *   session_id          HMAC(realm_key, F("segue.session_id",     01, digest, subject,
 *                                         generation as 8 bytes))                   first 16
 *   legacy_binding      HMAC(realm_key, F("segue.legacy_binding", 01, digest))      first 12,
 *                                                                    as 16 base64url characters
 *   refresh_digest      HMAC(realm_key, F("segue.refresh_digest", 01, token text))           32
 *   login_digest        HMAC(realm_key, F("segue.login",          01, login name))           32
 *   bucket           SHA-256(F("segue.bucket", 01, realm, key))                first 12 bits
 *
 * Vectors: tests/vectors/digest.json. A new layout takes a new version byte; the old one stays
 * readable for as long as rows carry it. */
#define SG_DIGEST_VERSION 1

#define SG_BUCKETS 4096
#define SG_SID_BYTES 16
#define SG_BINDING_CHARS 16

struct sg_sid {
    uint8_t b[SG_SID_BYTES];
};

struct sg_binding {
    char text[SG_BINDING_CHARS + 1];
};

/* Of a legacy store's canonical key ("sess:…", with its prefix); the key of token_ref. */
struct sg_hash sg_store_key_digest(const struct sg_hash *realm_key, struct sg_slice store_key);

/* The public id of a session: any number of exchanges of one legacy token agree on it. */
struct sg_sid sg_session_id(const struct sg_hash *realm_key, const struct sg_hash *store_key_digest,
                            struct sg_slice subject, uint64_t generation);

/* Claim `lh`: which legacy credential the session came of, telling nothing about it. */
struct sg_binding sg_legacy_binding(const struct sg_hash *realm_key,
                                    const struct sg_hash *store_key_digest);

/* 0..4095. Each table says which key it is put by: the subject, or a digest's bytes. */
unsigned sg_bucket(struct sg_slice realm, struct sg_slice key);

/* Of a refresh token's text; what refresh_token rows are keyed by. */
struct sg_hash sg_refresh_digest(const struct sg_hash *realm_key, struct sg_slice token);

/* Of a login name, normalised as the realm's configuration says; what credential rows are keyed by.
 */
struct sg_hash sg_login_digest(const struct sg_hash *realm_key, struct sg_slice login);

#endif
