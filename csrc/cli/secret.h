/*
 * Where the secret of a run comes from: --secret - (standard input), --secret-file,
 * --secret-env, --auth, EPHEMERAL_SECRET, CLIENT_SECRET, and for a broker BROKER_SECRET.
 * Several sources may be given if they agree. An empty variable counts as not set.
 *
 * No message contains a secret. The text after --auth is overwritten in argv.
 */
#ifndef EPB_CLI_SECRET_H
#define EPB_CLI_SECRET_H

#include "cli.h"

enum epb_secret_side {
    EPB_SECRET_OF_BROKER,
    EPB_SECRET_OF_CLIENT
};

/* More than any secret; a longer first line is the wrong file. */
#define EPB_SECRET_MAX_BYTES (64U * 1024U)

/* Writes the secret into a buffer of at least EPB_SECRET_MAX_BYTES; it stays empty when
 * none was given. A client with --pipe and a flag for the secret does not read the
 * environment, whose secret is of another broker. Returns 0, or the exit status after a
 * complaint. Reads standard input only for --secret -, and not beyond the first line. */
EPB_MUST_USE int
epb_secret_resolve(struct epb_cli *cli, enum epb_secret_side side,
                   struct epb_buf *secret);

#endif
