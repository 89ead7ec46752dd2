/* See path_plan.h. */
#include "path_plan.h"

#include "../base/sys.h"

/* Counts the exchange that ends as small or large. */
static void
count_exchange(struct epb_path_plan *plan)
{
    if (plan->exchanged_bytes > EPB_PATH_LARGE_BYTES) {
        plan->large_in_row++;
        plan->small_in_row = 0;
    } else {
        plan->small_in_row++;
        plan->large_in_row = 0;
    }
}

static bool
should_switch(const struct epb_path_plan *plan)
{
    return plan->is_on_pipe_pair ? plan->large_in_row >= EPB_PATH_LARGE_IN_ROW
                                 : plan->small_in_row >= EPB_PATH_SMALL_IN_ROW;
}

enum epb_path_step
epb_path_send(struct epb_path_plan *plan, size_t sent_bytes)
{
    if (plan->state == EPB_PATH_FIXED) {
        return EPB_PATH_STAY;
    }
    count_exchange(plan);
    plan->exchanged_bytes = sent_bytes;
    if (!should_switch(plan)) {
        return EPB_PATH_STAY;
    }
    if (plan->state == EPB_PATH_SOCKET) {
        return EPB_PATH_ASK;
    }
    return plan->state == EPB_PATH_CHOSEN ? EPB_PATH_SWITCH : EPB_PATH_STAY;
}

void
epb_path_receive(struct epb_path_plan *plan, size_t received_bytes)
{
    plan->exchanged_bytes += received_bytes;
}

void
epb_path_asked(struct epb_path_plan *plan, bool is_sent)
{
    EPB_ASSERT(plan->state == EPB_PATH_SOCKET);
    plan->state = is_sent ? EPB_PATH_ASKED : EPB_PATH_FIXED;
}

enum epb_path_step
epb_path_paired(struct epb_path_plan *plan, bool has_pair)
{
    EPB_ASSERT(plan->state == EPB_PATH_ASKED);
    plan->state = has_pair ? EPB_PATH_CHOSEN : EPB_PATH_FIXED;
    return has_pair ? EPB_PATH_SWITCH : EPB_PATH_STAY;
}

void
epb_path_began(struct epb_path_plan *plan, bool is_sent)
{
    EPB_ASSERT(plan->state == EPB_PATH_CHOSEN);
    if (is_sent) {
        plan->state = EPB_PATH_SWITCHING;
    }
}

void
epb_path_switched(struct epb_path_plan *plan, bool is_granted)
{
    EPB_ASSERT(plan->state == EPB_PATH_SWITCHING);
    if (is_granted) {
        plan->state = EPB_PATH_CHOSEN;
        plan->is_on_pipe_pair = !plan->is_on_pipe_pair;
    } else {
        plan->state = EPB_PATH_FIXED;
    }
}

bool
epb_path_awaits_reply(const struct epb_path_plan *plan)
{
    return plan->state == EPB_PATH_ASKED || plan->state == EPB_PATH_SWITCHING;
}
