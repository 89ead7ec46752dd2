/* Holders, queues and cycles in words, for messages. */
#ifndef EPB_CLI_HOLDERS_H
#define EPB_CLI_HOLDERS_H

#include "../client/packed.h"
#include "../wire/text.h"

/* "numbers", "a semaphore", "a pool" ... */
const char *
epb_holders_kind(uint8_t kind);
/* "numbers", "semaphore", "pool" ..., as in JSON. */
const char *
epb_holders_kind_name(uint8_t kind);
/* "It is held by worker "a" (pid 7) for 3.2 s. 2 requests wait for it; this one is number
 * 1." Writes nothing about what is unknown; after other text, a space comes first. */
void
epb_holders_put(struct epb_text *text, const struct epb_packed_obstacle *obstacle);
/* Who waits for whom. False: the cycle is unknown, and nothing was written. */
bool
epb_holders_put_cycle(struct epb_text *text, const struct epb_packed_obstacle *cycle);

#endif
