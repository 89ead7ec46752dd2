/* Values on their way between a broker and a shell: words, standard input, standard
 * output. No message contains a value. */
#ifndef EPB_CLI_VALUES_H
#define EPB_CLI_VALUES_H

#include "../wire/json.h"
#include "../wire/text.h"
#include "cli.h"

/* More than the largest value that a broker can store. */
#define EPB_VALUES_MAX_BYTES ((size_t)256 * 1024 * 1024)

/* Writes a text as it was typed as a value: a JSON string, or with --json the JSON
 * without white space. Returns 0, or the exit status after a complaint. */
EPB_MUST_USE int
epb_value_encode(const struct epb_cli *cli, struct epb_bytes text, struct epb_buf *out);
/* The value of `set`: the word, or for "-" all of standard input, by --json, --binary and
 * --trim. Sets EPB_F_BINARY in *flags. The same results. */
EPB_MUST_USE int
epb_value_read(const struct epb_cli *cli, struct epb_buf *out, uint32_t *flags);
/* The elements of `pool`, packed as the broker takes them (core/msg.h): words, or for a
 * single "-" the lines of standard input that are not empty. The same results. */
EPB_MUST_USE int
epb_value_read_elements(const struct epb_cli *cli, char **words, size_t count,
                        struct epb_buf *out);

/* Writes a stored value as a shell wants it: text as it is and bytes as they are,
 * anything else as JSON; with `json`, JSON always. A newline follows, except after bytes.
 * EPB_INVALID_VALUE: it is not JSON, or can't be decompressed. */
EPB_MUST_USE enum epb_status
epb_value_show(struct epb_buf *out, struct epb_bytes stored, uint32_t flags, bool json);
/* Writes JSON without white space between its parts. EPB_INVALID_JSON. */
EPB_MUST_USE enum epb_status
epb_value_compact(struct epb_buf *out, struct epb_bytes json);

/* The members of a JSON object, one by one. `scan` is at the first or behind the previous
 * one. False: there are no more. The name is without quotes, and not unescaped. */
bool
epb_members_begin(struct epb_json_scan *scan);
bool
epb_members_next(struct epb_json_scan *scan, struct epb_bytes *name,
                 struct epb_json_span *value);
/* The value of a member; an empty text: there is none. */
struct epb_bytes
epb_members_find(struct epb_bytes object, const char *name);

#endif
