/*
 * The unfinished requests of one connection of lines: requests that wait for their reply,
 * and watches. The engine identifies a request by a number; the id of a line is a text,
 * or missing. A call holds both: a reply or an event finds its text, and a cancel finds
 * its number.
 *
 * Invariants: numbers are not 0 and differ from each other; so do the texts, except empty
 * ones. There are never more calls than the engine lets requests wait.
 *
 * Finding, adding and removing take constant time. Ids are texts of the client: their
 * memory is wiped.
 */
#ifndef EPB_WIRE_PENDING_LINES_H
#define EPB_WIRE_PENDING_LINES_H

#include "../base/list.h"
#include "../core/command.h"

struct epb_pending_lines;

struct epb_call {
    struct epb_list in_all;
    const struct epb_command *command;
    uint32_t number;
    bool is_marked; /* false at first; the user's */
    size_t id_bytes;
    uint8_t id[]; /* as JSON text */
};

/* NULL when memory is out. */
struct epb_pending_lines *
epb_pending_lines_new(void);
/* Frees all calls too. NULL is allowed. */
void
epb_pending_lines_free(struct epb_pending_lines *calls);

/* Adds a call with a new number. The id is empty or differs from all other calls' ids.
 * NULL when memory is out. */
struct epb_call *
epb_pending_lines_add(struct epb_pending_lines *calls, const struct epb_command *command,
                      struct epb_bytes id);
void
epb_pending_lines_remove(struct epb_pending_lines *calls, struct epb_call *call);

/* NULL when there is no such call. `calls` may be NULL. */
struct epb_call *
epb_pending_lines_numbered(const struct epb_pending_lines *calls, uint32_t number);
struct epb_call *
epb_pending_lines_named(const struct epb_pending_lines *calls, struct epb_bytes id);
/* The oldest call; NULL: there is none. */
struct epb_call *
epb_pending_lines_first(const struct epb_pending_lines *calls);
bool
epb_pending_lines_any(const struct epb_pending_lines *calls);

static inline struct epb_bytes
epb_call_id(const struct epb_call *call)
{
    return (struct epb_bytes){call->id, call->id_bytes};
}

#endif
