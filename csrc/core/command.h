/* Finds rows of the command table, and checks requests against them. */
#ifndef EPB_CORE_COMMAND_H
#define EPB_CORE_COMMAND_H

#include "../base/sys.h"
#include "msg.h"

struct epb_engine;
struct epb_peer;

typedef void (*epb_command_fn)(struct epb_engine *engine, struct epb_peer *peer,
                               const struct epb_request *request,
                               const struct epb_time *now, struct epb_reply *reply);

struct epb_command {
    uint8_t action;
    enum epb_shape shape;
    uint32_t needs;
    uint32_t takes;
    const char *name;
    epb_command_fn run;
};

/* NULL: there is no such action. Static storage. */
const struct epb_command *
epb_command_find(unsigned action);
const struct epb_command *
epb_command_by_name(struct epb_bytes name);
/* Row number `index` (0 to count - 1), to list the table. */
unsigned
epb_command_count(void);
const struct epb_command *
epb_command_at(unsigned index);

/* Whether its requests may be deferred because they take long (job.h). */
bool
epb_command_is_long(const struct epb_command *command);

/* EPB_INVALID_REQUEST, EPB_INVALID_KEY, EPB_INVALID_VALUE (no value), EPB_INVALID_TTL,
 * EPB_WORKER_REQUIRED, EPB_KEY_AND_WORKER_REQUIRED. An empty key, worker id or value
 * counts as missing, except an empty value of bytes. */
EPB_MUST_USE enum epb_status
epb_command_check(const struct epb_command *command, const struct epb_request *request);

#define EPB_COMMAND(number, NAME, wire, handler, needs, takes, shape)        \
    void epb_cmd_##handler(struct epb_engine *engine, struct epb_peer *peer, \
                           const struct epb_request *request,                \
                           const struct epb_time *now, struct epb_reply *reply);
#include "commands.def"
#undef EPB_COMMAND

#endif
