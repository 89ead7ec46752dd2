/* Lines for Windows programs and batch files, read back by models of the programs that
 * split them: Microsoft's C runtime, CommandLineToArgvW and cmd.exe. */
#include <criterion/criterion.h>
#include <string.h>

#include "cli/windows_line.h"
#include "helpers.h"

#define ROOM 4096U
#define ARGUMENTS_MAX 8U
#define CMD "C:\\Windows\\System32\\cmd.exe"

struct arguments {
    size_t count;
    char text[ARGUMENTS_MAX][ROOM];
};

/* Splitting by the C runtime */

enum rules {
    RUNTIME, /* of 2008 and later: a doubled quote stays within its quotation */
    SHELL    /* CommandLineToArgvW: a doubled quote ends its quotation */
};

static void
split(const char *line, enum rules rules, bool has_program, struct arguments *out)
{
    bool quoted = false;

    out->count = 0;
    if (has_program) {
        const char *end = *line == '"' ? strchr(line + 1, '"') + 1 : strchr(line, ' ');
        cr_assert_not_null(end);
        line = end;
    }
    for (;;) {
        line += strspn(line, " \t");
        if (*line == '\0') {
            return;
        }
        cr_assert_lt(out->count, ARGUMENTS_MAX);
        char *to = out->text[out->count++];
        for (; *line != '\0' && (quoted || (*line != ' ' && *line != '\t'));) {
            size_t slashes = strspn(line, "\\");
            line += slashes;
            if (*line == '"') {
                memset(to, '\\', slashes / 2);
                to += slashes / 2;
                if (slashes % 2 == 1) {
                    *to++ = *line++;
                } else if (quoted && line[1] == '"') {
                    *to++ = '"';
                    line += 2;
                    quoted = rules == RUNTIME;
                } else {
                    quoted = !quoted;
                    line++;
                }
            } else {
                memset(to, '\\', slashes);
                to += slashes;
                if (*line != '\0' && (quoted || (*line != ' ' && *line != '\t'))) {
                    *to++ = *line++;
                }
            }
        }
        *to = '\0';
        quoted = false;
    }
}

/* cmd.exe */

/* Expands variables as cmd.exe does for /c, with extensions. All names are defined, and
 * all values but that of `cd` end a quotation and add a command. */
static void
expand(const char *line, char *out)
{
    while (*line != '\0') {
        if (*line != '%') {
            *out++ = *line++;
            continue;
        }
        size_t size = strcspn(line + 1, "%:");
        const char *after = line + 1 + size;
        const char *end = *after == ':' ? strchr(after, '%') : after;
        bool closed = end != NULL && *end == '%';
        if (size == 0 || !closed) {
            *out++ = *line++;
        } else if (strncmp(line, "%cd:~,%", 7) == 0) {
            line += 7;
        } else {
            const char *value = "\" & calc & \"";
            memcpy(out, value, strlen(value));
            out += strlen(value);
            line = end + 1;
        }
    }
    *out = '\0';
}

/* Reads what follows /c: removes the outer quotes, expands, and requires that nothing
 * outside quotations is more than a word. Returns the text after the batch file. */
static const char *
run_cmd(const char *line, const char *file, char expanded[ROOM])
{
    char inner[ROOM];
    bool quoted = false;
    const char *begin = strstr(line, " /c \"");

    cr_assert_not_null(begin);
    begin += strlen(" /c \"");
    cr_assert_eq(line[strlen(line) - 1], '"');
    (void)snprintf(inner, sizeof(inner), "%.*s", (int)strlen(begin) - 1, begin);
    expand(inner, expanded);
    for (const char *at = expanded; *at != '\0'; at++) {
        quoted = *at == '"' ? !quoted : quoted;
        cr_assert(quoted || strchr("&|<>()^!,;=\t\r\n", *at) == NULL, "%s", line);
    }
    cr_assert_not(quoted, "%s", line);
    cr_assert_eq(expanded[0], '"');
    cr_assert(strncmp(expanded + 1, file, strlen(file)) == 0, "%s", line);
    cr_assert_eq(expanded[1 + strlen(file)], '"');
    return expanded + 2 + strlen(file);
}

/* The number of parameters (%1, %2) that a batch file sees. */
static size_t
count_parameters(const char *rest)
{
    size_t count = 0;

    while (*rest != '\0') {
        rest += strspn(rest, " \t,;=");
        count += *rest != '\0' ? 1 : 0;
        for (bool quoted = false;
             *rest != '\0' && (quoted || strchr(" \t,;=", *rest) == NULL); rest++) {
            quoted = *rest == '"' ? !quoted : quoted;
        }
    }
    return count;
}

/* Tests */

static void
assert_arguments(const struct arguments *got, const char *const *argv, const char *line)
{
    size_t count = 0;

    while (argv[1 + count] != NULL) {
        cr_assert_lt(count, got->count, "%s", line);
        cr_assert_str_eq(got->text[count], argv[1 + count], "%s", line);
        count++;
    }
    cr_assert_eq(got->count, count, "%s", line);
}

static void
assert_line(const char *const *argv)
{
    static struct arguments got;
    struct epb_buf line;

    epb_buf_init(&line, 65536);
    cr_assert_eq(epb_windows_line(&line, argv), EPB_OK);
    const char *text = (const char *)epb_buf_data(&line);
    split(text, RUNTIME, true, &got);
    assert_arguments(&got, argv, text);
    split(text, SHELL, true, &got);
    assert_arguments(&got, argv, text);
    epb_buf_fini(&line);
}

static void
assert_batch_line(const char *file, const char *const *argv)
{
    static struct arguments got;
    static char expanded[ROOM];
    struct epb_buf line;

    epb_buf_init(&line, 65536);
    cr_assert_eq(epb_windows_batch_line(&line, CMD, file, argv), EPB_OK);
    const char *text = (const char *)epb_buf_data(&line);
    cr_assert(strncmp(text, "\"" CMD "\" ", strlen(CMD) + 3) == 0, "%s", text);
    const char *rest = run_cmd(text, file, expanded);
    split(rest, RUNTIME, false, &got);
    assert_arguments(&got, argv, text);
    cr_assert_eq(count_parameters(rest), got.count, "%s", text);
    epb_buf_fini(&line);
}

static const char *const HOSTILE[] = {
    "x",           "",         " ",        "a b",
    "\\",          "a\\",      "a b\\\\",  "\"",
    "\\\"",        "\"\"",     "a\"b c",   "%PATH%",
    "%PATH:~0,1%", "%cd:~,%",  "%%PATH%%", "%",
    "a%b\"c%d",    "^%PATH^%", "& calc",   "\" & calc & \"",
    "\\\" & calc", "|calc",    "a>b",      "(x)",
    "^\" & calc",  "!PATH!",   "a,b;c=d",  "\xC3\xA9\xF0\x9F\x98\x80",
    "--x=\"a b\"",
};

#define HOSTILE_COUNT (sizeof(HOSTILE) / sizeof(HOSTILE[0]))

Test(windows_line, each_argument_arrives_and_none_is_a_command)
{
    for (size_t i = 0; i < HOSTILE_COUNT; i++) {
        for (size_t j = 0; j < HOSTILE_COUNT; j++) {
            const char *argv[] = {"C:\\a b\\x.exe", HOSTILE[i], HOSTILE[j], NULL};
            assert_line(argv);
            assert_batch_line("C:\\a b\\x.cmd", argv);
        }
    }
}

Test(windows_line, random_arguments_arrive_and_none_is_a_command)
{
    static const char alphabet[] = "\"\"\\\\%%& |<>^()!,;=:~\tacd/\xC3";
    struct random random = {random_seed("windows_line")};

    for (unsigned round = 0; round < 20000; round++) {
        char text[4][16];
        const char *argv[6] = {"x"};
        unsigned count = random_below(&random, 5);
        for (unsigned i = 0; i < count; i++) {
            unsigned size = random_below(&random, sizeof(text[i]));
            for (unsigned at = 0; at < size; at++) {
                text[i][at] = alphabet[random_below(&random, sizeof(alphabet) - 1)];
            }
            text[i][size] = '\0';
            argv[1 + i] = text[i];
        }
        assert_line(argv);
        assert_batch_line("C:\\50%cd:~,%\\&x.bat", argv);
    }
}

Test(windows_line, simple_arguments_stay_as_they_are)
{
    const char *argv[] = {"npm.cmd", "run", "test:unit", "--", "--ci", NULL};
    struct epb_buf line;

    epb_buf_init(&line, 1024);
    cr_assert_eq(epb_windows_batch_line(&line, CMD, "C:\\npm.cmd", argv), EPB_OK);
    cr_assert_str_eq((const char *)epb_buf_data(&line),
                     "\"" CMD "\" /e:on /v:off /d /s /c "
                     "\"\"C:\\npm.cmd\" run test:unit -- --ci\"");
    epb_buf_fini(&line);
}

static enum epb_status
batch_status(const char *file, const char *argument)
{
    const char *argv[] = {"x", argument, NULL};
    struct epb_buf line;

    epb_buf_init(&line, 65536);
    enum epb_status status = epb_windows_batch_line(&line, CMD, file, argv);
    epb_buf_fini(&line);
    return status;
}

Test(windows_line, what_cannot_be_passed_is_refused)
{
    static char big[EPB_WINDOWS_LINE_MAX + 1];
    const char *argv[] = {"x", big, NULL};
    struct epb_buf line;

    cr_assert_eq(batch_status("x.cmd", "a\nb"), EPB_INVALID_VALUE);
    cr_assert_eq(batch_status("x.cmd", "a\rb"), EPB_INVALID_VALUE);
    cr_assert_eq(batch_status("a\"b.cmd", "a"), EPB_INVALID_VALUE);
    cr_assert_eq(batch_status("a\\", "a"), EPB_INVALID_VALUE);
    memset(big, 'x', EPB_WINDOWS_BATCH_MAX);
    cr_assert_eq(batch_status("x.cmd", big), EPB_TOO_LARGE);
    epb_buf_init(&line, 1024 * 1024);
    cr_assert_eq(epb_windows_line(&line, argv), EPB_OK);
    epb_buf_fini(&line);
    memset(big, 'x', EPB_WINDOWS_LINE_MAX);
    cr_assert_eq(epb_windows_line(&line, argv), EPB_TOO_LARGE);
    epb_buf_fini(&line);
    argv[0] = "a\"b";
    cr_assert_eq(epb_windows_line(&line, argv), EPB_INVALID_VALUE);
}

Test(windows_line, batch_files_are_told_by_their_name)
{
    cr_assert(epb_windows_is_batch("C:\\x.cmd"));
    cr_assert(epb_windows_is_batch("x.BAT"));
    cr_assert(epb_windows_is_batch("x.bat. ."));
    cr_assert_not(epb_windows_is_batch("x.exe"));
    cr_assert_not(epb_windows_is_batch("cmd"));
    cr_assert_not(epb_windows_is_batch(""));
}

Test(windows_line, a_lack_of_memory_is_reported)
{
    const char *argv[] = {"x", "a b", "%", NULL};
    struct epb_buf line;

    epb_buf_init(&line, 1024);
    epb_mem_fail_after(1);
    cr_assert_eq(epb_windows_batch_line(&line, CMD, "x.cmd", argv), EPB_INTERNAL);
    epb_mem_fail_after(0);
    epb_buf_fini(&line);
}
