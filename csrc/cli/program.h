/*
 * The command behind "--": finding it, becoming it, and saying why that can't be.
 *
 * As execvp(3) does: a name without a slash is looked up in PATH, and a file that is no
 * program of the system's and has no `#!` line is run by /bin/sh. A program for another
 * machine is never run as a script. Arguments and environment keep their bytes.
 *
 * Statuses are a shell's: 127 there is no such program, 126 it can't be executed, 125 the
 * system has no room for it.
 */
#ifndef EPB_CLI_PROGRAM_H
#define EPB_CLI_PROGRAM_H

#include "../base/buf.h"
#include "../base/status.h"

enum epb_program_exit {
    EPB_PROGRAM_NO_ROOM = 125,
    EPB_PROGRAM_NOT_EXECUTABLE = 126,
    EPB_PROGRAM_NOT_FOUND = 127
};

/* Looks whether there is such a program. Returns 0, or a status after writing a sentence.
 */
EPB_MUST_USE int
epb_program_check(char *const *command, struct epb_buf *sentence);
/* Becomes the program, with the environment of this process. Returns a status after
 * writing a sentence. */
EPB_MUST_USE int
epb_program_become(char *const *command, struct epb_buf *sentence);

#endif
