/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_DYNAMO_HTTP_H
#define SG_SOURCE_DYNAMO_HTTP_H

#include "base/buf.h"
#include "source/source.h"

/* DynamoDB's HTTP interface: signed requests (Signature Version 4, by libcurl), one at a time. What
 * the service asks to be asked again (throttling, its own errors) is, after 50 ms doubling to 5 s,
 * at most 10 times. */
struct sg_dynamo;

/* url: dynamodb://REGION, or dynamodb://HOST[:PORT]/REGION, which is plain HTTP on a loopback
 * address and HTTPS elsewhere. Credentials stand in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
 * AWS_SESSION_TOKEN, or in AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials) under AWS_PROFILE
 * (default); never in the URL. */
SG_MUST_USE int sg_dynamo_open(const struct sg_source_options *options, struct sg_dynamo **out,
                               struct sg_err *err);
void sg_dynamo_close(struct sg_dynamo *d); /* NULL does nothing */

const char *sg_dynamo_name(const struct sg_dynamo *d); /* for errors */
bool sg_dynamo_stopped(const struct sg_dynamo *d);

/* Asks for an operation ("Scan") with a JSON body; *answer is the answer's text until the next
 * call. SG_E_NOT_FOUND: there is no such table; SG_E_DENIED: the user may not; SG_E_LIMIT: the
 * answer is larger than SG_DOC_BYTES_MAX; otherwise SG_E_UNAVAILABLE, SG_E_TIMEOUT,
 * SG_E_CANCELLED, SG_E_INTERNAL. */
SG_MUST_USE int sg_dynamo_ask(struct sg_dynamo *d, const char *operation, struct sg_slice body,
                              struct sg_slice *answer, struct sg_err *err);

/* Sleeps before the given try (1, 2, …): SG_E_CANCELLED when stopped, SG_E_UNAVAILABLE after the
 * last. */
SG_MUST_USE int sg_dynamo_back_off(struct sg_dynamo *d, int try, struct sg_err *err);

#endif
