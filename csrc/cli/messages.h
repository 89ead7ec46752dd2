/*
 * Sentences about refusals: what is wrong, who holds a key, and what to do. A refusal
 * without a sentence of its own gets that of the status table.
 *
 * Invariant: a message contains commands, keys, workers and options, never a value.
 */
#ifndef EPB_CLI_MESSAGES_H
#define EPB_CLI_MESSAGES_H

#include "../base/buf.h"
#include "../core/msg.h"

/* Says something else on the command line than in a program, where flags are options.
 * Holders and the queue are named before it. A list ends with a NULL hint. */
struct epb_hint {
    enum epb_status status;
    const char *hint;
};

struct epb_refused {
    const char *command; /* as the user typed it */
    uint8_t action;
    struct epb_bytes key; /* empty: none */
    struct epb_bytes worker;
    uint64_t wait_ms;
    const struct epb_hint *hints; /* NULL: none */
};

/* Writes `get "key": ` and the sentences about the reply, whose status is no EPB_OK.
 * EPB_INTERNAL, EPB_TOO_LARGE. */
EPB_MUST_USE enum epb_status
epb_message_refusal(struct epb_buf *out, const struct epb_refused *refused,
                    const struct epb_reply *reply);
/* Writes `get "key": `, or `ping: ` without a key. Same errors. */
EPB_MUST_USE enum epb_status
epb_message_prefix(struct epb_buf *out, const char *command, struct epb_bytes key);

#endif
