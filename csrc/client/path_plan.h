/*
 * When a client's connection uses a pipe pair, and when its socket.
 *
 * Small exchanges are faster through a pipe pair, large ones through a socket. After
 * EPB_PATH_SMALL_IN_ROW small exchanges in a row the plan requests a pipe pair. Once the
 * client has one, the plan switches to it after that many small exchanges, and back after
 * EPB_PATH_LARGE_IN_ROW large ones. An exchange is what is sent and received from one
 * epb_path_send to the next.
 *
 *   SOCKET --ASK--> ASKED --paired--> CHOSEN <--SWITCH, switched--> SWITCHING
 *                     |                                                 |
 *                     +--no pair------------> FIXED <------refused------+
 *
 * The plan has no I/O. It returns what to do next, and the caller reports how it went.
 * Nothing is to be done while a reply is outstanding (ASKED, SWITCHING), and never again
 * once the plan is FIXED.
 */
#ifndef EPB_CLIENT_PATH_PLAN_H
#define EPB_CLIENT_PATH_PLAN_H

#include <stdbool.h>
#include <stddef.h>

/* An exchange is large if it is longer. */
#define EPB_PATH_LARGE_BYTES 16384U
#define EPB_PATH_SMALL_IN_ROW 64U
#define EPB_PATH_LARGE_IN_ROW 8U

enum epb_path_state {
    EPB_PATH_SOCKET,    /* no pipe pair was requested */
    EPB_PATH_ASKED,     /* the reply to the request for a pipe pair is outstanding */
    EPB_PATH_SWITCHING, /* the reply to the switch is outstanding */
    EPB_PATH_CHOSEN,    /* there is a pipe pair: it or the socket is in use */
    EPB_PATH_FIXED      /* it stays where it is */
};

enum epb_path_step {
    EPB_PATH_STAY,
    EPB_PATH_ASK,   /* request a pipe pair, then epb_path_asked */
    EPB_PATH_SWITCH /* request the switch to the other path, then epb_path_began */
};

/* All zero: a new connection. */
struct epb_path_plan {
    enum epb_path_state state;
    bool is_on_pipe_pair;
    size_t exchanged_bytes; /* of the current exchange */
    unsigned small_in_row;  /* number of exchanges before it */
    unsigned large_in_row;
};

/* A new exchange sends this many bytes. */
enum epb_path_step
epb_path_send(struct epb_path_plan *plan, size_t sent_bytes);
void
epb_path_receive(struct epb_path_plan *plan, size_t received_bytes);

/* ASK: whether the request was sent. */
void
epb_path_asked(struct epb_path_plan *plan, bool is_sent);
/* ASKED: whether the client has a pipe pair now. */
enum epb_path_step
epb_path_paired(struct epb_path_plan *plan, bool has_pair);
/* SWITCH: whether the request was sent. If not, the plan tries again with the next
 * exchange. */
void
epb_path_began(struct epb_path_plan *plan, bool is_sent);
/* SWITCHING: whether the broker switches, too. */
void
epb_path_switched(struct epb_path_plan *plan, bool is_granted);

bool
epb_path_awaits_reply(const struct epb_path_plan *plan);

#endif
