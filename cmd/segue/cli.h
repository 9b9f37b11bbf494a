/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_CLI_H
#define SEGUE_CLI_H

#include "base/err.h"

#include <stdint.h>

/* How every command reads its command line and explains itself, so that all do it alike: long
 * options "--name VALUE" or "--name=VALUE" in any order, "--" ends them, "-h" and "--help" print
 * the help. */

#define CLI_FAILED 1 /* exit code: the command was understood and did not succeed */
#define CLI_USAGE 2  /* exit code: the command line is wrong */

/* One option. Exactly one of the four targets is set; it says what the value looks like. The target
 * keeps what it holds where the option is not given. */
struct cli_option {
    const char *name;         /* without the dashes */
    const char *value;        /* the value's name in the help ("N", "FILE"); NULL for a flag */
    const char *help;         /* one line, the default in it where there is one */
    bool *flag;               /* becomes true */
    int64_t *number;          /* decimal, least..most */
    const char **text;        /* not empty; points into argv */
    int *word;                /* index of one of words */
    int64_t least, most;      /* for number */
    const char *const *words; /* for word, NULL-ended */
};

/* What --help shows and the parser checks. */
struct cli_usage {
    const char *name;     /* as in the table: "dev" */
    const char *operands; /* "REALM PHASE" after the options; NULL where there are none */
    const char *summary;  /* one sentence */
    const char *details;  /* further lines, NL-ended; may be NULL */
    const struct cli_option *options;
    int n_options;
    int least_operands, most_operands;
    const char *examples; /* NL-ended lines */
};

/* Parses argv[1..]; operands are moved to argv[1..*n_operands] in order. Returns true to go on, or
 * false where the command is over and returns *exit_code: help was printed (0), or the command line
 * is wrong and stderr says what (CLI_USAGE). */
bool cli_parse(const struct cli_usage *usage, int argc, char **argv, int *n_operands,
               int *exit_code);

/* "segue NAME: message" and a hint at --help on stderr; returns CLI_USAGE. For what the parser
 * cannot know (two options that exclude each other). */
int cli_usage_error(const struct cli_usage *usage, const char *fmt, ...) SG_PRINTF(2, 3);

/* "segue NAME: place: text" on stderr; returns CLI_FAILED. */
int cli_fail(const struct cli_usage *usage, const struct sg_err *err);

/* A URL that a command was given: "${NAME}" as a whole is taken from the environment. One that
 * holds a password is refused, since everybody on the machine can read a command line. */
SG_MUST_USE int cli_url(const char *given, const char **out, struct sg_err *err);

/* One line of the table of commands. argv[0] is the command's name; returns the exit code. */
struct cli_command {
    const char *name;
    const char *summary; /* at most about 60 characters, as in `segue help` */
    int (*run)(int argc, char **argv);
};

/* The whole program: finds the command, or prints the table, the version, or a suggestion. */
int cli_main(const struct cli_command *commands, int n, int argc, char **argv);

#endif
