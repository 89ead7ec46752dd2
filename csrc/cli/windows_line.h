/*
 * The command line of a Windows program: the one text that a process gets there, made of
 * the arguments of a command. The code runs on every system, so that its tests do.
 *
 * A program splits its line by the rules of Microsoft's C runtime. cmd.exe, which runs
 * batch files (.cmd, .bat), has other rules: quotes that are escaped by a backslash end a
 * quotation for it, and text outside quotations may be further commands. So a batch file
 * needs another quoting:
 *
 * - All but harmless characters are inside quotations, and an embedded quote is doubled.
 *   cmd.exe is inside a quotation before and after a doubled quote.
 * - "%%cd:~,%" follows each %, the substring of no characters of a variable that always
 *   exists. So no % of an argument begins the name of a variable.
 *   (Wine's cmd.exe drops such a % instead.)
 * - Line breaks end a command in any case: arguments that contain one are refused.
 *
 * A batch file passes its arguments (%*) to a program in the same form. The C runtime
 * reads a doubled quote inside a quotation as a quote since 2008. A batch file that
 * removes the quotes itself (%~1) and uses the text outside quotations runs what the
 * argument contains. No caller can prevent this.
 *
 * Texts are UTF-8, or WTF-8 for names that are no Unicode. The result has a final NUL.
 */
#ifndef EPB_CLI_WINDOWS_LINE_H
#define EPB_CLI_WINDOWS_LINE_H

#include <stdbool.h>

#include "../base/buf.h"

/* The characters that cmd.exe takes as one line, and those that the system does. */
#define EPB_WINDOWS_BATCH_MAX 8191U
#define EPB_WINDOWS_LINE_MAX 32767U

/* Whether cmd.exe has to run a file: its name ends with .cmd or .bat. */
bool
epb_windows_is_batch(const char *file);

/* The line of a program. The arguments end with NULL, and the first is the program's own
 * name. EPB_INVALID_VALUE: the name contains a quote. EPB_TOO_LARGE,
 * EPB_INTERNAL (memory). */
EPB_MUST_USE enum epb_status
epb_windows_line(struct epb_buf *line, const char *const *argv);

/* The line of cmd.exe that runs a batch file. `argv` as above, its first is ignored.
 * EPB_INVALID_VALUE: an argument contains a line break, or the path a quote or a
 * backslash at its end. EPB_TOO_LARGE, EPB_INTERNAL (memory). */
EPB_MUST_USE enum epb_status
epb_windows_batch_line(struct epb_buf *line, const char *cmd_exe, const char *file,
                       const char *const *argv);

#endif
