/*
 * Whether a crowd is served: several connections at once, turn after turn.
 *
 * Where there are more busy clients than processors, the engine's thread has to share one
 * with some of them. By turns each of these runs once before the engine does again, and
 * those on other processors, who could have been answered long before, wait for that. So
 * while there is a crowd the thread asks for a shorter slice of time than the others
 * have: it is chosen more often, for less long. What it may take when all of them want
 * the processor stays the same.
 *
 * One client alone, or a few, would be looked for in vain more often instead; and so
 * would a crowd on the one processor that it shares with the engine.
 */
#ifndef EPB_SERVER_CONTENTION_H
#define EPB_SERVER_CONTENTION_H

#include <stdbool.h>

/* So many at once are a sign of a crowd, and so few of none. */
#define EPB_CONTENTION_MANY 3U
#define EPB_CONTENTION_FEW 1U
/* How many more of the one sign than of the other it takes: it comes and goes slowly. */
#define EPB_CONTENTION_SIGNS 64U
/* The slice of the others by its own. */
#define EPB_CONTENTION_SHARE 3U

struct epb_contention {
    unsigned signs;
    bool there;
};

/* After a turn in which so many connections were served. Whether `there` has changed. */
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
