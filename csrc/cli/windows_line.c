/* See windows_line.h. */
#include "windows_line.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A line whose first error stops all further appending. */
struct writer {
    struct epb_buf *line;
    enum epb_status status;
};

static void
put(struct writer *writer, const char *text, size_t size_bytes)
{
    if (writer->status == EPB_OK) {
        writer->status = epb_buf_append(writer->line, text, size_bytes);
    }
}

static void
put_text(struct writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

static bool
is_continuation(char byte)
{
    return ((uint8_t)byte & 0xC0U) == 0x80U;
}

/* The size of a text in UTF-16. */
static size_t
count_units(const struct epb_buf *line)
{
    const char *bytes = (const char *)epb_buf_data(line);
    size_t units = 0;

    for (size_t i = 0; i < epb_buf_size(line); i++) {
        if (!is_continuation(bytes[i])) {
            units += (uint8_t)bytes[i] >= 0xF0U ? 2 : 1;
        }
    }
    return units;
}

static enum epb_status
finish(struct writer *writer, size_t max_units)
{
    if (writer->status == EPB_OK && count_units(writer->line) >= max_units) {
        return EPB_TOO_LARGE;
    }
    put(writer, "", 1);
    return writer->status;
}

/* Quotes by the rules of the C runtime. Backslashes are doubled only in front of a
 * quote. */
static void
put_quoted(struct writer *writer, const char *argument, const char *quote,
           const char *percent)
{
    put_text(writer, "\"");
    for (;;) {
        size_t plain = strcspn(argument, "\\\"%");
        put(writer, argument, plain);
        argument += plain;

        size_t slashes = strspn(argument, "\\");
        put(writer, argument, slashes);
        if (argument[slashes] == '\0' || argument[slashes] == '"') {
            put(writer, argument, slashes);
        }
        argument += slashes;
        if (*argument == '\0') {
            break;
        }
        if (*argument == '"' || *argument == '%') {
            put_text(writer, *argument == '"' ? quote : percent);
            argument++;
        }
    }
    put_text(writer, "\"");
}

bool
epb_windows_is_batch(const char *file)
{
    size_t size = strlen(file);

    /* The system ignores dots and spaces at the end of a name. */
    while (size > 0 && (file[size - 1] == '.' || file[size - 1] == ' ')) {
        size--;
    }
    if (size < 4) {
        return false;
    }
    const char *end = file + size - 4;
    char extension[5] = {0};

    for (size_t i = 0; i < 4; i++) {
        bool upper = end[i] >= 'A' && end[i] <= 'Z';
        extension[i] = (char)(upper ? end[i] - 'A' + 'a' : end[i]);
    }
    return strcmp(extension, ".cmd") == 0 || strcmp(extension, ".bat") == 0;
}

enum epb_status
epb_windows_line(struct epb_buf *line, const char *const *argv)
{
    struct writer writer = {line, EPB_OK};

    /* The program's name has no escapes. */
    if (strchr(argv[0], '"') != NULL) {
        return EPB_INVALID_VALUE;
    }
    put_text(&writer, "\"");
    put_text(&writer, argv[0]);
    put_text(&writer, "\"");
    for (size_t i = 1; argv[i] != NULL; i++) {
        put_text(&writer, " ");
        if (*argv[i] != '\0' && strpbrk(argv[i], " \t\n\v\"") == NULL) {
            put_text(&writer, argv[i]);
        } else {
            put_quoted(&writer, argv[i], "\\\"", "%");
        }
    }
    return finish(&writer, EPB_WINDOWS_LINE_MAX);
}

static const char HARMLESS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789#$*+-./:?@\\_";
static const char EMPTY_EXPANSION[] = "%%cd:~,%";

/* A backslash at the end is quoted for batch files that add quotes (%~1). */
static bool
is_harmless(const char *argument)
{
    size_t size = strlen(argument);

    return size > 0 && strspn(argument, HARMLESS) == size && argument[size - 1] != '\\';
}

static bool
is_possible_path(const char *file)
{
    size_t size = strlen(file);

    return size > 0 && strpbrk(file, "\"\r\n") == NULL && file[size - 1] != '\\';
}

enum epb_status
epb_windows_batch_line(struct epb_buf *line, const char *cmd_exe, const char *file,
                       const char *const *argv)
{
    struct writer writer = {line, EPB_OK};

    if (!is_possible_path(cmd_exe) || !is_possible_path(file)) {
        return EPB_INVALID_VALUE;
    }
    put_text(&writer, "\"");
    put_text(&writer, cmd_exe);
    /* Extensions on, for the substring; delayed expansion (!) off; no AutoRun; /s: the
     * outer quotes are removed, and nothing else. */
    put_text(&writer, "\" /e:on /v:off /d /s /c \"");
    put_quoted(&writer, file, "", EMPTY_EXPANSION);
    for (size_t i = 1; argv[0] != NULL && argv[i] != NULL; i++) {
        if (strpbrk(argv[i], "\r\n") != NULL) {
            return EPB_INVALID_VALUE;
        }
        put_text(&writer, " ");
        if (is_harmless(argv[i])) {
            put_text(&writer, argv[i]);
        } else {
            put_quoted(&writer, argv[i], "\"\"", EMPTY_EXPANSION);
        }
    }
    put_text(&writer, "\"");
    return finish(&writer, EPB_WINDOWS_BATCH_MAX);
}
