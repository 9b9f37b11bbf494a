/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_COMMANDS_H
#define SEGUE_COMMANDS_H

/* Every command: argv[0] is its name, the exit code comes back. A new one adds its NAME.c in
 * meson.build, a line here, and a line in the table of main.c. */
int cmd_analyze(int argc, char **argv);
int cmd_credentials(int argc, char **argv);
int cmd_clients(int argc, char **argv);
int cmd_dev(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_mapping(int argc, char **argv);
int cmd_phase(int argc, char **argv);
int cmd_repair(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_rollback(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_subject(int argc, char **argv);
int cmd_transfer(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
