/* A run of the real leases beside the model, and the operations of a history: what the
 * files of the model test share. */
#ifndef EPB_TEST_LEASE_RUN_H
#define EPB_TEST_LEASE_RUN_H

#include "base/arena.h"
#include "fill_help.h"
#include "helpers.h"
#include "lease_model.h"

enum op_kind {
    OP_ASK,
    OP_RENEW_TOKEN,
    OP_RENEW_WORKER,
    OP_RELEASE_TOKEN,
    OP_RELEASE_WORKER,
    OP_POOL,
    OP_LIMIT,
    OP_DISCARD,
    OP_UNDEFINE,
    OP_CANCEL,
    OP_POP,
    OP_LEAVE,
    OP_TIME,
    OP_SWEEP,
    OP_COMPUTED,
    OP_FAIL,
    OP_LOSSES,
    OP_VALUE,
    OP_DRAIN,
    OP_END,
    OP_JOIN,
    OP_CLEAR,
    OP_TAKE,
    OP_KINDS
};

struct op {
    uint8_t kind, peer, space, key, worker, flags, choice, fault;
    uint32_t amount;
};

struct history {
    bool single_lease;
    unsigned max_waits;
    unsigned count;
    struct op *ops;
};

#define FLAG_FRESH 1U
#define FLAG_SHARED 2U
#define FLAG_DETACHED 4U
#define FLAG_WAIT 8U
#define FLAG_FORCE 16U
#define FLAG_DISCARD 32U
#define FLAG_KEY 64U
#define FLAG_ODD 128U
#define FLAG_NAMES FLAG_ODD /* of an ask */

#define RECENT 16U
#define LINES_MAX 600U

struct line {
    bool held, shared;
    enum epb_lease_kind kind;
    uint64_t session, token, count, left_ms, age_ms;
    unsigned key, worker;
};

struct run {
    struct epb_arena *arena;
    struct epb_quota quota;
    struct epb_waits *waits;
    struct epb_leases *leases;
    struct epb_peer *peers[MODEL_PARTIES];
    bool ready[MODEL_PARTIES];
    bool has_value[MODEL_KEYS];
    struct epb_time now;
    struct model model;
    uint64_t recent[RECENT]; /* tokens */
    bool dead[RECENT];       /* found over once: for ever */
    unsigned next_recent;
    uint64_t highest_token;   /* that was ever among the lines */
    uint64_t seen[LINES_MAX]; /* tokens at the last look */
    unsigned seen_count;
    struct line lines[LINES_MAX];
    unsigned line_count;
    const char *failure; /* the first expectation that was not met */
    unsigned failed_line;
};

/* Notes the first expectation that is not met. */
#define EXPECT(run, condition) \
    run_expect(run, condition, __FILE__ ": " #condition, __LINE__)
void
run_expect(struct run *run, bool condition, const char *text, unsigned line);

/* lease_run_compare.c */

struct element_name {
    const char *text;
    uint8_t size_bytes, is_binary;
};
extern const char *const run_key_names[MODEL_KEYS];
extern const char *const run_worker_names[MODEL_WORKERS];
extern const struct element_name run_element_names[MODEL_ELEMENTS];

struct epb_bytes
run_key_name(unsigned key);
struct epb_bytes
run_worker_name(unsigned worker);
/* All that both sides show, and what must hold whatever the model says. */
void
run_compare(struct run *run);
/* Whether each peer has been told when it has something to take. */
void
run_compare_parties(struct run *run);
/* The grant is what the model has under this token. */
void
run_check_view(struct run *run, const struct epb_grant *grant, uint64_t token);

/* lease_run_ops.c */

extern void (*const run_op_calls[OP_KINDS])(struct run *run, const struct op *op);
uint64_t
run_choose_ttl(const struct op *op);
uint64_t
run_choose_wait(const struct op *op);
unsigned
run_choose_count(const struct op *op);
enum epb_lease_rule
run_choose_rule(const struct op *op);
void
run_join(struct run *run, unsigned peer);
void
run_leave(struct run *run, unsigned peer);

/* lease_run_play.c */

/* Plays a history from a fresh start to the end, when nothing may be left, and compares:
 * after each operation, or (not `thorough`) after some. The number of the operation that
 * failed, from 1; 0: none. */
unsigned
run_play(struct run *run, const struct history *history, struct epb_arena *arena,
         bool thorough);

#endif
