/*
 * Leases as the service of a companion: it holds them on its connection, and renews them,
 * for as long as the command runs. When one is lost all the same (the broker has ended,
 * the companion stood still for longer than its TTL, a client released it by force), the
 * command must not go on as if it had it: it gets TERM, and KILL after the grace period.
 *
 * The answer of the service is the variables of the command, "NAME=value" and a NUL each.
 */
#ifndef EPB_CLI_HOLDING_H
#define EPB_CLI_HOLDING_H

#include "companion.h"
#include "dialog.h"

#define EPB_HOLDINGS_MAX 16U

struct epb_holding {
    struct epb_request request; /* LOCK or LEASE */
    uint64_t token;             /* 0: not yet granted */
};

struct epb_holdings {
    struct epb_companion_service service;
    struct epb_cli *cli;
    uint32_t pid;            /* of the command, as whose `leases` shows them */
    bool is_tied;            /* to a process that is not this one: there is no command */
    struct epb_bytes secret; /* ordinary memory; wiped once the connection has it */
    const struct epb_hint *hints;
    struct epb_holding each[EPB_HOLDINGS_MAX];
    size_t count;
    /* Writes the variables of what was granted; may be NULL. Returns 0 or a status after
     * a complaint. */
    int (*put_variables)(struct epb_cli *cli, size_t index, const struct epb_reply *reply,
                         struct epb_buf *variables);
    /* In the companion. */
    const struct epb_companion *companion;
    struct epb_dialog dialog;
    struct epb_buf flow;
    bool lost;
};

/* Prepares the service; the caller fills in the rest. */
void
epb_holdings_init(struct epb_holdings *holdings, struct epb_cli *cli);
/* Takes the leases in a companion that is tied to the process `holdings->pid`. `answer`
 * gets what put_variables wrote. Returns 0, or a status after a complaint. POSIX. */
EPB_MUST_USE int
epb_holdings_tie(struct epb_holdings *holdings, struct epb_buf *answer);
/* Takes the leases in a companion, and becomes the command. Returns a status after a
 * complaint. */
EPB_MUST_USE int
epb_holdings_run(struct epb_holdings *holdings);

#endif
