/*
 * Detects contention: several connections served at once, turn after turn.
 *
 * With more busy clients than processors, the engine's thread shares a processor with
 * some of the clients. Each of these then runs once before the engine runs again, and
 * clients on other processors wait meanwhile although they could have been answered long
 * before. So during contention the thread asks for a shorter time slice than the others
 * have. The scheduler then picks it more often, for less time. Its share of a fully used
 * processor stays the same.
 *
 * With one or few clients a short slice would only make the engine's polls fail more
 * often. The same holds for many clients that share a single processor with the engine.
 */
#ifndef EPB_SERVER_CONTENTION_H
#define EPB_SERVER_CONTENTION_H

#include <stdbool.h>

/* This many connections in one turn are a sign of contention, this few of none. */
#define EPB_CONTENTION_MANY 3U
#define EPB_CONTENTION_FEW 1U
/* The surplus of signs that switches the state, so that it changes slowly. */
#define EPB_CONTENTION_SIGNS 64U
/* The other threads' slice divided by the engine's. */
#define EPB_CONTENTION_SHARE 3U

struct epb_contention {
    unsigned signs;
    bool there;
};

/* Call after a turn that served `served` connections. Returns whether `there` has
 * changed. */
static inline bool
epb_contention_note(struct epb_contention *contention, unsigned served)
{
    if (served >= EPB_CONTENTION_MANY && contention->signs < EPB_CONTENTION_SIGNS) {
        contention->signs++;
    } else if (served <= EPB_CONTENTION_FEW && contention->signs > 0) {
        contention->signs--;
    }
    bool there = contention->there ? contention->signs > 0
                                   : contention->signs == EPB_CONTENTION_SIGNS;
    bool changed = there != contention->there;
    contention->there = there;
    return changed;
}

#endif
