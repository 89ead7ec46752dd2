/* `epb --pid N COMMAND`: the broker of another process's run. POSIX. */
#ifndef EPB_CLI_ADOPT_H
#define EPB_CLI_ADOPT_H

/* Sets EPHEMERAL_PIPE and EPHEMERAL_SECRET as they are in the environment of the process
 * with this number. Returns 0, or an exit status after a complaint. */
int
epb_adopt(const char *pid);

#endif
