/* SPDX-License-Identifier: MIT */
#ifndef SG_LEGACY_CODECS_H
#define SG_LEGACY_CODECS_H

#include "legacy/legacy.h"

/* Private to this folder: what legacy.c registers. */
extern const struct sg_codec sg_codec_express; /* codec_express.c */

#endif
