/*
 * The typed request and reply: what the wire decodes into and encodes from, and all that
 * the core knows of a client's wish. The bit numbers of the flags are those of the frame
 * encoding.
 */
#ifndef EPB_CORE_MSG_H
#define EPB_CORE_MSG_H

#include <stdbool.h>

#include "../base/bytes.h"
#include "../base/status.h"

/* The action numbers: EPB_ACTION_GET and so on, from commands.def. */
enum epb_action {
#define EPB_COMMAND(number, NAME, wire, handler, needs, takes, shape) \
    EPB_ACTION_##NAME = (number),
#include "commands.def"
#undef EPB_COMMAND
};

/* Bits 0 to 7: an 8-byte number is there, in this order. */
#define EPB_NUMBER_COUNT 8U
#define EPB_NUMBER_FLAGS 0x00FFU
#define EPB_F_TTL 0x0001U     /* u64 ms */
#define EPB_F_VERSION 0x0002U /* u64: the version a write expects; a reply's own */
#define EPB_F_FENCE 0x0004U   /* u64: fencing token */
#define EPB_F_COUNT 0x0008U   /* i64: amount, permits, parties; a reply's number */
#define EPB_F_WAIT 0x0010U    /* u64 ms */
#define EPB_F_PERIOD 0x0020U  /* u64 ms */
#define EPB_F_BURST 0x0040U   /* u64 */
#define EPB_F_COST 0x0080U    /* u64 */
/* Bits 8 and up: yes or no. */
#define EPB_F_IF_ABSENT 0x0100U
#define EPB_F_FORCE 0x0200U
#define EPB_F_BINARY 0x0400U /* the value is bytes, not JSON text */
#define EPB_F_GZIP 0x0800U   /* the value is compressed (RFC 1952) */
#define EPB_VALUE_FLAGS (EPB_F_BINARY | EPB_F_GZIP)
#define EPB_KNOWN_FLAGS 0x0FFFU

/* Fields that are no flags, for the command table's columns. */
#define EPB_HAS_KEY 0x10000U
#define EPB_HAS_WORKER 0x20000U
#define EPB_HAS_VALUE 0x40000U

#define EPB_KEY_MAX_BYTES 512U
#define EPB_WORKER_MAX_BYTES 256U
/* The largest TTL in ms, version or counter: 2^53 - 1, exact in JavaScript. */
#define EPB_NUMBER_MAX 9007199254740991

struct epb_request {
    uint8_t action; /* as read; may be no known action */
    uint32_t flags;
    uint32_t id; /* the client's, given back in the reply */
    struct epb_bytes key;
    struct epb_bytes worker;
    struct epb_bytes value;
    uint64_t ttl_ms;
    uint64_t version;
    uint64_t fence;
    int64_t count;
    uint64_t wait_ms;
    uint64_t period_ms;
    uint64_t burst;
    uint64_t cost;
};

struct epb_stats;

/* What `body` borrows stays as it is until the next call on the engine. */
struct epb_reply {
    enum epb_status status;
    uint32_t flags; /* which of the numbers below are there, and EPB_VALUE_FLAGS of the
                       body */
    uint32_t id;
    uint64_t ttl_ms;
    uint64_t version;
    uint64_t fence;
    int64_t count;
    struct epb_bytes body;         /* the value; packed entries for list */
    const struct epb_stats *stats; /* for stats, health and metrics; else NULL */
};

/* What a reply looks like to a person: the JSON encoding and the client follow it. */
enum epb_shape {
    EPB_SHAPE_NOTHING, /* success is all */
    EPB_SHAPE_VALUE,   /* the body is the value */
    EPB_SHAPE_ENTRY,   /* value, version and remaining TTL */
    EPB_SHAPE_NUMBER,  /* count */
    EPB_SHAPE_BOOLEAN, /* count is 0 or 1 */
    EPB_SHAPE_TTL,     /* remaining TTL */
    EPB_SHAPE_PONG,    /* count is the broker's wall clock in ms */
    EPB_SHAPE_LIST,    /* packed entries */
    EPB_SHAPE_STATS,
    EPB_SHAPE_HEALTH,
    EPB_SHAPE_METRICS
};

/* An entry of a list reply, packed: u64 remaining TTL ms, u64 version, u32 stored value
 * bytes, u16 key bytes, key. Sorted by key, bytewise. */
#define EPB_LIST_ENTRY_HEADER_BYTES 22U

#endif
