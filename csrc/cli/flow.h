/*
 * What a command holds that runs under a lease: the variable EPHEMERAL_FLOW,
 * "TOKEN,TOKEN@PIPE", the innermost lease first. A request that may wait passes these
 * tokens on, so that the broker refuses a wait that would never end
 * (core/lease_deadlock.c). lib/client/flow.js reads and writes the same.
 */
#ifndef EPB_CLI_FLOW_H
#define EPB_CLI_FLOW_H

#include "../base/buf.h"

#define EPB_FLOW_VARIABLE "EPHEMERAL_FLOW"
/* The innermost ones count (core/lease.h). */
#define EPB_FLOW_TOKENS_MAX 64U

/* Appends the tokens of the variable's text that belong to this broker, as a request
 * takes them: 8 bytes each. NULL: not set. What is no token is left out. Same errors as
 * epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_flow_tokens(struct epb_buf *out, const char *variable, const char *pipe);
/* Writes the text of the variable for a command that runs under one more lease. Same
 * errors. */
EPB_MUST_USE enum epb_status
epb_flow_text(struct epb_buf *out, uint64_t token, const char *variable,
              const char *pipe);

#endif
