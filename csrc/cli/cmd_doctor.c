/* doctor: looks for what keeps a process from its broker, and says what to do. Exit
 * status 1 when something is wrong. */
#include <string.h>

#include "../base/sys.h"
#include "../wire/text.h"
#include "commands.h"
#include "dialog.h"
#include "print.h"
#include "show.h"
#include "values.h"

/* A broker with the default limits locks its memory in steps; less than this is soon
 * used up. */
#define LOCK_LIMIT_BYTES ((size_t)8 * 1024 * 1024)

struct doctor {
    struct epb_cli *cli;
    struct epb_text text;
    bool found; /* something is wrong */
};

static void
say(struct doctor *doctor, bool is_wrong, const char *sentence)
{
    epb_text_put(&doctor->text, is_wrong ? "wrong  " : "ok     ");
    epb_text_put(&doctor->text, sentence);
    epb_text_put(&doctor->text, "\n");
    doctor->found = doctor->found || is_wrong;
}

static bool
is_set(const char *name)
{
    const char *text = epb_cli_env(name);

    return text != NULL && *text != '\0';
}

/* Why no variable names a broker. */
static void
look_for_variables(struct doctor *doctor)
{
    if (epb_dialog_path(doctor->cli) != NULL) {
        say(doctor, false, "EPHEMERAL_PIPE or --pipe names a broker.");
    } else if (is_set("TURBO_HASH") || is_set("TURBO_INVOCATION_DIR")) {
        say(doctor, true,
            "EPHEMERAL_PIPE is not set, and Turborepo runs this process: it passes on "
            "only "
            "the variables that it knows. Put EPHEMERAL_* into globalPassThroughEnv of "
            "turbo.json.");
    } else {
        say(doctor, true,
            "EPHEMERAL_PIPE is not set: there is no broker around this process. Start "
            "the "
            "command with `" EPB_CLI_PROGRAM " start -- <command>`; epb ls lists brokers "
            "that run.");
    }
}

static void
look_for_secret(struct doctor *doctor)
{
    const char *secret = epb_cli_env("EPHEMERAL_SECRET");

    if (secret != NULL && *secret == '\0') {
        say(doctor, true,
            "EPHEMERAL_SECRET is empty and counts as not set, as in a pull request of a "
            "fork, which gets no secret of CI. Leave it out, or give it a value.");
    } else if (secret != NULL && *secret != '\0') {
        say(doctor, false, "EPHEMERAL_SECRET is set.");
    }
}

static void
say_failure(struct doctor *doctor, const struct epb_dialog *dialog,
            enum epb_status failure)
{
    epb_text_put(&doctor->text, "wrong  ");
    epb_text_note(&doctor->text,
                  epb_caller_explain(dialog->caller, failure, doctor->text.out));
    if (failure == EPB_BROKER_GONE) {
        epb_text_put(&doctor->text, " The variable may be that of a run that is over.");
    }
    epb_text_put(&doctor->text, "\n");
    doctor->found = true;
}

static bool
is_number_above_0(struct epb_bytes text)
{
    return text.size_bytes > 0 && text.data[0] >= '1' && text.data[0] <= '9';
}

/* What protects the values of the broker. */
static void
look_at_memory(struct doctor *doctor, const struct epb_dialog *dialog)
{
    const struct epb_request stats = {.action = EPB_ACTION_STATS};
    struct epb_reply reply;

    if (epb_caller_ask(dialog->caller, &stats, &reply) != EPB_OK ||
        reply.status != EPB_OK) {
        return;
    }
    if (is_number_above_0(epb_members_find(reply.body, "secretMemory"))) {
        say(doctor, false,
            "The broker's memory is secret: no other process can read it.");
    } else if (is_number_above_0(epb_members_find(reply.body, "lockedMemory"))) {
        say(doctor, false,
            "The broker's memory is locked, so that it never reaches swap.");
    } else {
        epb_text_put(&doctor->text, "note   The broker's memory is not locked, and may "
                                    "reach swap.\n");
    }
}

/* Speaks to the broker: the path, the user, the secret and the version are right if it
 * answers. */
static void
look_for_broker(struct doctor *doctor)
{
    const struct epb_request ping = {.action = EPB_ACTION_PING};
    struct epb_dialog dialog;
    struct epb_reply reply;

    if (epb_dialog_path(doctor->cli) == NULL) {
        return;
    }
    if (epb_dialog_open(&dialog, doctor->cli, NULL) != 0) {
        doctor->found = true; /* it has complained */
    } else {
        enum epb_status status = epb_caller_ask(dialog.caller, &ping, &reply);
        if (status == EPB_OK) {
            status = reply.status;
        }
        if (status == EPB_OK) {
            say(doctor, false, "The broker answers.");
            look_at_memory(doctor, &dialog);
        } else {
            say_failure(doctor, &dialog, status);
        }
    }
    epb_dialog_close(&dialog);
}

static void
look_at_lock_limit(struct doctor *doctor)
{
    size_t limit_bytes = epb_sys_lock_limit_bytes();

    if (limit_bytes >= LOCK_LIMIT_BYTES) {
        say(doctor, false, "Memory can be locked, so that it never reaches swap.");
        return;
    }
    epb_text_put(&doctor->text, "note   Only ");
    epb_show_size(&doctor->text, limit_bytes);
    epb_text_put(
        &doctor->text,
        " of memory can be locked: a broker that holds more may reach swap. Raise "
        "the limit with ulimit -l, or LimitMEMLOCK of a unit.\n");
}

int
epb_run_doctor(struct epb_cli *cli)
{
    struct epb_buf out;
    struct doctor doctor = {.cli = cli};

    epb_buf_init(&out, (size_t)64 * 1024);
    doctor.text = epb_text_begin(&out);
    say(&doctor, false, EPB_CLI_PROGRAM " runs natively here.");
    look_for_variables(&doctor);
    look_for_secret(&doctor);
    look_for_broker(&doctor);
    look_at_lock_limit(&doctor);
    int status = epb_print_finish(cli, &out, epb_text_end(&doctor.text));
    return status == 0 && doctor.found ? EPB_EXIT_REFUSED : status;
}
