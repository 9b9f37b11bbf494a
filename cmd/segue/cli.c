/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include "base/nearest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 26

static void
print_help(const struct cli_usage *u)
{
    int i;

    printf("usage: segue %s%s%s%s\n\n%s\n", u->name, u->n_options > 0 ? " [options]" : "",
           u->operands != NULL ? " " : "", u->operands != NULL ? u->operands : "", u->summary);
    if (u->details != NULL)
        printf("\n%s", u->details);
    printf("\noptions:\n");
    for (i = 0; i < u->n_options; i++) {
        const struct cli_option *o = &u->options[i];
        int n = printf("  --%s%s%s", o->name, o->value != NULL ? " " : "",
                       o->value != NULL ? o->value : "");

        printf("%*s%s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "", o->help);
    }
    printf("%-*s%s\n", HELP_COLUMN, "  --help", "show this");
    if (u->examples != NULL)
        printf("\nexamples:\n%s", u->examples);
}

int
cli_usage_error(const struct cli_usage *usage, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "segue %s: ", usage->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nsee: segue %s --help\n", usage->name);
    return CLI_USAGE;
}

int
cli_url(const char *given, const char **out, struct sg_err *err)
{
    size_t n = strlen(given), user;
    const char *at = strstr(given, "://");
    char name[128];

    if (n > 3 && strncmp(given, "${", 2) == 0 && given[n - 1] == '}') {
        snprintf(name, sizeof name, "%.*s", (int)(n - 3), given + 2);
        *out = getenv(name);
        return *out != NULL && **out != '\0'
                   ? 0
                   : sg_fail(err, SG_E_INVALID, "source", "the environment variable %s is not set",
                             name);
    }
    user = at != NULL ? strcspn(at + 3, "/?#@") : 0;
    if (at != NULL && at[3 + user] == '@' && memchr(at + 3, ':', user) != NULL)
        return sg_fail(err, SG_E_INVALID, "source",
                       "it holds a password, which others could read in the list of processes: "
                       "put it into an environment variable and give '${NAME}'");
    *out = given;
    return 0;
}

int
cli_fail(const struct cli_usage *usage, const struct sg_err *err)
{
    fprintf(stderr, "segue %s: %s%s%s\n", usage->name, err->place,
            err->place[0] != '\0' ? ": " : "", err->text);
    return CLI_FAILED;
}

static int
unknown_option(const struct cli_usage *u, const char *name)
{
    const char *near = NULL;
    int i, best = SG_NEAREST_LIMIT;

    for (i = 0; i < u->n_options; i++) {
        int d = sg_edit_distance(name, u->options[i].name);

        if (d < best) {
            best = d;
            near = u->options[i].name;
        }
    }
    return near != NULL ? cli_usage_error(u, "unknown option --%s: did you mean --%s?", name, near)
                        : cli_usage_error(u, "unknown option --%s", name);
}

static int
set_number(const struct cli_usage *u, const struct cli_option *o, const char *value)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0 || n < o->least || n > o->most)
        return cli_usage_error(u,
                               "--%s: expected a number from %" PRId64 " to %" PRId64 ", got '%s'",
                               o->name, o->least, o->most, value);
    *o->number = n;
    return 0;
}

static int
set_word(const struct cli_usage *u, const struct cli_option *o, const char *value)
{
    char known[200] = "";
    int i;

    for (i = 0; o->words[i] != NULL; i++) {
        size_t used = strlen(known);

        if (strcmp(o->words[i], value) == 0) {
            *o->word = i;
            return 0;
        }
        snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", o->words[i]);
    }
    return cli_usage_error(u, "--%s: expected one of %s, got '%s'", o->name, known, value);
}

static int
set_value(const struct cli_usage *u, const struct cli_option *o, const char *value)
{
    if (o->number != NULL)
        return set_number(u, o, value);
    if (o->word != NULL)
        return set_word(u, o, value);
    if (value[0] == '\0')
        return cli_usage_error(u, "--%s: expected %s, got nothing", o->name, o->value);
    *o->text = value;
    return 0;
}

/* Takes the option at argv[*i], and its value where that stands apart. */
static int
take_option(const struct cli_usage *u, int argc, char **argv, int *i)
{
    const char *arg = argv[*i] + 2, *equals = strchr(arg, '=');
    size_t len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
    const struct cli_option *o = NULL;
    char name[64];
    int k;

    snprintf(name, sizeof name, "%.*s", (int)len, arg);
    for (k = 0; k < u->n_options && o == NULL; k++)
        if (strcmp(u->options[k].name, name) == 0)
            o = &u->options[k];
    if (o == NULL)
        return unknown_option(u, name);
    if (o->flag != NULL) {
        if (equals != NULL)
            return cli_usage_error(u, "--%s takes no value", name);
        *o->flag = true;
        return 0;
    }
    if (equals != NULL)
        return set_value(u, o, equals + 1);
    if (*i + 1 >= argc)
        return cli_usage_error(u, "--%s: expected %s after it", name, o->value);
    return set_value(u, o, argv[++*i]);
}

bool
cli_parse(const struct cli_usage *usage, int argc, char **argv, int *n_operands, int *exit_code)
{
    int i, n = 0;
    bool options = true;

    for (i = 1; i < argc; i++) {
        const char *arg = argv[i];

        if (!options || arg[0] != '-' || arg[1] == '\0') {
            argv[++n] = argv[i];
        } else if (strcmp(arg, "--") == 0) {
            options = false;
        } else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            print_help(usage);
            *exit_code = 0;
            return false;
        } else if (arg[1] != '-') {
            *exit_code = cli_usage_error(usage, "unknown option %s", arg);
            return false;
        } else if ((*exit_code = take_option(usage, argc, argv, &i)) != 0) {
            return false;
        }
    }
    if (n < usage->least_operands || n > usage->most_operands) {
        *exit_code = n > usage->most_operands
                         ? cli_usage_error(usage, "unexpected '%s'", argv[usage->most_operands + 1])
                         : cli_usage_error(usage, "expected %s", usage->operands);
        return false;
    }
    *n_operands = n;
    return true;
}

static void
print_commands(FILE *to, const struct cli_command *commands, int n)
{
    int i;

    fprintf(to, "usage: segue COMMAND [options]\n\n"
                "Carries a live login system from session tokens to JWTs, and back.\n\n"
                "commands:\n");
    for (i = 0; i < n; i++)
        fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fprintf(to, "\n  segue COMMAND --help   options and examples of one command\n"
                "  segue --version        the version\n");
}

static const struct cli_command *
find(const struct cli_command *commands, int n, const char *name)
{
    int i;

    for (i = 0; i < n; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int
unknown_command(const struct cli_command *commands, int n, const char *name)
{
    const char *near = NULL;
    int i, best = SG_NEAREST_LIMIT;

    for (i = 0; i < n; i++) {
        int d = sg_edit_distance(name, commands[i].name);

        if (d < best) {
            best = d;
            near = commands[i].name;
        }
    }
    fprintf(stderr, "segue: unknown command '%s'", name);
    if (near != NULL)
        fprintf(stderr, ": did you mean '%s'?", near);
    fprintf(stderr, "\nsee: segue help\n");
    return CLI_USAGE;
}

int
cli_main(const struct cli_command *commands, int n, int argc, char **argv)
{
    const struct cli_command *found;
    char help[] = "--help";
    const char *name = argc > 1 ? argv[1] : NULL;

    if (name == NULL) {
        print_commands(stderr, commands, n);
        return CLI_USAGE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        puts("segue " SEGUE_VERSION);
        return 0;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        char *ask[] = {argc > 2 ? argv[2] : NULL, help, NULL};

        if (ask[0] == NULL) {
            print_commands(stdout, commands, n);
            return 0;
        }
        found = find(commands, n, ask[0]);
        return found != NULL ? found->run(2, ask) : unknown_command(commands, n, ask[0]);
    }
    found = find(commands, n, name);
    return found != NULL ? found->run(argc - 1, argv + 1) : unknown_command(commands, n, name);
}
