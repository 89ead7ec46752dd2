/* `stop`: ends the broker that the environment names. The process that has proved the
 * secret gets the signal, by the connection's credentials, never a number in a
 * variable. */
#include <signal.h>

#include "../base/sys.h"
#include "../os/process_watch.h"
#include "commands.h"
#include "dialog.h"

/* The broker first lets requests in progress finish. */
#define PATIENCE_MS 10000U

static int
ping(struct epb_dialog *dialog)
{
    const struct epb_request request = {.action = EPB_ACTION_PING};
    struct epb_reply reply;

    return epb_dialog_ask(dialog, &request, NULL, &reply);
}

/* Watches the broker's process. It answers after the watch is open, so its number was not
 * given to another process before. */
static int
watch_broker(struct epb_dialog *dialog, struct epb_process_watch *watch)
{
    int status = ping(dialog);

    if (status != 0) {
        return status;
    }
    uint32_t pid = epb_client_broker_pid(epb_caller_client(dialog->caller));
    if (pid == 0 || epb_process_watch_open(watch, pid) != EPB_OK) {
        epb_cli_complain("stop: the broker's process is not visible from here (another "
                         "container or user?)");
        return EPB_EXIT_REFUSED;
    }
    status = ping(dialog);
    if (status != 0) {
        epb_process_watch_close(watch);
    }
    return status;
}

static int
end_process(const struct epb_process_watch *watch)
{
    struct epb_time now;
    size_t which;

    if (epb_process_watch_signal(watch, SIGTERM) == EPB_INTERNAL) {
        epb_cli_complain("stop: the broker's process may not be signalled");
        return EPB_EXIT_REFUSED;
    }
    epb_sys_now(&now);
    if (epb_process_watch_wait(watch, 1, -1, now.mono_ms + PATIENCE_MS,
                               &epb_process_clock_system, &which) == EPB_PROCESS_ENDED) {
        return EPB_EXIT_DONE;
    }
    epb_cli_complain("stop: the broker goes on: it ends with its command");
    return EPB_EXIT_REFUSED;
}

int
epb_run_stop(struct epb_cli *cli)
{
    struct epb_dialog dialog;
    struct epb_process_watch watch;
    int status = epb_dialog_open(&dialog, cli, NULL);

    if (status == 0) {
        status = watch_broker(&dialog, &watch);
    }
    epb_dialog_close(&dialog);
    if (status == 0) {
        status = end_process(&watch);
        epb_process_watch_close(&watch);
    }
    return status;
}
