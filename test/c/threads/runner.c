/*
 * Runs the tests under ThreadSanitizer, where Criterion's own runner can't: the memory
 * that it shares with its test processes lies where the sanitizer keeps its shadow.
 *
 * It takes the place of Criterion's library, of which it knows what the tests use: their
 * table, fixtures, assertions and skips. Each test runs in a process of its own, in the
 * order of the table.
 *
 *   epb_tests [suite | suite/test]...
 */
#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

struct criterion_options criterion_options;

extern struct criterion_test *__start_cr_tst[];
extern struct criterion_test *__stop_cr_tst[];

static const struct criterion_test *current;
static int failed;

/* --- What the tests call --- */

void
criterion_internal_test_setup(void)
{
    if (current->data->init != NULL)
        current->data->init();
}

void
criterion_internal_test_main(void (*test)(void))
{
    test();
}

void
criterion_internal_test_teardown(void)
{
    if (current->data->fini != NULL)
        current->data->fini();
}

void
criterion_send_assert(struct criterion_assert_stats *stats)
{
    failed = 1;
    fprintf(stderr, "%s:%u: %s\n", stats->file, stats->line,
            stats->message == NULL ? "an assertion failed" : stats->message);
}

void
cri_asserts_passed_incr(void)
{
}

void
criterion_continue_test(void)
{
}

void
criterion_abort_test(void)
{
    _exit(1);
}

void
criterion_skip_test(const char *format, ...)
{
    (void)format;
    _exit(SKIPPED);
}

void
cr_log(enum criterion_severity severity, const char *format, ...)
{
    va_list arguments;

    (void)severity;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}

char *
cr_translate_assert_msg(int index, ...)
{
    (void)index;
    return strdup("an assertion failed");
}

int
cr_asprintf(char **text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int size = vasprintf(text, format, arguments);
    va_end(arguments);
    return size;
}

void
cr_asprintf_free(char *text)
{
    free(text);
}

/* --- The runner --- */

static bool
is_wanted(const struct criterion_test *test, int count, char **names)
{
    size_t suite = strlen(test->category);

    for (int i = 0; i < count; i++) {
        if (strncmp(names[i], test->category, suite) != 0)
            continue;
        if (names[i][suite] == '\0' ||
            (names[i][suite] == '/' && strcmp(names[i] + suite + 1, test->name) == 0)) {
            return true;
        }
    }
    return count == 0;
}

/* Whether it passed. */
static bool
run(const struct criterion_test *test)
{
    int status = -1;

    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        current = test;
        test->test();
        /* By exit, so that the sanitizer can report. */
        exit(failed);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    if (WIFSIGNALED(status))
        return test->data->signal == WTERMSIG(status);
    int code = WEXITSTATUS(status);
    return test->data->signal == 0 && (code == SKIPPED || code == test->data->exit_code);
}

int
main(int argc, char **argv)
{
    unsigned passed = 0;
    unsigned bad = 0;

    for (struct criterion_test **test = __start_cr_tst; test != __stop_cr_tst; test++) {
        if (*test == NULL || !is_wanted(*test, argc - 1, argv + 1))
            continue;
        if (run(*test)) {
            passed++;
            continue;
        }
        bad++;
        fprintf(stderr, "%s/%s failed\n", (*test)->category, (*test)->name);
    }
    printf("%u passed, %u failed\n", passed, bad);
    return bad != 0 || passed == 0;
}
