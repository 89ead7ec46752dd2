/*
 * The typed request and reply: what the wire decodes into and encodes from, and all that
 * the core knows of a client's wish. The bit numbers of the flags are those of the frame
 * encoding.
 */
#ifndef EPB_CORE_MSG_H
#define EPB_CORE_MSG_H

#include <stdbool.h>
#include <string.h>

#include "../base/bytes.h"
#include "../base/status.h"

/* The action numbers: EPB_ACTION_GET and so on, from commands.def. */
enum epb_action {
#define EPB_COMMAND(number, NAME, wire, handler, needs, takes, shape) \
    EPB_ACTION_##NAME = (number),
#include "commands.def"
#undef EPB_COMMAND
};

/* The value of `join`. A peer that has it is of the session: drawn at random, and a
 * secret as such. */
#define EPB_SESSION_KEY_BYTES 16U

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
#define EPB_F_FRESH 0x1000U  /* a grant of its own, whatever the holder has already */
#define EPB_F_SHARED 0x2000U /* a lock that others may share */
#define EPB_F_DETACHED \
    0x4000U                   /* the holder is the worker id alone, without its session */
#define EPB_F_DISCARD 0x8000U /* what is released leaves its pool */
#define EPB_KNOWN_FLAGS 0xFFFFU

/* Fields that are no flags, for the command table's columns. */
#define EPB_HAS_KEY 0x10000U
#define EPB_HAS_WORKER 0x20000U
#define EPB_HAS_VALUE 0x40000U

#define EPB_KEY_MAX_BYTES 512U
#define EPB_WORKER_MAX_BYTES 256U
/* The largest TTL in ms, version or counter: 2^53 - 1, exact in JavaScript. */
#define EPB_NUMBER_MAX 9007199254740991
/* A TTL of this many ms (139 years) or more is as long as the broker; replies have
 * EPB_NUMBER_MAX for it. */
#define EPB_TTL_FOREVER_MS (UINT64_C(1) << 42)

struct epb_request {
    uint8_t action; /* as read; may be no known action */
    uint32_t flags;
    uint32_t id; /* the client's, given back in the reply; 0: it wants no reply */
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
    uint64_t wait_ms;
    uint64_t period_ms;
    uint64_t burst;
    struct epb_bytes body;         /* the value; packed entries, see below */
    const struct epb_stats *stats; /* for stats, health and metrics; else NULL */
    size_t rest_bytes;             /* of the body, which epb_engine_piece gives: else 0 */
    uint64_t as_of_wall_ms;        /* of a list: when it began; of a refusal: its time */
    bool deferred; /* there is no reply yet: epb_engine_next will have it */
};

/* EPB_TOO_LARGE, and by how much: COUNT bytes where BURST are the limit, which is the
 * option in the body. `option` is a literal. */
static inline void
epb_reply_too_large(struct epb_reply *reply, uint64_t size_bytes, uint64_t limit_bytes,
                    const char *option)
{
    reply->status = EPB_TOO_LARGE;
    reply->flags = EPB_F_COUNT | EPB_F_BURST;
    reply->count = (int64_t)size_bytes;
    reply->burst = limit_bytes;
    reply->body = (struct epb_bytes){(const uint8_t *)option, strlen(option)};
}

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
    EPB_SHAPE_METRICS,
    EPB_SHAPE_LEASE,   /* fence, ttl, and a count or a body where the lease has a value */
    EPB_SHAPE_RENEWAL, /* count: how many were renewed; body: packed losses */
    EPB_SHAPE_LEASES,  /* packed grants and waiting requests */
    EPB_SHAPE_COMPUTE, /* a value, a fence to compute it with, or both */
    EPB_SHAPE_THROTTLE,    /* count: allowed; burst: remaining; wait, period: ms */
    EPB_SHAPE_CLEARED,     /* count: how many; burst: how many are held, and stay */
    EPB_SHAPE_DESCRIPTION, /* packed */
    EPB_SHAPE_WATCH        /* success; events follow with id 0 */
};

/* An entry of a list reply, packed: u64 remaining TTL ms, u64 version, u32 stored value
 * bytes, u16 key bytes, key. Sorted by key, bytewise. */
#define EPB_LIST_ENTRY_HEADER_BYTES 22U

/* The value of a pool request, packed: u32 element bytes, u8 (1: bytes, 0: JSON text),
 * element. */
#define EPB_ELEMENT_HEADER_BYTES 5U

/* A loss in a renewal: u64 fencing token, u16 key bytes, key. */
#define EPB_LOSS_HEADER_BYTES 10U

/* A name near one that was not found, in the body of EPB_NOT_FOUND: u8 enum
 * epb_lease_kind, u16 key bytes, key. The nearest first. */
#define EPB_NEAR_HEADER_BYTES 3U

/* An entry of a leases reply: u8 1 held, 2 waiting; u8 enum epb_lease_kind; u8 1: shared,
 * 2: of several things; u64 session, 0: none; u64 fencing token, 0: waiting; u64 ms left
 * to expiry, or to the end of the wait; u64 ms since it was granted, or began to wait;
 * u32 process id of the session, 0: not known; u16 key bytes; u16 worker bytes; key;
 * worker; of several: u32 things. Sorted by key and kind; of these, grants by token, then
 * the queue in its order. */
#define EPB_LEASES_ENTRY_HEADER_BYTES 43U
#define EPB_LEASES_SHARED 1U
#define EPB_LEASES_SEVERAL 2U

/* The body of a refusal with EPB_LEASE_HELD, EPB_WAIT_TIMEOUT or EPB_DEADLOCK, if there
 * is one: what was in the way. u32 place in the queue, from 1, 0: none, or above 100; u32
 * how many wait there; u32 how many hold it, counted to 100; then up to 8 of these, as
 * entries of a leases reply. Of a deadlock, grants of the cycle: each one's flow waits
 * for the next, the last one's for the first, which the refused flow holds; place and
 * waiting are 0, and the third number is how many there are. */
#define EPB_OBSTACLE_HEADER_BYTES 12U

/* The body of a grant that was asked for by a count: of numbers and permits, u64 each;
 * else elements as in the value of a pool request, whose u8 is of these bits. */
#define EPB_ELEMENT_BYTES 1U
#define EPB_ELEMENT_GZIP 2U

/* The body of a description, empty when nothing has the name: u8 enum epb_lease_kind; u64
 * size, u64 free (2^64 - 1: without end), u64 waiting. */
#define EPB_DESCRIPTION_BYTES 25U

/* Events have id 0. Of a watch: status EPB_OK, count the id of the watch request, body
 * packed events: u8 kind, u64 version, u16 key bytes, key. Of a lease that ended without
 * its holder's doing: status EPB_LEASE_LOST, fence its token, body its key. */
enum epb_event_kind {
    EPB_EVENT_SET = 1,
    EPB_EVENT_DEL = 2,
    EPB_EVENT_EXPIRE = 3,
    EPB_EVENT_EVICT = 4,
    EPB_EVENT_OVERFLOW = 5 /* events were left out here; no key, version 0 */
};
#define EPB_EVENT_HEADER_BYTES 11U

/* A lease for which no TTL was given: its session renews it. */
#define EPB_LEASE_TTL_DEFAULT_MS 60000U
/* The same in the name of no session: nothing renews it unseen. */
#define EPB_LEASE_TTL_DETACHED_MS 1800000U
/* Why a computation failed, for those who waited for it. */
#define EPB_REASON_MAX_BYTES 1024U

#endif
