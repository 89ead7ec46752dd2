/*
 * Runs the tests where Criterion's own runner can't: under ThreadSanitizer, which keeps
 * its shadow where that runner shares memory with its test processes, and under Valgrind,
 * which it leaves behind.
 *
 * It takes the place of Criterion's library, of which it knows what the tests use: their
 * tables, fixtures, assertions and skips. Each test runs in a process of its own, two at
 * once, started in the order of the table.
 *
 *   epb_tests [suite | suite/test | -suite]...
 *
 * runs those named, or all, but for suites with a minus.
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
#define AT_ONCE 2

struct criterion_options criterion_options;

extern struct criterion_test *__start_cr_tst[];
extern struct criterion_test *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[];
extern struct criterion_suite *__stop_cr_sts[];

static const struct criterion_test *current;
static int failed;

/* What the tests call */

/* What the suite says of all its tests; NULL: nothing. */
static const struct criterion_test_extra_data *
suite_data(void)
{
    for (struct criterion_suite **suite = __start_cr_sts; suite != __stop_cr_sts;
         suite++) {
        if (*suite != NULL && strcmp((*suite)->name, current->category) == 0) {
            return (*suite)->data;
        }
    }
    return NULL;
}

void
criterion_internal_test_setup(void)
{
    const struct criterion_test_extra_data *suite = suite_data();

    if (suite != NULL && suite->init != NULL) {
        suite->init();
    }
    if (current->data->init != NULL) {
        current->data->init();
    }
}

void
criterion_internal_test_main(void (*test)(void))
{
    test();
}

void
criterion_internal_test_teardown(void)
{
    const struct criterion_test_extra_data *suite = suite_data();

    if (current->data->fini != NULL) {
        current->data->fini();
    }
    if (suite != NULL && suite->fini != NULL) {
        suite->fini();
    }
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

/* The runner */

/* Whether the text is the test's suite, or suite/test. */
static bool
names_it(const char *text, const struct criterion_test *test)
{
    size_t suite = strlen(test->category);

    if (strncmp(text, test->category, suite) != 0) {
        return false;
    }
    return text[suite] == '\0' ||
           (text[suite] == '/' && strcmp(text + suite + 1, test->name) == 0);
}

static bool
is_wanted(const struct criterion_test *test, int count, char **names)
{
    bool wanted = true;

    for (int i = 0; i < count; i++) {
        if (names[i][0] != '-') {
            wanted = false;
            break;
        }
    }
    for (int i = 0; i < count; i++) {
        if (names[i][0] == '-' && names_it(names[i] + 1, test)) {
            return false;
        }
        wanted = wanted || names_it(names[i], test);
    }
    return wanted;
}

/* Starts the process of a test; negative: there is none. */
static pid_t
start(const struct criterion_test *test)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        current = test;
        test->test();
        /* By exit, so that the sanitizer can report. */
        exit(failed);
    }
    return child;
}

static bool
is_as_wanted(const struct criterion_test *test, int status)
{
    if (WIFSIGNALED(status)) {
        return test->data->signal == WTERMSIG(status);
    }
    int code = WEXITSTATUS(status);
    return test->data->signal == 0 && code == test->data->exit_code;
}

static struct {
    const struct criterion_test *test; /* NULL: a free place */
    pid_t pid;
} running[AT_ONCE];
static unsigned passed;
static unsigned bad;
static unsigned skipped;

static void
fail(const struct criterion_test *test)
{
    bad++;
    fprintf(stderr, "%s/%s failed\n", test->category, test->name);
}

static void
count(const struct criterion_test *test, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        skipped++;
        return;
    }
    if (is_as_wanted(test, status)) {
        passed++;
        return;
    }
    fail(test);
}

/* Waits for the end of a running test; false when none runs. */
static bool
reap(void)
{
    int status = -1;
    pid_t ended = wait(&status);

    for (int i = 0; i < AT_ONCE; i++) {
        if (running[i].test == NULL || running[i].pid != ended) {
            continue;
        }
        count(running[i].test, status);
        running[i].test = NULL;
    }
    return ended > 0;
}

static int
free_place(void)
{
    for (;;) {
        for (int i = 0; i < AT_ONCE; i++) {
            if (running[i].test == NULL) {
                return i;
            }
        }
        (void)reap();
    }
}

/* Names each suite when its first test starts, so that a run is heard to go on. */
static void
announce(const struct criterion_test *test)
{
    static const char *suite = "";

    if (strcmp(suite, test->category) == 0) {
        return;
    }
    suite = test->category;
    printf("%s\n", suite);
    (void)fflush(stdout); /* before it is forked */
}

int
main(int argc, char **argv)
{
    for (struct criterion_test **test = __start_cr_tst; test != __stop_cr_tst; test++) {
        if (*test == NULL || !is_wanted(*test, argc - 1, argv + 1)) {
            continue;
        }
        int place = free_place();
        announce(*test);
        running[place].pid = start(*test);
        running[place].test = *test;
        if (running[place].pid < 0) {
            running[place].test = NULL;
            fail(*test);
        }
    }
    while (reap()) {
        continue;
    }
    if (skipped != 0) {
        printf("%u skipped\n", skipped);
    }
    printf("%u passed, %u failed\n", passed, bad);
    return bad != 0 || passed == 0;
}
