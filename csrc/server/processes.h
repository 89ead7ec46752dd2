/*
 * The processes of a server's peers, each with its connections.
 *
 * When a broker is full, a process whose connections fill it must still be able to renew
 * its leases, and renewing takes one more connection. So a process that has a proven
 * connection may have one connection in surplus: it does not count against the limit and
 * may only renew (wire/session.h). There are at most as many surplus connections as
 * connections within the limit, and an unproven peer gets none. When a process's last
 * proven connection within the limit closes, its surplus connections close too.
 *
 * When the system doesn't provide a peer's process id (another pid namespace), all such
 * peers share process 0, which may have as many surplus connections as proven ones.
 *
 * For one thread.
 */
#ifndef EPB_SERVER_PROCESSES_H
#define EPB_SERVER_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/list.h"

#define EPB_PROCESS_BUCKETS 256U

struct epb_process {
    struct epb_list of_bucket;
    struct epb_list surplus; /* connections beyond the limit */
    unsigned surplus_count;
    unsigned proven; /* connections within the limit that may reach the engine */
    unsigned users;
    uint32_t pid;
};

struct epb_processes {
    struct epb_list buckets[EPB_PROCESS_BUCKETS];
};

void
epb_processes_init(struct epb_processes *processes);
/* Adds a connection to its process; call epb_process_leave when it closes. NULL when
 * memory is out. */
struct epb_process *
epb_process_enter(struct epb_processes *processes, uint32_t pid);
/* Removes a connection. The last one frees the process. */
void
epb_process_leave(struct epb_process *process);
bool
epb_process_may_have_surplus(const struct epb_process *process);

#endif
