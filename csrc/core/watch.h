/*
 * Waiting for keys: waitFor, and watch.
 *
 * Requests that wait for a key are in a group of that key. The group stays as long as a
 * request of it has not been answered for good, so that one that was woken in vain can
 * always wait again.
 *
 * Watchers are found by their prefix: a map from prefix to watchers, and the lengths that
 * prefixes have; so a write looks up as many prefixes as there are different lengths, and
 * costs nothing when nobody watches. A watcher's events wait in a queue of its own until
 * the peer takes them: at most EPB_WATCH_EVENTS of them and EPB_WATCH_BYTES. Beyond that
 * (or without memory) the queue is thrown away and becomes one overflow event: a slow
 * watcher loses events and learns it; it never costs more than its queue. Until the
 * overflow is taken the watcher is silent: a write doesn't come across it, so that who
 * reads nothing costs others nothing.
 *
 * Invariants: events of one watcher are in the order of the changes; an overflow stands
 * where events are missing; a watcher sees every change after the reply to its request; a
 * watcher is among its peer's `events` as long as it has any.
 */
#ifndef EPB_CORE_WATCH_H
#define EPB_CORE_WATCH_H

#include "../base/arena.h"
#include "budget.h"
#include "wait.h"

#define EPB_WATCH_EVENTS EPB_LIMIT(1024U, 4U)
#define EPB_WATCH_BYTES EPB_LIMIT(64U * 1024U, 1024U)
/* Of a peer, since each may cost every write of others. */
#define EPB_WATCHES_MAX EPB_LIMIT(256U, 8U)

struct epb_watches;

/* All borrow, for the life of the watches. NULL when memory is out. */
struct epb_watches *
epb_watches_new(struct epb_arena *arena, struct epb_quota *quota,
                struct epb_waits *waits);
/* Every peer has left. NULL is allowed. */
void
epb_watches_free(struct epb_watches *watches);

/* The request waits until the key has a value (its wait is finished with EPB_OK), or its
 * WAIT is over. EPB_MAX_MEMORY, EPB_INTERNAL, the errors of epb_wait_new. */
EPB_MUST_USE enum epb_status
epb_watch_wait_for(struct epb_watches *watches, struct epb_peer *peer,
                   const struct epb_request *request, const struct epb_time *now);
/* The key of a wait of epb_watch_wait_for, until it is freed. */
struct epb_bytes
epb_watch_wait_key(const struct epb_wait *wait);
/* A wait that was popped, whose key has no value again: waits again. */
void
epb_watch_wait_again(struct epb_watches *watches, struct epb_wait *wait);
/* A watcher of all keys with the request's key as prefix (empty: of all), until it is
 * cancelled. EPB_MAX_WAITERS (also when the peer has EPB_WATCHES_MAX), EPB_MAX_MEMORY,
 * EPB_CONFLICT (the id is 0, or a watcher's
 * or a wait's of this peer already), EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_watch_add(struct epb_watches *watches, struct epb_peer *peer,
              const struct epb_request *request);
/* Whether the peer has a watcher with this id. */
bool
epb_watch_has(const struct epb_watches *watches, const struct epb_peer *peer,
              uint32_t id);
/* Ends it, with its events. Whether there was a watcher with this id. */
bool
epb_watch_cancel(struct epb_watches *watches, struct epb_peer *peer, uint32_t id);
/* Something happened to a key. Cheap when nobody waits or watches. Calls nobody but
 * epb_wait_finish and epb_peer_ready. */
void
epb_watch_change(struct epb_watches *watches, enum epb_event_kind kind,
                 struct epb_bytes key, uint64_t version);
/* Takes events of one watcher of the peer, packed (msg.h), at most `max_bytes` but at
 * least one; false when there are none. `packed` is valid until the next call. Watchers
 * take turns. */
bool
epb_watch_next(struct epb_watches *watches, struct epb_peer *peer, size_t max_bytes,
               uint32_t *id, struct epb_bytes *packed);
/* Wipes what the last epb_watch_next gave. */
void
epb_watch_forget(struct epb_watches *watches);
/* Ends watchers of the peer, as far as the budget goes; true: all of them. */
bool
epb_watch_leave(struct epb_watches *watches, struct epb_peer *peer,
                struct epb_budget *budget);
uint64_t
epb_watches_count(const struct epb_watches *watches);
size_t
epb_watches_table_bytes(const struct epb_watches *watches);

#endif
