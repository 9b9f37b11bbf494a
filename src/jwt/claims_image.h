/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_CLAIMS_IMAGE_H
#define SG_JWT_CLAIMS_IMAGE_H

#include "jwt/claims.h"

/* Parsed claims as one run of bytes that can be put anywhere and made into claims again without
 * parsing: offsets into the payload instead of pointers. */

/* Bytes of the image; a multiple of 8. */
size_t sg_claims_image_bytes(const struct segue_claims *claims, size_t payload_len);

/* claims as sg_claims_parse() made them of payload; out is aligned for 8 bytes. */
void sg_claims_image_write(const struct segue_claims *claims, const char *payload,
                           size_t payload_len, void *out);

/* The claims again, their slices pointing into *room and payload[cap]; kid and alg are left out. */
void sg_claims_image_read(const void *image, struct sg_claims_room *room, char *payload,
                          struct segue_claims *out);

#endif
