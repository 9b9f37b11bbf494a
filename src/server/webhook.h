/* SPDX-License-Identifier: MIT */
#ifndef SG_SERVER_WEBHOOK_H
#define SG_SERVER_WEBHOOK_H

#include "base/slice.h"

#include <stdint.h>

/* A message signed as Standard Webhooks 1.0.0 has it: webhook-id, webhook-timestamp (Unix seconds),
 * webhook-signature ("v1,<base64 of HMAC-SHA256 over id.timestamp.body>", several with spaces
 * between). */
struct webhook_message {
    struct sg_slice id, timestamp, signature, body;
};

/* secret: "whsec_" and base64, or any text as it stands. True where a signature is this secret's
 * and the timestamp is within window_ms of now_ms, before or after: what was signed earlier cannot
 * be shown again. In constant time for each signature shown, of which the first 8 are looked at. */
bool webhook_is_genuine(const char *secret, const struct webhook_message *message, int64_t now_ms,
                        int64_t window_ms);

#endif
