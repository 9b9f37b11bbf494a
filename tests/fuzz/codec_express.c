/* SPDX-License-Identifier: MIT */
/* Bytes from outside that the express-session codec reads: the first byte chooses credential or
 * value, the rest is the input. Beyond not crashing, what it accepts must hold its own promises. */
#include "fuzz/fuzz.h"
#include "legacy/legacy.h"

#include <stdint.h>
#include <stdlib.h>

static const char *const secrets[] = {"keyboard cat", "older", NULL};
static const char *const paths[] = {"passport.user", "passport.user.id", "userId", "cookie.path"};

static void
must(bool ok)
{
    if (!ok)
        abort();
}

static void
try_credential(const struct sg_codec *codec, const struct sg_codec_config *cfg,
               struct sg_slice input)
{
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX), again = SG_BUF_INIT(SG_LEGACY_KEY_MAX);
    struct sg_buf credential = SG_BUF_INIT(1024);
    struct sg_err err;

    if (codec->credential_to_key(cfg, input, &key, &err) == 0) {
        must(strlen(key.ptr) == key.len); /* travels on as a C string */
        must(codec->key_to_credential(cfg, sg_buf_slice(&key), &credential, &err) == 0);
        must(codec->credential_to_key(cfg, sg_buf_slice(&credential), &again, &err) == 0);
        must(sg_slice_eq(sg_buf_slice(&key), sg_buf_slice(&again)));
    } else
        must(key.len == 0 && (err.code == SG_E_INVALID || err.code == SG_E_DENIED));
    sg_buf_free(&key);
    sg_buf_free(&again);
    sg_buf_free(&credential);
}

/* Input as a store key: whatever may be signed must verify. */
static void
try_key(const struct sg_codec *codec, const struct sg_codec_config *cfg, struct sg_slice input)
{
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX), credential = SG_BUF_INIT(1024);
    struct sg_err err;

    if (codec->key_to_credential(cfg, input, &credential, &err) == 0) {
        must(codec->credential_to_key(cfg, sg_buf_slice(&credential), &key, &err) == 0);
        must(sg_slice_eq(sg_buf_slice(&key), input));
    }
    sg_buf_free(&key);
    sg_buf_free(&credential);
}

static void
try_value(const struct sg_codec *codec, const struct sg_codec_config *cfg, struct sg_slice input)
{
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX), value = SG_BUF_INIT(4096);
    struct sg_legacy_record record, again;
    struct sg_err err;

    if (codec->decode(cfg, input, &record, &err) == 0) {
        must(strlen(record.subject) <= SG_SUBJECT_MAX && record.idle_ms >= 0);
        /* a session made for this subject must read as this subject */
        if (strcmp(cfg->subject_path, "cookie.path") != 0) {
            must(codec->create(cfg, record.subject, 0, 1000, &key, &value, &err) == 0);
            must(codec->decode(cfg, sg_buf_slice(&value), &again, &err) == 0);
            must(strcmp(record.subject, again.subject) == 0);
        }
    } else
        must(err.code == SG_E_INVALID);
    sg_buf_free(&key);
    sg_buf_free(&value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sg_codec *codec = sg_codec_find("express-session");
    struct sg_codec_config cfg = {.secrets = secrets,
                                  .key_prefix = "sess:",
                                  .cookie_name = "connect.sid",
                                  .default_idle_ms = 86400000};
    struct sg_slice input;

    if (size == 0)
        return 0;
    input = sg_slice((const char *)data + 1, size - 1);
    cfg.subject_path = paths[data[0] / 4 % 4];
    switch (data[0] % 4) {
    case 0:
        try_credential(codec, &cfg, input);
        break;
    case 1:
        try_key(codec, &cfg, input);
        break;
    default:
        try_value(codec, &cfg, input);
        break;
    }
    return 0;
}
