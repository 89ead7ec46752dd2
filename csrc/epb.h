/*
 * The core as its callers see it: the first header to read.
 *
 * A broker is a state machine that knows no sockets, clocks or threads. wire/ turns bytes
 * into requests, core/ turns requests into replies, and wire/ turns replies into bytes.
 * server/ owns the sockets and reads the clock.
 *
 *     struct epb_time now;
 *     epb_sys_now(&now);
 *     struct epb_engine *engine = epb_engine_new(&options, &now, on_ready, context);
 *     struct epb_peer *peer = epb_engine_join(engine, user, false);
 *     ...
 *     epb_engine_run(engine, peer, &request, &now, &reply);  any number of times
 *     epb_engine_next(engine, peer, &now, &reply);           after on_ready
 *     epb_engine_sweep(engine, &now, &due);                   when it is due, or before
 *     ...
 *     epb_engine_leave(engine, peer, &now);
 *     epb_engine_free(engine);
 *
 * Where to read on:
 * - core/msg.h: requests and replies.
 * - core/commands.def and base/status.def: all commands and all errors. Nothing else
 *   lists them: enumerations, look-up, checks and the tables in JavaScript are generated
 *   from these two files.
 * - core/engine.h: the calls above.
 * - core/store.h: values, TTL, versions, limits, eviction.
 * - core/lease.h: holders of leases and their queues; core/wait.h: requests that have no
 *   reply yet; core/watch.h, barrier.h, throttle.h: the other ways to coordinate
 *   processes.
 * - base/arena.h: the locked memory for keys, values and key material.
 * - base/sys.h: everything the core asks of the operating system.
 *
 * Rules for every header below this one:
 * - A function that can fail returns enum epb_status. EPB_OK is 0. Out-parameters come
 *   last. A failed call changes nothing and leaves its out-parameters unset.
 * - _new pairs with _free, and _init with _fini; _free allows NULL. `const` borrows. A
 *   header states how long a returned pointer lives. struct epb_bytes never owns.
 * - Times are in milliseconds and sizes in bytes; names end in the unit.
 * - An engine and everything it owns belong to one thread at a time.
 * - Memory that may hold a secret is wiped before it is reused.
 * - Every allocation may fail. The request that needed it is refused with EPB_INTERNAL,
 *   and the engine keeps running.
 */
#ifndef EPB_H
#define EPB_H

#include "base/bytes.h"
#include "base/status.h"
#include "base/sys.h"
#include "core/command.h"
#include "core/engine.h"
#include "core/msg.h"
#include "core/options.h"
#include "core/stats.h"
#include "core/store.h"

#endif
