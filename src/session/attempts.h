/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_ATTEMPTS_H
#define SG_SESSION_ATTEMPTS_H

#include "base/err.h"
#include "base/hash.h"

/* How often a password may be tried. One set for all loops of an instance; each call takes a lock
 * for less than a microsecond.
 *
 * A try is paid for from three budgets at once: the address's, the login's, and that of the two
 * together. A budget of N a window holds N tries when full and fills up evenly. The pair's is
 * smallest, so one address cannot use up a login's; and an address from which the login succeeded
 * lately is not asked for the login's, so that nobody is locked out of where he comes from. A try
 * that is refused here costs nothing, so hammering does not prolong the wait; one that succeeded,
 * or was not judged, is given back, exactly: what else was paid stays paid.
 *
 * Bounded: 131,072 budgets in sets of 8. In a full set the one that restricts least is forgotten,
 * pairs that succeeded last. The place of a budget is by a key made at start: nobody can aim at it.
 */
struct sg_attempts;

#define SG_ATTEMPTS_ADDRESS_BYTES 16

struct sg_attempts_limits {
    int64_t per_address, per_login, per_pair; /* tries a window */
    int64_t window_ms;
};

struct sg_attempt {
    const char *realm;
    struct sg_hash login;                       /* sg_login_digest */
    uint8_t address[SG_ATTEMPTS_ADDRESS_BYTES]; /* IPv6 form; of an IPv6 address the first half */
    struct sg_attempts_limits limits;
    bool login_paid; /* set by take */
};

SG_MUST_USE int sg_attempts_new(struct sg_attempts **out, struct sg_err *err);
void sg_attempts_free(struct sg_attempts *a);

/* Pays for one try. 0, or for how many ms there is none to be had. */
int64_t sg_attempts_take(struct sg_attempts *a, struct sg_attempt *attempt, uint64_t now_ns);

/* Gives it back. succeeded: and remembers the pair for 30 days, as long as there is room. */
void sg_attempts_give_back(struct sg_attempts *a, const struct sg_attempt *attempt, bool succeeded,
                           uint64_t now_ns);

/* The address of a text, in the form above: "192.0.2.1", "2001:db8::1"; of a list, as
 * X-Forwarded-For grows, the last. -1: it is none. */
int sg_attempts_address(const char *text, uint8_t out[SG_ATTEMPTS_ADDRESS_BYTES]);

#endif
