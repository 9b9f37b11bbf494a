/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_ANALYZE_H
#define SEGUE_ANALYZE_H

#include "base/err.h"

struct records_options;

/* The two subjects of `segue analyze`; argv[0] is ignored. */
int analyze_collections(int argc, char **argv);
int analyze_tokens(int argc, char **argv); /* also without a word */

/* The tokens of a store that no configuration speaks of: prints, or -1 with *err. */
SG_MUST_USE int analyze_sessions(const struct records_options *from, bool as_json,
                                 struct sg_err *err);

#endif
