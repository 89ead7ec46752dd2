/*
 * The core, from the outside: the first header to read.
 *
 * A broker is a state machine that knows neither sockets nor clocks nor threads.
 * Bytes become requests in wire/, requests become replies here, and replies become
 * bytes in wire/ again; server/ owns the sockets and tells the time.
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
 * - core/msg.h: what a request and a reply are.
 * - core/commands.def and base/status.def: all commands, all errors. The only
 *   places that list them; enumerations, look-up, checks and what JavaScript knows
 *   come from these.
 * - core/engine.h: the calls above.
 * - core/store.h: values, TTL, versions, limits, eviction.
 * - core/lease.h: who holds what, and who is next; core/wait.h: requests that have no
 *   reply yet; core/watch.h, barrier.h, throttle.h: what else processes coordinate by.
 * - base/mem.h: the locked memory that keys, values and key material live in.
 * - base/sys.h and base/proc.h: all that is asked of the operating system.
 *
 * Rules that hold in every header below this one:
 * - A function that can fail returns enum epb_status, EPB_OK is 0, and
 *   out-parameters come last; after a failure nothing has changed and they are not
 *   set.
 * - _new and _free go together, as do _init and _fini; _free allows NULL. `const`
 *   borrows. A header says how long a returned pointer lives; struct epb_bytes
 *   never owns.
 * - Times are milliseconds and sizes are bytes, and the names say so at their end.
 * - An engine and all it owns belong to one thread at a time.
 * - Whatever may hold a secret is wiped before its memory is used again.
 * - Every allocation may fail; a request that meets that is refused with
 *   EPB_INTERNAL, and the engine goes on.
 */
#ifndef EPB_H
#define EPB_H

#include "base/bytes.h"
#include "base/proc.h"
#include "base/status.h"
#include "base/sys.h"
#include "core/command.h"
#include "core/engine.h"
#include "core/msg.h"
#include "core/options.h"
#include "core/stats.h"
#include "core/store.h"

#endif
