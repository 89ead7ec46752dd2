/* What the tests of JSON lines share. */
#ifndef EPB_TEST_JSONL_HELP_H
#define EPB_TEST_JSONL_HELP_H

#include "wire/jsonl.h"
#include "wire_help.h"

/* Decodes a copy that stays until the next call. */
static inline enum epb_status
decode(struct epb_bytes line, struct epb_jsonl_request *request)
{
    static uint8_t *copy;
    static struct epb_buf scratch;

    free(copy);
    copy = malloc(line.size_bytes + 1);
    memcpy(copy, line.data, line.size_bytes);
    epb_buf_fini(&scratch);
    epb_buf_init(&scratch, EPB_JSONL_SCRATCH_BYTES(line.size_bytes));
    return epb_jsonl_decode(copy, line.size_bytes, &scratch, request);
}

static inline void
assert_status(const char *line, enum epb_status expected)
{
    struct epb_jsonl_request request;
    enum epb_status status = decode(TEXT(line), &request);

    cr_assert_eq(status, expected, "%s: %s", line, epb_status_name(status));
}

static inline void
assert_reply(struct epb_bytes line, struct epb_reply reply, const char *expected)
{
    struct epb_jsonl_request request;
    struct epb_buf out;

    if (reply.as_of_wall_ms == 0) {
        reply.as_of_wall_ms = 1000;
    }
    epb_buf_init(&out, 1 << 20);
    cr_assert_eq(decode(line, &request), EPB_OK);
    cr_assert_eq(epb_jsonl_encode(&out, request.command, request.id, &reply), EPB_OK);
    cr_assert(bytes_equal(bytes_of(&out), TEXT(expected)), "%.*s",
              (int)epb_buf_size(&out), (const char *)epb_buf_data(&out));
    epb_buf_fini(&out);
}

#endif
