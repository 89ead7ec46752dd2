/* Finds rows of the command table, and checks requests against them. */
#ifndef EPB_CORE_COMMAND_H
#define EPB_CORE_COMMAND_H

#include "../base/sys.h"
#include "msg.h"

struct epb_engine;
struct epb_peer;
struct epb_wait;

/* What a handler works on. */
struct epb_ctx {
    struct epb_engine *engine;
    struct epb_peer *peer;
    const struct epb_time *now;
    const struct epb_request *request; /* NULL: it has waited */
    struct epb_wait *wait;             /* NULL: it has not waited */
};

/* Answers a request, or defers the reply. */
typedef void (*epb_command_fn)(const struct epb_ctx *ctx, struct epb_reply *reply);
/* Makes the reply to a request that waited; its status is set already. False: the request
 * waits again. */
typedef bool (*epb_finish_fn)(const struct epb_ctx *ctx, struct epb_reply *reply);

/* Flags of a command */
#define EPB_WHILE_DRAINING 1U /* served while the broker is draining */
#define EPB_OWN_ROOM 2U       /* evicts values itself when the broker is full */
#define EPB_LONG 4U /* its requests may be deferred because they take long (job.h) */

/* Members of a JSON line that stand for one field. A command's `names` say which it
 * takes; `key`, `value`, `token` and `force` are the usual ones, without a bit. */
#define EPB_AS_PREFIX 0x0001U /* the key */
#define EPB_AS_BY 0x0002U     /* the count */
#define EPB_AS_LIMIT 0x0004U
#define EPB_AS_PARTIES 0x0008U
#define EPB_AS_COUNT 0x0010U
#define EPB_AS_TARGET 0x0020U
#define EPB_AS_FENCE 0x0040U  /* the token, as well */
#define EPB_AS_PERIOD 0x0080U /* the period */
#define EPB_AS_REFRESH 0x0100U
#define EPB_AS_REPLACE 0x0200U /* the force flag */
#define EPB_AS_VALUES 0x0400U  /* the value */
#define EPB_AS_HOLDING 0x0800U
#define EPB_AS_REASON 0x1000U /* as well */

struct epb_command {
    uint8_t action;
    enum epb_shape shape;
    const char *name;
    const char *member; /* of the reply in JSON, if its shape is a boolean or a number */
    epb_command_fn run;
    epb_finish_fn finish; /* NULL: never waits */
    uint32_t needs;
    uint32_t takes;
    uint32_t names;
    uint32_t flags;
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

/* EPB_INVALID_REQUEST, EPB_INVALID_KEY, EPB_INVALID_VALUE (no value), EPB_INVALID_TTL,
 * EPB_WORKER_REQUIRED, EPB_KEY_AND_WORKER_REQUIRED. An empty key, worker id or value
 * counts as missing, except an empty value of bytes. */
EPB_MUST_USE enum epb_status
epb_command_check(const struct epb_command *command, const struct epb_request *request);

#define EPB_COMMAND(number, NAME, wire, handler, ...) \
    void epb_cmd_##handler(const struct epb_ctx *ctx, struct epb_reply *reply);
#include "commands.def"
#undef EPB_COMMAND

bool
epb_finish_lease(const struct epb_ctx *ctx, struct epb_reply *reply);
bool
epb_finish_get_or_set(const struct epb_ctx *ctx, struct epb_reply *reply);
bool
epb_finish_wait_for(const struct epb_ctx *ctx, struct epb_reply *reply);
bool
epb_finish_barrier(const struct epb_ctx *ctx, struct epb_reply *reply);
bool
epb_finish_throttle(const struct epb_ctx *ctx, struct epb_reply *reply);

#endif
