/* The lines that `epb pipe` writes: replies and events of a broker as JSON. */
#ifndef EPB_CLI_PIPE_REPLY_H
#define EPB_CLI_PIPE_REPLY_H

#include "../base/buf.h"
#include "../core/command.h"

/* Writes the reply line. A compressed value is decompressed. `id` is JSON text, or empty.
 * EPB_VERSION_MISMATCH: the body is malformed; others as for epb_jsonl_encode. */
EPB_MUST_USE enum epb_status
epb_pipe_reply(struct epb_buf *out, const struct epb_command *command,
               struct epb_bytes id, const struct epb_reply *reply);
/* Writes {"event":"lease_lost","token":7,"key":"k"}. Same errors. */
EPB_MUST_USE enum epb_status
epb_pipe_lost(struct epb_buf *out, const struct epb_reply *event);

#endif
