/* See values.h. */
#include "values.h"

#include <string.h>

#include "../base/mem.h"
#include "../base/utf8.h"
#include "../core/msg.h"
#include "../wire/base64.h"
#include "gzip.h"
#include "input.h"

/* Never NULL, so that it may be passed to memchr when it is empty. */
static struct epb_bytes
contents(const struct epb_buf *buf)
{
    const uint8_t *data = epb_buf_data(buf);

    return (struct epb_bytes){data == NULL ? (const uint8_t *)"" : data,
                              epb_buf_size(buf)};
}

static struct epb_bytes
bytes_of(const char *text)
{
    return (struct epb_bytes){(const uint8_t *)text, strlen(text)};
}

/* JSON */

static bool
is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* The bytes of a string at the front, quotes included, of well-formed JSON. */
static size_t
string_bytes(const uint8_t *at)
{
    size_t size = 1;

    while (at[size] != '"') {
        size += at[size] == '\\' ? 2 : 1;
    }
    return size + 1;
}

enum epb_status
epb_value_compact(struct epb_buf *out, struct epb_bytes json)
{
    struct epb_json_scan scan = epb_json_scan(json);
    struct epb_json_span span;
    struct epb_text text = epb_text_begin(out);

    if (!epb_utf8_valid(json) || !epb_json_value(&scan, EPB_JSON_DEPTH_MAX, &span) ||
        !epb_json_has_ended(&scan)) {
        return EPB_INVALID_JSON;
    }
    for (size_t at = 0; at < json.size_bytes;) {
        size_t size = 0;
        while (at + size < json.size_bytes && !is_space(json.data[at + size])) {
            size += json.data[at + size] == '"' ? string_bytes(json.data + at + size) : 1;
        }
        epb_text_put_bytes(&text, (struct epb_bytes){json.data + at, size});
        at += size + 1;
    }
    return epb_text_end(&text);
}

bool
epb_members_begin(struct epb_json_scan *scan)
{
    return epb_json_take(scan, '{');
}

bool
epb_members_next(struct epb_json_scan *scan, struct epb_bytes *name,
                 struct epb_json_span *value)
{
    struct epb_json_span span;

    (void)epb_json_take(scan, ',');
    if (!epb_json_value(scan, 0, &span) || span.kind != EPB_JSON_STRING ||
        !epb_json_take(scan, ':')) {
        return false;
    }
    *name = (struct epb_bytes){span.text.data + 1, span.text.size_bytes - 2};
    return epb_json_value(scan, EPB_JSON_DEPTH_MAX, value);
}

struct epb_bytes
epb_members_find(struct epb_bytes object, const char *name)
{
    struct epb_json_scan scan = epb_json_scan(object);
    struct epb_json_span value;
    struct epb_bytes found;

    if (!epb_members_begin(&scan)) {
        return (struct epb_bytes){NULL, 0};
    }
    while (epb_members_next(&scan, &found, &value)) {
        if (epb_bytes_compare(found, bytes_of(name)) == 0) {
            return value.text;
        }
    }
    return (struct epb_bytes){NULL, 0};
}

/* From the user */

int
epb_value_encode(const struct epb_cli *cli, struct epb_bytes text, struct epb_buf *out)
{
    enum epb_status status;

    if (epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)) {
        status = epb_value_compact(out, text);
    } else {
        struct epb_text writer = epb_text_begin(out);
        epb_text_put_json_string(&writer, text);
        status = epb_text_end(&writer);
    }
    if (status == EPB_INVALID_JSON) {
        return epb_cli_wrong_use(
            cli, "with --json a value must be JSON; strings need their quotes");
    }
    return status == EPB_OK ? 0 : epb_cli_no_memory(cli);
}

static int
read_stdin(const struct epb_cli *cli, struct epb_buf *out)
{
    enum epb_status status = epb_in_read_all(out);

    if (status == EPB_TOO_LARGE) {
        return epb_cli_wrong_use(cli, "stdin is larger than any value can be");
    }
    if (status == EPB_BROKER_GONE) {
        return epb_cli_wrong_use(cli, "stdin can't be read");
    }
    return status == EPB_OK ? 0 : epb_cli_no_memory(cli);
}

static int
encode_text(const struct epb_cli *cli, struct epb_bytes text, const char *source,
            const char *hint, struct epb_buf *out)
{
    if (!epb_utf8_valid(text)) {
        return epb_cli_wrong_use(cli, "%s is not UTF-8 text%s", source, hint);
    }
    return epb_value_encode(cli, text, out);
}

static int
read_value_stdin(const struct epb_cli *cli, struct epb_buf *out, uint32_t *flags)
{
    struct epb_buf input;

    epb_buf_init(&input, EPB_VALUES_MAX_BYTES);
    int status = read_stdin(cli, &input);
    struct epb_bytes given = contents(&input);
    bool has_newline = given.size_bytes > 0 && given.data[given.size_bytes - 1] == '\n';
    if (has_newline && epb_cli_flag(cli, EPB_OPTION_FLAG_TRIM)) {
        given.size_bytes--;
    }
    if (status == 0 && epb_cli_flag(cli, EPB_OPTION_FLAG_BINARY)) {
        *flags |= EPB_F_BINARY;
        status = epb_buf_append(out, given.data, given.size_bytes) == EPB_OK
                     ? 0
                     : epb_cli_no_memory(cli);
    } else if (status == 0) {
        status = encode_text(cli, given, "stdin",
                             "; --binary stores the bytes as they are", out);
    }
    epb_buf_fini(&input);
    return status;
}

int
epb_value_read(const struct epb_cli *cli, struct epb_buf *out, uint32_t *flags)
{
    const char *word = cli->args.words[1];
    bool is_stdin = strcmp(word, "-") == 0;
    bool is_binary = epb_cli_flag(cli, EPB_OPTION_FLAG_BINARY);

    if (!is_stdin && is_binary) {
        return epb_cli_wrong_use(cli, "--binary reads stdin: set KEY -");
    }
    if (is_binary && epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)) {
        return epb_cli_wrong_use(cli, "--binary or --json, not both");
    }
    return is_stdin ? read_value_stdin(cli, out, flags)
                    : encode_text(cli, bytes_of(word), "the value", "", out);
}

static int
put_element(const struct epb_cli *cli, struct epb_bytes text, struct epb_buf *out)
{
    static const uint8_t header[EPB_ELEMENT_HEADER_BYTES] = {0};
    size_t start_bytes = epb_buf_size(out);

    if (epb_buf_append(out, header, sizeof(header)) != EPB_OK) {
        return epb_cli_no_memory(cli);
    }
    int status = epb_value_encode(cli, text, out);
    size_t size_bytes = epb_buf_size(out) - start_bytes - sizeof(header);
    epb_put_u32(out->memory + out->start + start_bytes, (uint32_t)size_bytes);
    return status;
}

/* A line without its end; `rest` begins behind it. */
static struct epb_bytes
take_line(struct epb_bytes *rest)
{
    const uint8_t *newline = memchr(rest->data, '\n', rest->size_bytes);
    struct epb_bytes line = *rest;

    if (newline == NULL) {
        *rest = (struct epb_bytes){NULL, 0};
    } else {
        line.size_bytes = (size_t)(newline - line.data);
        *rest = epb_bytes_after(*rest, line.size_bytes + 1);
    }
    if (line.size_bytes > 0 && line.data[line.size_bytes - 1] == '\r') {
        line.size_bytes--;
    }
    return line;
}

static int
read_lines(const struct epb_cli *cli, struct epb_bytes text, struct epb_buf *out)
{
    int status = 0;

    if (!epb_utf8_valid(text)) {
        return epb_cli_wrong_use(cli, "stdin is not UTF-8 text: a line is an element");
    }
    while (text.size_bytes > 0 && status == 0) {
        struct epb_bytes line = take_line(&text);
        status = line.size_bytes == 0 ? 0 : put_element(cli, line, out);
    }
    if (status == 0 && epb_buf_size(out) == 0) {
        return epb_cli_wrong_use(cli, "stdin has no line with an element");
    }
    return status;
}

int
epb_value_read_elements(const struct epb_cli *cli, char **words, size_t count,
                        struct epb_buf *out)
{
    int status = 0;

    if (count == 1 && strcmp(words[0], "-") == 0) {
        struct epb_buf input;
        epb_buf_init(&input, EPB_VALUES_MAX_BYTES);
        status = read_stdin(cli, &input);
        status = status == 0 ? read_lines(cli, contents(&input), out) : status;
        epb_buf_fini(&input);
        return status;
    }
    for (size_t i = 0; i < count && status == 0; i++) {
        status = epb_utf8_valid(bytes_of(words[i]))
                     ? put_element(cli, bytes_of(words[i]), out)
                     : epb_cli_wrong_use(cli, "an element is not UTF-8 text");
    }
    return status;
}

/* To the user */

static enum epb_status
show_bytes_as_json(struct epb_buf *out, struct epb_bytes stored)
{
    enum epb_status status = epb_buf_printf(out, "{\"encoding\":\"base64\",\"value\":\"");

    status = status == EPB_OK ? epb_base64_encode(out, stored) : status;
    return status == EPB_OK ? epb_buf_printf(out, "\"}\n") : status;
}

/* A string with half of a character can't be text: it stays JSON. */
static bool
is_text(struct epb_bytes stored, struct epb_bytes *inside)
{
    struct epb_json_scan scan = epb_json_scan(stored);
    struct epb_json_span span;

    if (!epb_utf8_valid(stored) || !epb_json_value(&scan, EPB_JSON_DEPTH_MAX, &span) ||
        !epb_json_has_ended(&scan) || span.kind != EPB_JSON_STRING ||
        span.lone_surrogate) {
        return false;
    }
    *inside = (struct epb_bytes){span.text.data + 1, span.text.size_bytes - 2};
    return true;
}

static enum epb_status
show_text(struct epb_buf *out, struct epb_bytes inside)
{
    size_t start_bytes = epb_buf_size(out);
    enum epb_status status = epb_buf_append(out, inside.data, inside.size_bytes);

    if (status != EPB_OK) {
        return status;
    }
    if (inside.size_bytes > 0) {
        size_t size_bytes =
            epb_json_unescape(out->memory + out->start + start_bytes, inside.size_bytes);
        epb_buf_truncate(out, inside.size_bytes - size_bytes);
    }
    return epb_buf_append(out, "\n", 1);
}

static enum epb_status
show_plain(struct epb_buf *out, struct epb_bytes stored, bool is_binary, bool json)
{
    struct epb_bytes inside;

    if (is_binary) {
        return json ? show_bytes_as_json(out, stored)
                    : epb_buf_append(out, stored.data, stored.size_bytes);
    }
    if (!json && is_text(stored, &inside)) {
        return show_text(out, inside);
    }
    enum epb_status status = epb_value_compact(out, stored);
    if (status == EPB_INVALID_JSON) {
        return EPB_INVALID_VALUE;
    }
    return status == EPB_OK ? epb_buf_append(out, "\n", 1) : status;
}

enum epb_status
epb_value_show(struct epb_buf *out, struct epb_bytes stored, uint32_t flags, bool json)
{
    bool is_binary = (flags & EPB_F_BINARY) != 0;

    if ((flags & EPB_F_GZIP) == 0) {
        return show_plain(out, stored, is_binary, json);
    }
    struct epb_buf unzipped;
    epb_buf_init(&unzipped, EPB_GZIP_MAX_BYTES);
    enum epb_status status = epb_gzip_inflate(&unzipped, stored);
    if (status == EPB_OK) {
        status = show_plain(out, contents(&unzipped), is_binary, json);
    }
    epb_buf_fini(&unzipped);
    return status;
}
