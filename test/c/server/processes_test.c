/* Which process may have a connection beyond a broker's limit. */
#include "server/processes.h"

#include <criterion/criterion.h>

#define PID 4711U

static struct epb_processes processes;

static void
begin(void)
{
    epb_processes_init(&processes);
}

/* As a server counts them; the last to leave frees. */
static void
leave(struct epb_process *process, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        epb_process_leave(process);
    }
}

Test(processes, one_that_has_proven_nothing_gets_none, .init = begin)
{
    struct epb_process *process = epb_process_enter(&processes, PID);

    cr_assert_not_null(process);
    cr_assert_not(epb_process_may_have_surplus(process));
    leave(process, 1);
}

Test(processes, one_gets_one_however_many_it_has, .init = begin)
{
    struct epb_process *process = epb_process_enter(&processes, PID);

    cr_assert_eq(epb_process_enter(&processes, PID), process);
    process->proven = 2;
    cr_assert(epb_process_may_have_surplus(process));
    process->surplus_count = 1;
    cr_assert_not(epb_process_may_have_surplus(process));
    process->proven = 0;
    leave(process, 2);
}

Test(processes, those_of_which_nothing_is_known_get_one_each, .init = begin)
{
    struct epb_process *process = epb_process_enter(&processes, 0);

    process->proven = 2;
    process->surplus_count = 1;
    cr_assert(epb_process_may_have_surplus(process));
    process->surplus_count = 2;
    cr_assert_not(epb_process_may_have_surplus(process));
    process->proven = 0;
    leave(process, 1);
}

Test(processes, of_one_bucket_each_counts_for_itself, .init = begin)
{
    struct epb_process *one = epb_process_enter(&processes, PID);
    struct epb_process *other = epb_process_enter(&processes, PID + EPB_PROCESS_BUCKETS);

    cr_assert_neq(one, other);
    one->proven = 1;
    cr_assert(epb_process_may_have_surplus(one));
    cr_assert_not(epb_process_may_have_surplus(other));
    one->proven = 0;
    leave(one, 1);
    struct epb_process *again = epb_process_enter(&processes, PID + EPB_PROCESS_BUCKETS);
    cr_assert_eq(again, other);
    leave(other, 2);
}
