/*
 * Runs a cleanup when this process ends without closing its endpoints first: at exit(),
 * and when a signal ends it. POSIX only: Windows removes a pipe's name itself.
 *
 * A signal is watched only if the program does not handle it: its action is the default,
 * or a one-time handler (SA_RESETHAND) like the one Node.js installs for SIGINT and
 * SIGTERM to restore the terminal. Afterwards that action takes effect unchanged, so the
 * process ends as it would have. A signal that the program handles or ignores is left to
 * the program. If the program removes its handler later, the next epb_exit_hook_watch()
 * watches the signal again.
 */
#ifndef EPB_SERVER_EXIT_HOOK_H
#define EPB_SERVER_EXIT_HOOK_H

/* `tidy` must be the same in all calls. It is called on any thread, at any moment,
 * perhaps twice, so it may call only functions that are safe in a signal handler. This
 * function may be called often. */
void
epb_exit_hook_watch(void (*tidy)(void));

#endif
