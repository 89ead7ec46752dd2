/* The table of commands: the rows are in commands.c, each in a file cmd_*.c of its
 * family. */
#ifndef EPB_CLI_COMMANDS_H
#define EPB_CLI_COMMANDS_H

#include "cli.h"

extern const struct epb_cli_command EPB_CLI_COMMANDS[];
extern const size_t EPB_CLI_COMMAND_COUNT;

/* cmd_start_posix.c */
int
epb_cmd_start(struct epb_cli *cli);

/* cmd_values.c */
int
epb_run_get(struct epb_cli *cli);
int
epb_run_set(struct epb_cli *cli);
int
epb_run_touch(struct epb_cli *cli);
int
epb_run_del(struct epb_cli *cli);
int
epb_run_has(struct epb_cli *cli);
int
epb_run_ttl(struct epb_cli *cli);
int
epb_run_incr(struct epb_cli *cli);
int
epb_run_list(struct epb_cli *cli);
int
epb_run_wait(struct epb_cli *cli);
/* cmd_leases.c */
int
epb_run_lease(struct epb_cli *cli);
int
epb_run_renew(struct epb_cli *cli);
int
epb_run_release(struct epb_cli *cli);
int
epb_run_leases(struct epb_cli *cli);
/* cmd_define.c */
int
epb_run_pool(struct epb_cli *cli);
int
epb_run_limit(struct epb_cli *cli);
int
epb_run_describe(struct epb_cli *cli);
int
epb_run_clear(struct epb_cli *cli);
/* cmd_broker.c */
int
epb_run_ping(struct epb_cli *cli);
int
epb_run_stats(struct epb_cli *cli);
int
epb_run_health(struct epb_cli *cli);
int
epb_run_metrics(struct epb_cli *cli);
/* cmd_pipe.c */
int
epb_run_pipe(struct epb_cli *cli);

/* cmd_ls_posix.c */
int
epb_run_ls(struct epb_cli *cli);
/* cmd_once_posix.c */
int
epb_run_once(struct epb_cli *cli);
/* cmd_lock_posix.c */
int
epb_run_lock(struct epb_cli *cli);
/* `lease KEY ... -- command` */
int
epb_run_lease_command(struct epb_cli *cli);
/* `lease KEY --pid N` */
int
epb_run_lease_for(struct epb_cli *cli);

/* cmd_doctor.c */
int
epb_run_doctor(struct epb_cli *cli);
/* cmd_explain.c */
int
epb_run_explain(struct epb_cli *cli);

/* cmd_stop_posix.c */
int
epb_run_stop(struct epb_cli *cli);

/* cmd_help.c */
int
epb_cmd_help(struct epb_cli *cli);
int
epb_cmd_version(struct epb_cli *cli);
int
epb_cmd_binary(struct epb_cli *cli);
int
epb_cmd_completion(struct epb_cli *cli);

#endif
