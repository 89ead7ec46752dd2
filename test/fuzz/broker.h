/* A broker without I/O for the targets: an engine, and sessions fed with bytes. */
#ifndef EPB_TEST_FUZZ_BROKER_H
#define EPB_TEST_FUZZ_BROKER_H

#include "fuzz.h"

#include "core/engine.h"
#include "wire/session.h"

#define FUZZ_SECRET "a secret of some length"

struct fuzz_broker {
    struct epb_options options;
    struct epb_session_config config;
    struct epb_time now;
};

/* One connection: everything it said since it was last looked at is in `said`. */
struct fuzz_peer {
    struct epb_session *session;
    struct epb_buf said;
    bool woken;
};

/* With the options as they are. */
void
fuzz_broker_start(struct fuzz_broker *broker, const char *secret);
/* All sessions are gone. */
void
fuzz_broker_stop(struct fuzz_broker *broker);

void
fuzz_peer_open(struct fuzz_broker *broker, struct fuzz_peer *peer);
void
fuzz_peer_close(struct fuzz_broker *broker, struct fuzz_peer *peer);
/* Moves at most that much of the output to `said`. */
void
fuzz_peer_listen(struct fuzz_peer *peer, size_t most_bytes);
/* Turns, and takes the output, until nothing is left to do. */
void
fuzz_peer_work(struct fuzz_broker *broker, struct fuzz_peer *peer);
/* As much as the session takes now; returns how much that was. */
size_t
fuzz_peer_offer(struct fuzz_peer *peer, struct epb_bytes bytes);
/* All of it, in pieces, with the work each asks for; until the session closes. */
void
fuzz_peer_feed(struct fuzz_broker *broker, struct fuzz_peer *peer, struct epb_bytes bytes,
               uint64_t pieces);

/* Complete reply frames, and reply lines, at the front of `said`: checks that they are
 * that, and takes them off. Returns how many there were. */
unsigned
fuzz_take_frames(struct epb_buf *said);
unsigned
fuzz_take_lines(struct epb_buf *said);

#endif
