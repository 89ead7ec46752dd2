/*
 * The log of a broker on standard error: records and heartbeats as JSON lines, or
 * warnings as sentences.
 *
 * The broker's thread never waits for a reader of standard error. With records or
 * heartbeats, a thread writes what is queued; when the queue is full, lines are left out
 * and counted. Without, a warning that can't be written at once is left out.
 *
 * Thread-safe after open.
 */
#ifndef EPB_CLI_BROKER_LOG_H
#define EPB_CLI_BROKER_LOG_H

#include <stdbool.h>

#include "../base/bytes.h"
#include "../base/status.h"

struct epb_broker_log;

/* Without `records` warnings are written, as sentences. With `sandbox` the thread is
 * confined (os/sandbox.h). EPB_INTERNAL: memory or threads are out. */
EPB_MUST_USE enum epb_status
epb_broker_log_open(bool records, bool heartbeats, bool sandbox,
                    struct epb_broker_log **out);
/* A JSON object of server/log.h. */
void
epb_broker_log_put(struct epb_broker_log *log, struct epb_bytes json);
/* The statistics of a broker. */
void
epb_broker_log_heartbeat(struct epb_broker_log *log, struct epb_bytes json);
/* A record of ours with one more member: its JSON, or NULL. */
void
epb_broker_log_event(struct epb_broker_log *log, const char *event, const char *member);
/* Waits until everything is written, for at most `limit_ms`. The process ends then: the
 * log is not freed. */
void
epb_broker_log_finish(struct epb_broker_log *log, unsigned limit_ms);

#endif
