/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_ANALYZE_H
#define SEGUE_ANALYZE_H

/* The two subjects of `segue analyze`; argv[0] is ignored. */
int analyze_collections(int argc, char **argv);
int analyze_tokens(int argc, char **argv); /* also without a word */

#endif
