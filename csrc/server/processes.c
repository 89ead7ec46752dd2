/* See processes.h. */
#include "processes.h"

#include "../base/mem.h"

void
epb_processes_init(struct epb_processes *processes)
{
    for (unsigned i = 0; i < EPB_PROCESS_BUCKETS; i++) {
        epb_list_init(&processes->buckets[i]);
    }
}

static struct epb_process *
find(const struct epb_list *bucket, uint32_t pid)
{
    for (struct epb_list *node = bucket->next; node != bucket; node = node->next) {
        struct epb_process *process = EPB_LIST_ITEM(node, struct epb_process, of_bucket);
        if (process->pid == pid) {
            return process;
        }
    }
    return NULL;
}

static struct epb_process *
add(struct epb_list *bucket, uint32_t pid)
{
    struct epb_process *process = epb_mem_table_alloc(sizeof(*process));

    if (process == NULL) {
        return NULL;
    }
    process->pid = pid;
    epb_list_init(&process->of_bucket);
    epb_list_init(&process->surplus);
    epb_list_append(bucket, &process->of_bucket);
    return process;
}

struct epb_process *
epb_process_enter(struct epb_processes *processes, uint32_t pid)
{
    struct epb_list *bucket = &processes->buckets[pid % EPB_PROCESS_BUCKETS];
    struct epb_process *process = find(bucket, pid);

    if (process == NULL) {
        process = add(bucket, pid);
    }
    if (process != NULL) {
        process->users++;
    }
    return process;
}

void
epb_process_leave(struct epb_process *process)
{
    EPB_ASSERT(process->users != 0);
    if (--process->users != 0) {
        return;
    }
    EPB_ASSERT(process->proven == 0 && epb_list_empty(&process->surplus));
    epb_list_remove(&process->of_bucket);
    epb_mem_table_free(process);
}

bool
epb_process_may_have_surplus(const struct epb_process *process)
{
    unsigned most = process->pid != 0 && process->proven != 0 ? 1 : process->proven;

    return process->surplus_count < most;
}
