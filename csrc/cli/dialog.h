/*
 * The conversation of a command with the broker that its flags and its environment name.
 *
 * Each function that fails has complained: it returns the exit status, 1 when the broker
 * refused and 3 when there was no conversation.
 */
#ifndef EPB_CLI_DIALOG_H
#define EPB_CLI_DIALOG_H

#include "../client/caller.h"
#include "cli.h"
#include "messages.h"

struct epb_dialog {
    struct epb_cli *cli;
    struct epb_caller *caller;
    const char *path;
    struct epb_buf flow; /* see flow.h */
};

/* How to connect, beyond the flags. */
struct epb_dialog_how {
    bool shares_session;
    uint32_t session_pid; /* the process that `leases` shows; 0: this one */
    epb_caller_event_fn on_event;
    epb_client_fn on_ready;
    void *context;
};

/* Connects with the first request only. Pairs with epb_dialog_close, also after a
 * failure. `how` may be NULL. */
EPB_MUST_USE int
epb_dialog_open(struct epb_dialog *dialog, struct epb_cli *cli,
                const struct epb_dialog_how *how);
/* The same with a secret that was resolved before; empty: none. */
EPB_MUST_USE int
epb_dialog_open_with(struct epb_dialog *dialog, struct epb_cli *cli,
                     struct epb_bytes secret, const struct epb_dialog_how *how);
void
epb_dialog_close(struct epb_dialog *dialog);

/* A reply with a status other than EPB_OK is a failure; `hints` see messages.h. Adds the
 * flow to a request that may wait. */
EPB_MUST_USE int
epb_dialog_ask(struct epb_dialog *dialog, const struct epb_request *request,
               const struct epb_hint *hints, struct epb_reply *reply);
/* The same, with the reply's refusal left to the caller. */
EPB_MUST_USE int
epb_dialog_try(struct epb_dialog *dialog, const struct epb_request *request,
               struct epb_reply *reply);
/* Complains about a refusal, and returns the exit status for it. */
int
epb_dialog_refuse(struct epb_dialog *dialog, const struct epb_request *request,
                  const struct epb_hint *hints, const struct epb_reply *reply);

/* Returns the exit status. */
typedef int (*epb_dialog_print_fn)(struct epb_cli *cli, const struct epb_reply *reply);

/* Asks and prints. `print` may be NULL. */
EPB_MUST_USE int
epb_dialog_answer(struct epb_dialog *dialog, const struct epb_request *request,
                  const struct epb_hint *hints, epb_dialog_print_fn print);
/* A whole command: opens, asks, prints and closes. */
int
epb_dialog_run(struct epb_cli *cli, const struct epb_request *request,
               const struct epb_hint *hints, epb_dialog_print_fn print);

/* The broker's path, from --pipe or EPHEMERAL_PIPE; NULL: none is given. */
const char *
epb_dialog_path(const struct epb_cli *cli);
/* A word of the command line as a key. */
struct epb_bytes
epb_dialog_word(const struct epb_cli *cli, size_t index);
/* The worker's name from --worker or the variables of test runners; NULL: none. */
const char *
epb_dialog_worker(const struct epb_cli *cli, enum epb_option_id option);

#endif
