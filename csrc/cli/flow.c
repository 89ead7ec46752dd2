/* See flow.h. */
#include "flow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../core/msg.h"

/* Reads the next token of "1,2@pipe"; 0: there is none. */
static uint64_t
take_token(const char **at)
{
    while (**at >= '0' && **at <= '9') {
        char *end = NULL;
        uint64_t token = strtoull(*at, &end, 10);
        *at = *end == ',' ? end + 1 : end;
        if (token > 0 && token <= EPB_NUMBER_MAX) {
            return token;
        }
    }
    return 0;
}

static bool
is_of_broker(const char *variable, const char *pipe)
{
    const char *at = variable == NULL ? NULL : strchr(variable, '@');

    return at != NULL && strcmp(at + 1, pipe) == 0;
}

enum epb_status
epb_flow_tokens(struct epb_buf *out, const char *variable, const char *pipe)
{
    enum epb_status status = EPB_OK;

    if (!is_of_broker(variable, pipe)) {
        return EPB_OK;
    }
    for (unsigned count = 0; count < EPB_FLOW_TOKENS_MAX && status == EPB_OK; count++) {
        uint8_t packed[sizeof(uint64_t)];
        uint64_t token = take_token(&variable);
        if (token == 0) {
            break;
        }
        epb_put_u64(packed, token);
        status = epb_buf_append(out, packed, sizeof(packed));
    }
    return status;
}

enum epb_status
epb_flow_text(struct epb_buf *out, uint64_t token, const char *variable, const char *pipe)
{
    enum epb_status status = epb_buf_printf(out, "%" PRIu64, token);
    bool any = is_of_broker(variable, pipe);

    for (unsigned count = 1; any && count < EPB_FLOW_TOKENS_MAX && status == EPB_OK;
         count++) {
        uint64_t outer = take_token(&variable);
        if (outer == 0) {
            break;
        }
        status = epb_buf_printf(out, ",%" PRIu64, outer);
    }
    return status == EPB_OK ? epb_buf_printf(out, "@%s", pipe) : status;
}
