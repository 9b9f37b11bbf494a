/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"

/* In the order of `segue help`: the way a migration goes. */
static const struct cli_command commands[] = {
    {"dev", "start a throw-away cluster: PostgreSQL shards and a Redis", cmd_dev},
    {"init", "lay out control and shards, first keys, a policy per realm", cmd_init},
    {"analyze", "what the legacy store holds, and how its tokens are made", cmd_analyze},
    {"mapping", "check a mapping from collections to tables; its DDL", cmd_mapping},
    {"transfer", "copy and follow the legacy store; rejects, held sessions", cmd_transfer},
    {"verify", "compare a source with its tables, value by value", cmd_verify},
    {"repair", "make tables as their source is, where they differ", cmd_repair},
    {"credentials", "import password hashes for POST /v1/login", cmd_credentials},
    {"serve", "answer: verify, exchange, refresh, revoke, keys, metrics", cmd_serve},
    {"report", "how long the tokens would be, before a rollout", cmd_report},
    {"phase", "show or change a realm's phase and rollout", cmd_phase},
    {"rollback", "take a realm back to an earlier phase, at once", cmd_rollback},
    {"subject", "ban, unban or log out one subject, everywhere", cmd_subject},
    {"clients", "show a realm's clients, disable or enable one", cmd_clients},
    {"keys", "list, rotate, revoke and reseal signing keys", cmd_keys},
    {"status", "phase, instances, capture, shards, keys, journal", cmd_status},
};

int
main(int argc, char **argv)
{
    return cli_main(commands, sizeof commands / sizeof commands[0], argc, argv);
}
