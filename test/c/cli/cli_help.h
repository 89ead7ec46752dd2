/* Helpers for tests of the command line: what a call says on standard error. */
#ifndef EPB_TEST_CLI_HELP_H
#define EPB_TEST_CLI_HELP_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Standard error as a file, until the test's process ends. */
static inline FILE *
capture_stderr(void)
{
    FILE *file = tmpfile();

    cr_assert_not_null(file);
    cr_assert_geq(dup2(fileno(file), STDERR_FILENO), 0);
    return file;
}

/* What was said so far, and forgets it. */
static inline const char *
said(FILE *captured)
{
    static char text[8192];

    rewind(captured);
    size_t size = fread(text, 1, sizeof(text) - 1, captured);
    text[size] = '\0';
    cr_assert_eq(ftruncate(fileno(captured), 0), 0);
    rewind(captured);
    return text;
}

#endif
