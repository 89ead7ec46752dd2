/* See detach.h. Not on Windows: the broker of `start` is a part of its process there. */
#include "detach.h"

int
epb_detach_run(struct epb_cli *cli, struct epb_broker_service *broker, const char *secret)
{
    (void)broker;
    (void)secret;
    return epb_cli_wrong_use(cli, "--detach is not possible on Windows");
}
