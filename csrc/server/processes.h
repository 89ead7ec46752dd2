/*
 * The processes at the other ends of a server's connections, each with what it has there.
 *
 * A process whose connections are all that a full broker takes must be able to renew what
 * it holds, and the connection that renews is one more. So a process that has a proven
 * connection may have one in surplus: it takes no place of the limit, and may renew only
 * (wire/session.h). There are at most as many of them as connections within the limit,
 * and a peer that has proven nothing gets none. When the last of the others is gone, it
 * goes, too.
 *
 * Where the system doesn't tell a peer's process (of another pid namespace), all such
 * peers are process 0, which may have as many in surplus as it has proven ones.
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
    struct epb_list surplus; /* its connections beyond the limit */
    unsigned surplus_count;
    unsigned proven; /* those within it that may reach the engine */
    unsigned users;
    uint32_t pid;
};

struct epb_processes {
    struct epb_list buckets[EPB_PROCESS_BUCKETS];
};

void
epb_processes_init(struct epb_processes *processes);
/* The process of one more connection, until epb_process_leave; NULL: memory is out. */
struct epb_process *
epb_process_enter(struct epb_processes *processes, uint32_t pid);
/* Frees it with the last one. */
void
epb_process_leave(struct epb_process *process);
bool
epb_process_may_have_surplus(const struct epb_process *process);

#endif
