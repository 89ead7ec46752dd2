/* A broker as the service of a companion, with the options of the command line. */
#ifndef EPB_CLI_BROKER_SERVICE_H
#define EPB_CLI_BROKER_SERVICE_H

#include "../server/server.h"
#include "broker_log.h"
#include "cli.h"
#include "companion.h"

struct epb_broker_service {
    struct epb_companion_service service;
    struct epb_server_options options;
    uint32_t command;        /* the process that becomes the command; 0: none */
    struct epb_bytes secret; /* ordinary memory; wiped once the broker has it */
    bool keeps_secret;       /* not wiped: this process needs it after that */
    /* In the companion. */
    const struct epb_companion *companion;
    struct epb_server *server;
    struct epb_broker_log *log;
};

/* Reads the options. `secret` is memory that a forked child has, too; empty: none.
 * Its answer is the path of the pipe. */
void
epb_broker_service_init(struct epb_broker_service *broker, const struct epb_cli *cli,
                        struct epb_bytes secret);
/* Prints the sentence of a broker that could not start. It is empty when there was no
 * memory for one. */
void
epb_broker_service_complain(const struct epb_cli *cli, const struct epb_buf *answer);

#endif
