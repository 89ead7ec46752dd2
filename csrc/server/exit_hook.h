/*
 * What is to be done when this process ends without having been asked to tidy up: at
 * exit(), and when a signal ends it. POSIX; Windows removes a pipe's name by itself.
 *
 * A signal is watched where nobody else heeds it: its action is the default one, or a
 * handler that is for one time only (SA_RESETHAND), as Node.js has for SIGINT and SIGTERM
 * to put the terminal right. That action then takes effect as if nobody had watched, so
 * the process ends as it would have. A signal that the program handles or ignores stays
 * the program's; one whose handler it takes away later is watched again with the next
 * epb_exit_hook_watch().
 */
#ifndef EPB_SERVER_EXIT_HOOK_H
#define EPB_SERVER_EXIT_HOOK_H

/* `tidy` is the same in all calls. It is called on any thread, at any moment, perhaps
 * twice, so it may only call what is safe in a signal handler. May be called often. */
void
epb_exit_hook_watch(void (*tidy)(void));

#endif
