/* See command.h. */
#include "command.h"

#include "../base/utf8.h"

static const struct epb_command commands[] = {
#define EPB_COMMAND(number, NAME, wire, handler, shape_, member_, ...) \
    {.action = (number),                                               \
     .name = (wire),                                                   \
     .run = epb_cmd_##handler,                                         \
     .shape = (shape_),                                                \
     .member = (member_),                                              \
     __VA_ARGS__},
#include "commands.def"
#undef EPB_COMMAND
};

#define EPB_COMMAND(number, NAME, wire, handler, shape, member, ...)                \
    _Static_assert(((shape) == EPB_SHAPE_BOOLEAN || (shape) == EPB_SHAPE_NUMBER) == \
                       (sizeof(member) > 1),                                        \
                   "a boolean and a number have a name in JSON, and nothing else has");
#include "commands.def"
#undef EPB_COMMAND

enum row {
#define EPB_COMMAND(number, NAME, ...) ROW_##NAME,
#include "commands.def"
#undef EPB_COMMAND
};

/* By action: the row's index + 1; 0 where there is no row. */
static const uint8_t row_after[] = {
#define EPB_COMMAND(number, NAME, ...) [number] = ROW_##NAME + 1,
#include "commands.def"
#undef EPB_COMMAND
};

unsigned
epb_command_count(void)
{
    return (unsigned)(sizeof(commands) / sizeof(commands[0]));
}

const struct epb_command *
epb_command_at(unsigned index)
{
    EPB_ASSERT(index < epb_command_count());
    return &commands[index];
}

const struct epb_command *
epb_command_find(unsigned action)
{
    if (action >= sizeof(row_after) / sizeof(row_after[0]) || row_after[action] == 0) {
        return NULL;
    }
    return &commands[row_after[action] - 1];
}

const struct epb_command *
epb_command_by_name(struct epb_bytes name)
{
    for (unsigned i = 0; i < epb_command_count(); i++) {
        if (strlen(commands[i].name) == name.size_bytes && name.size_bytes > 0 &&
            memcmp(commands[i].name, name.data, name.size_bytes) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* The request's fields as bits of the table's columns. */
static uint32_t
fields_of(const struct epb_request *request)
{
    uint32_t fields = request->flags;

    if (request->key.size_bytes > 0) {
        fields |= EPB_HAS_KEY;
    }
    if (request->worker.size_bytes > 0) {
        fields |= EPB_HAS_WORKER;
    }
    if (request->value.size_bytes > 0 || (request->flags & EPB_F_BINARY) != 0) {
        fields |= EPB_HAS_VALUE;
    }
    return fields;
}

static bool
text_fits(struct epb_bytes text, size_t max_bytes)
{
    return text.size_bytes <= max_bytes && epb_utf8_valid(text);
}

/* Numbers without a check of their command must be exact in JavaScript. */
#define CHECKED_NUMBERS (EPB_F_WAIT | EPB_F_PERIOD | EPB_F_BURST | EPB_F_COST)

static bool
numbers_fit(const struct epb_request *request)
{
    return ((request->flags & EPB_F_WAIT) == 0 || request->wait_ms <= EPB_NUMBER_MAX) &&
           ((request->flags & EPB_F_PERIOD) == 0 ||
            request->period_ms <= EPB_NUMBER_MAX) &&
           ((request->flags & EPB_F_BURST) == 0 || request->burst <= EPB_NUMBER_MAX) &&
           ((request->flags & EPB_F_COST) == 0 || request->cost <= EPB_NUMBER_MAX);
}

/* Picks the error for the most important missing field. */
static enum epb_status
missing_status(const struct epb_command *command, uint32_t missing)
{
    const uint32_t both = EPB_HAS_KEY | EPB_HAS_WORKER;

    if ((command->needs & both) == both && (missing & both) != 0) {
        return EPB_KEY_AND_WORKER_REQUIRED;
    }
    if ((missing & EPB_HAS_KEY) != 0) {
        return EPB_INVALID_KEY;
    }
    if ((missing & EPB_HAS_WORKER) != 0) {
        return EPB_WORKER_REQUIRED;
    }
    return (missing & EPB_HAS_VALUE) != 0 ? EPB_INVALID_VALUE : EPB_INVALID_REQUEST;
}

enum epb_status
epb_command_check(const struct epb_command *command, const struct epb_request *request)
{
    uint32_t fields = fields_of(request);
    uint32_t missing = command->needs & ~fields;

    if ((request->flags & ~EPB_KNOWN_FLAGS) != 0 ||
        (fields & ~(command->needs | command->takes)) != 0) {
        return EPB_INVALID_REQUEST;
    }
    if (!text_fits(request->key, EPB_KEY_MAX_BYTES)) {
        return EPB_INVALID_KEY;
    }
    if (missing != 0) {
        return missing_status(command, missing);
    }
    if (!text_fits(request->worker, EPB_WORKER_MAX_BYTES) ||
        ((fields & CHECKED_NUMBERS) != 0 && !numbers_fit(request))) {
        return EPB_INVALID_REQUEST;
    }
    if ((fields & EPB_F_TTL) != 0 &&
        (request->ttl_ms == 0 || request->ttl_ms > EPB_NUMBER_MAX)) {
        return EPB_INVALID_TTL;
    }
    return EPB_OK;
}
