#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem_testing.h"
#include "cli/secret.h"
#include "cli_help.h"

static const struct epb_cli_command CLIENT = {
    .name = "ping",
    .usage = "ping",
    .kinds = 1U << EPB_KIND_CLIENT | 1U << EPB_KIND_SECRET,
};

static const struct epb_cli_command START = {
    .name = "start",
    .usage = "start",
    .kinds = 1U << EPB_KIND_SECRET,
    .failure_status = EPB_EXIT_START_FAILED,
};

static void
forget_environment(void)
{
    static const char *const NAMES[] = {"EPHEMERAL_SECRET", "CLIENT_SECRET",
                                        "BROKER_SECRET", "CLIENT_TIMEOUT",
                                        "EPHEMERAL_PIPE"};

    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        unsetenv(NAMES[i]);
    }
}

/* Parses the words and resolves the secret; returns the status. */
static int
resolve(const struct epb_cli_command *command, char **argv, char *secret,
        size_t room_bytes)
{
    struct epb_cli cli = {.commands = command, .command_count = 1, .command = command};
    enum epb_secret_side side =
        command == &START ? EPB_SECRET_OF_BROKER : EPB_SECRET_OF_CLIENT;
    struct epb_buf found;

    epb_buf_init(&found, EPB_SECRET_MAX_BYTES);
    int status = epb_cli_parse(&cli, argv);
    status = status == 0 ? epb_secret_resolve(&cli, side, &found) : status;
    cr_assert_lt(epb_buf_size(&found), room_bytes);
    if (epb_buf_size(&found) > 0) {
        memcpy(secret, epb_buf_data(&found), epb_buf_size(&found));
    }
    secret[epb_buf_size(&found)] = '\0';
    epb_buf_fini(&found);
    epb_cli_fini(&cli);
    return status;
}

static void
assert_secret(char **argv, const char *expected)
{
    char secret[256];

    cr_assert_eq(resolve(&CLIENT, argv, secret, sizeof(secret)), 0);
    cr_assert_str_eq(secret, expected);
}

static void
assert_refused(char **argv, const char *message)
{
    char secret[256];
    FILE *captured = capture_stderr();

    cr_assert_eq(resolve(&CLIENT, argv, secret, sizeof(secret)), EPB_EXIT_WRONG_USE);
    const char *text = said(captured);
    cr_assert_not_null(strstr(text, message), "%s", text);
    cr_assert_null(strstr(text, "hunter"), "%s", text);
}

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

static const char *
write_file(const char *text, mode_t mode)
{
    static char path[64];

    snprintf(path, sizeof(path), "/tmp/epb-secret-%d", (int)getpid());
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    cr_assert_eq(chmod(path, mode), 0);
    return path;
}

Test(secret, none_is_given, .init = forget_environment)
{
    assert_secret(WORDS(NULL), "");
}

Test(secret, comes_from_the_environment, .init = forget_environment)
{
    setenv("CLIENT_SECRET", "hunter2", 1);
    setenv("BROKER_SECRET", "other", 1);
    assert_secret(WORDS(NULL), "hunter2");
    setenv("EPHEMERAL_SECRET", "hunter2", 1);
    assert_secret(WORDS(NULL), "hunter2");
}

Test(secret, of_a_broker_must_be_that_of_its_clients, .init = forget_environment)
{
    char secret[64];

    setenv("BROKER_SECRET", "hunter2", 1);
    cr_assert_eq(resolve(&START, WORDS(NULL), secret, sizeof(secret)), 0);
    cr_assert_str_eq(secret, "hunter2");
    setenv("CLIENT_SECRET", "hunter3", 1);
    cr_assert_eq(resolve(&START, WORDS(NULL), secret, sizeof(secret)),
                 EPB_EXIT_START_FAILED);
}

Test(secret, of_the_broker_around_is_not_that_of_another, .init = forget_environment)
{
    char secret[64];

    setenv("EPHEMERAL_SECRET", "hunter2", 1);
    cr_assert_eq(resolve(&START, WORDS(NULL), secret, sizeof(secret)), 0);
    cr_assert_str_eq(secret, "hunter2");
    setenv("EPHEMERAL_PIPE", "/tmp/outer.sock", 1);
    cr_assert_eq(resolve(&START, WORDS(NULL), secret, sizeof(secret)), 0);
    cr_assert_str_eq(secret, "");
}

Test(secret, an_empty_variable_counts_as_not_set, .init = forget_environment)
{
    setenv("EPHEMERAL_SECRET", "", 1);
    assert_secret(WORDS(NULL), "");
    setenv("CLIENT_SECRET", "hunter2", 1);
    assert_secret(WORDS(NULL), "hunter2");
}

Test(secret, comes_from_a_named_variable, .init = forget_environment)
{
    setenv("MINE", "hunter2", 1);
    assert_secret(WORDS("--secret-env", "MINE"), "hunter2");
    assert_refused(WORDS("--secret-env", "NOT_THERE"),
                   "--secret-env \"NOT_THERE\": there is no such environment variable");
    setenv("MINE", "", 1);
    assert_refused(WORDS("--secret-env=MINE"),
                   "--secret-env MINE: the secret is empty; leave it out to do without");
}

Test(secret, comes_from_the_first_line_of_a_file, .init = forget_environment)
{
    char *path = (char *)write_file("hunter2\r\nmore\n", 0600);

    assert_secret(WORDS("--secret-file", path), "hunter2");
    write_file("", 0600);
    assert_refused(WORDS("--secret-file", path), "--secret-file: the secret is empty");
    unlink(path);
    assert_refused(WORDS("--secret-file", path), "it can't be read (ENOENT)");
    assert_refused(WORDS("--secret-file", "/tmp"), "it is a directory");
    assert_refused(WORDS("--secret-file", "/dev/zero"),
                   "its first line is no secret, too long");
}

Test(secret, a_file_of_others_is_told, .init = forget_environment)
{
    char *path = (char *)write_file("hunter2", 0644);
    FILE *captured = capture_stderr();

    assert_secret(WORDS("--secret-file", path), "hunter2");
    cr_assert_not_null(strstr(said(captured), "other users may read it; chmod 600 it"));
    unlink(path);
}

Test(secret, comes_from_standard_input_and_leaves_the_rest, .init = forget_environment)
{
    int ends[2];
    char rest[16] = "";

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "hunter2\nrest", 12), 12);
    close(ends[1]);
    cr_assert_geq(dup2(ends[0], STDIN_FILENO), 0);
    assert_secret(WORDS("--secret", "-"), "hunter2");
    cr_assert_eq(read(STDIN_FILENO, rest, sizeof(rest)), 4);
    cr_assert_str_eq(rest, "rest");
    assert_refused(WORDS("--secret", "x"), "--secret takes only \"-\"");
}

Test(secret, on_the_command_line_is_overwritten_and_told, .init = forget_environment)
{
    char apart[] = "hunter2";
    char inlined[] = "--auth=hunter2";
    FILE *captured = capture_stderr();

    assert_secret(WORDS("--auth", apart), "hunter2");
    cr_assert_str_eq(apart, "*******");
    cr_assert_not_null(strstr(said(captured), "ephemeral-pipe-broker: --auth: other "));
    assert_secret(WORDS(inlined), "hunter2");
    cr_assert_str_eq(inlined, "--auth=*******");
}

Test(secret, several_must_agree, .init = forget_environment)
{
    char auth[] = "hunter2";

    setenv("MINE", "hunter2", 1);
    setenv("EPHEMERAL_SECRET", "hunter2", 1);
    assert_secret(WORDS("--auth", auth, "--secret-env", "MINE"), "hunter2");
    setenv("EPHEMERAL_SECRET", "hunter3", 1);
    assert_refused(
        WORDS("--secret-env", "MINE"),
        "--secret-env MINE and EPHEMERAL_SECRET give different secrets: keep one");
}

Test(secret, of_another_pipe_leaves_the_environment_alone, .init = forget_environment)
{
    setenv("MINE", "hunter2", 1);
    setenv("EPHEMERAL_SECRET", "hunter3", 1);
    assert_secret(WORDS("--pipe", "/tmp/other.sock", "--secret-env", "MINE"), "hunter2");
    assert_secret(WORDS("--pipe", "/tmp/other.sock"), "hunter3");
}

Test(secret, a_failed_start_has_its_own_status, .init = forget_environment)
{
    char secret[64];

    cr_assert_eq(resolve(&START, WORDS("--secret-env", "NOT_THERE"), secret, 64),
                 EPB_EXIT_START_FAILED);
    cr_assert_eq(resolve(&START, WORDS("--nonsense"), secret, 64), EPB_EXIT_START_FAILED);
}

Test(secret, out_of_memory_is_an_error, .init = forget_environment)
{
    char secret[64];

    setenv("EPHEMERAL_SECRET", "hunter2", 1);
    for (uint64_t countdown = 1;; countdown++) {
        (void)epb_mem_fail_after(countdown);
        int status = resolve(&CLIENT, WORDS(NULL), secret, sizeof(secret));
        bool has_failed = epb_mem_fail_after(0) == 0;
        cr_assert_eq(status != 0, has_failed, "allocation %d", (int)countdown);
        if (!has_failed) {
            cr_assert_gt(countdown, 3);
            return;
        }
    }
}
