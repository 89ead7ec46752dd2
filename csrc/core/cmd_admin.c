/* Handlers of the commands that ask for the broker itself. */
#include "command.h"
#include "state.h"

void
epb_cmd_ping(struct epb_engine *engine, struct epb_party *party,
             const struct epb_request *request, const struct epb_time *now,
             struct epb_reply *reply)
{
    (void)engine;
    (void)party;
    (void)request;
    reply->flags = EPB_F_COUNT;
    reply->count = (int64_t)now->wall_ms;
}

void
epb_cmd_stats(struct epb_engine *engine, struct epb_party *party,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    (void)party;
    (void)request;
    epb_state_stats(engine, now, &engine->report);
    reply->stats = &engine->report;
}

/* What travels how is the session's and its owner's affair (wire/session.h). */
void
epb_cmd_pipes(struct epb_engine *engine, struct epb_party *party,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    (void)engine;
    (void)party;
    (void)request;
    (void)now;
    (void)reply;
}
