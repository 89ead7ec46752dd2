/*
 * Waiting for keys: waitFor, and watch.
 *
 * Requests that wait for a key are in a group of that key. The group exists until every
 * request in it has its final reply: a request that was woken but found no value can
 * always wait again.
 *
 * Watchers are found by their prefix: a map leads from prefix to watchers, and a list
 * contains the lengths of the prefixes. A write looks up one prefix for each different
 * length, and nothing when there are no watchers. A watcher queues its events until the
 * peer takes them: at most EPB_WATCH_EVENTS events and EPB_WATCH_BYTES. Beyond that, or
 * without memory, the queue is dropped and becomes one overflow event. So a slow watcher
 * loses events, learns that it did, and never costs more than its queue. Until the
 * overflow event is taken, the watcher is silent and writes skip it: a peer that reads
 * nothing costs the others nothing.
 *
 * Invariants: the events of one watcher are in the order of the changes; an overflow
 * event marks where events are missing; a watcher gets every change after the reply to
 * its request; a watcher is in its peer's `events` as long as it has events.
 */
#ifndef EPB_CORE_WATCH_H
#define EPB_CORE_WATCH_H

#include "../base/arena.h"
#include "budget.h"
#include "wait.h"

#define EPB_WATCH_EVENTS EPB_LIMIT(1024U, 4U)
#define EPB_WATCH_BYTES EPB_LIMIT(64U * 1024U, 1024U)
/* Per peer, since each may cost every write of other peers. */
#define EPB_WATCHES_MAX EPB_LIMIT(256U, 8U)

struct epb_watches;

/* Borrows all arguments while the watches exist. Returns NULL when out of memory. */
struct epb_watches *
epb_watches_new(struct epb_arena *arena, struct epb_quota *quota,
                struct epb_waits *waits);
/* Every peer must have left. NULL is allowed. */
void
epb_watches_free(struct epb_watches *watches);

/* The request waits until the key has a value (the wait finishes with EPB_OK), or until
 * its WAIT is over. EPB_MAX_MEMORY, EPB_INTERNAL, the errors of epb_wait_new. */
EPB_MUST_USE enum epb_status
epb_watch_wait_for(struct epb_watches *watches, struct epb_peer *peer,
                   const struct epb_request *request, const struct epb_time *now);
/* The key of a wait of epb_watch_wait_for; valid until the wait is freed. */
struct epb_bytes
epb_watch_wait_key(const struct epb_wait *wait);
/* A popped wait, whose key has no value again, waits again. */
void
epb_watch_wait_again(struct epb_watches *watches, struct epb_wait *wait);
/* Adds a watcher of all keys with the request's key as prefix (empty: all keys), until it
 * is cancelled. EPB_MAX_WAITERS (also when the peer has EPB_WATCHES_MAX), EPB_MAX_MEMORY,
 * EPB_CONFLICT (the id is 0, or that of another watcher or wait of this peer),
 * EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_watch_add(struct epb_watches *watches, struct epb_peer *peer,
              const struct epb_request *request);
/* Whether the peer has a watcher with this id. */
bool
epb_watch_has(const struct epb_watches *watches, const struct epb_peer *peer,
              uint32_t id);
/* Ends the watcher and drops its events. Returns whether there was a watcher with this
 * id. */
bool
epb_watch_cancel(struct epb_watches *watches, struct epb_peer *peer, uint32_t id);
/* A key has changed. Cheap when nothing waits or watches. Calls only epb_wait_finish and
 * epb_peer_ready. */
void
epb_watch_change(struct epb_watches *watches, enum epb_event_kind kind,
                 struct epb_bytes key, uint64_t version);
/* Takes packed events (msg.h) of one of the peer's watchers: at most `max_bytes`, but at
 * least one event. Returns false when there are none. `packed` is valid until the next
 * call. Watchers take turns. */
bool
epb_watch_next(struct epb_watches *watches, struct epb_peer *peer, size_t max_bytes,
               uint32_t *id, struct epb_bytes *packed);
/* Wipes the events that the last epb_watch_next returned. */
void
epb_watch_forget(struct epb_watches *watches);
/* Ends watchers of the peer, within the budget. True: all of them. */
bool
epb_watch_leave(struct epb_watches *watches, struct epb_peer *peer,
                struct epb_budget *budget);
uint64_t
epb_watches_count(const struct epb_watches *watches);
size_t
epb_watches_table_bytes(const struct epb_watches *watches);

#endif
