/*
 * A conversation of every command, over frames and over lines on one broker, in which
 * each allocation fails once. A request that failed has changed nothing: asked again it
 * gets what it would have got, and so does everything after it. So the whole conversation
 * must come out as it does undisturbed, but for one answer `internal`, or a session that
 * ended; and afterwards nothing is held, nothing waits, and no byte is kept.
 */
#include <ctype.h>
#include <stdarg.h>

#include "base/mem.h"
#include "base/mem_testing.h"
#include "core/command.h"
#include "session_wait_help.h"

#define STEPS_MAX 80U
#define SAID_BYTES 1500U
/* The speakers: two of frames, one of lines. */
enum {
    A,
    B,
    LINES,
    SPEAKERS
};

struct step {
    unsigned who;
    const char *line; /* of LINES */
    struct epb_request request;
};

#define DO(speaker, ACTION, ...)                                                   \
    {                                                                              \
        .who = (speaker), .request = {.action = EPB_ACTION_##ACTION, __VA_ARGS__ } \
    }
#define LINE(...)                                              \
    {                                                          \
        .who = LINES, .line = "{\"action\":" __VA_ARGS__ "}\n" \
    }
#define KEY(text) .key = LITERAL(text)
#define WORKER(text) .worker = LITERAL(text)
#define VALUE(text) .value = LITERAL(text)
#define WAITING .wait_ms = FOREVER

static const struct step steps[] = {
    DO(A, SET, .flags = EPB_F_TTL, KEY("k"), VALUE("[1]"), .ttl_ms = 9000),
    DO(B, GET, KEY("k")),
    LINE("\"get\",\"key\":\"k\""),
    DO(A, HAS, KEY("k")),
    DO(A, TTL, KEY("k")),
    DO(B, TOUCH, .flags = EPB_F_TTL, KEY("k"), .ttl_ms = 9500),
    LINE("\"touch\",\"key\":\"k\",\"ttl\":9000"),
    DO(B, GET_ENTRY, KEY("k")),
    DO(A, INCR, .flags = EPB_F_COUNT | EPB_F_TTL, KEY("n"), .count = 41, .ttl_ms = 9000),
    LINE("\"incr\",\"key\":\"n\""),
    /* Numbers, handed over to who waits by frames, then to who waits by lines. */
    DO(A, LEASE, KEY("numbers"), WORKER("a")),
    DO(A, LEASE, .flags = EPB_F_FRESH, KEY("numbers"), WORKER("a")),
    DO(B, NUMBER, KEY("numbers"), WORKER("b")),
    LINE("\"number\",\"key\":\"numbers\",\"workerId\":\"c\""),
    DO(A, LOCK, KEY("l"), WORKER("a")),
    DO(B, LOCK, .flags = EPB_F_WAIT, KEY("l"), WORKER("b"), WAITING),
    LINE("\"lock\",\"key\":\"l\",\"workerId\":\"c\",\"waitMs\":1e99,\"id\":1"),
    DO(A, LEASES, KEY("l")),
    DO(A, RENEW, .flags = EPB_F_TTL, WORKER("a"), .ttl_ms = 8000),
    DO(A, RELEASE, KEY("l"), WORKER("a")),
    DO(B, RELEASE, KEY("l"), WORKER("b")),
    LINE("\"release\",\"workerId\":\"c\""),
    /* Pools and permits. */
    DO(A, POOL, KEY("p"),
       VALUE("\1\0\0\0\0"
             "1\1\0\0\0\0"
             "2")),
    LINE("\"pool\",\"key\":\"q\",\"values\":[{\"a\":1},\"b\"]"),
    DO(A, POOL_ADD, KEY("p"),
       VALUE("\1\0\0\0\0"
             "3")),
    DO(B, LEASE, KEY("p"), WORKER("b")),
    DO(A, DISCARD, KEY("p"), VALUE("2")),
    LINE("\"lease\",\"key\":\"q\",\"workerId\":\"c\""),
    DO(A, LIMIT, .flags = EPB_F_COUNT, KEY("sem"), .count = 1),
    DO(B, ACQUIRE, KEY("sem"), WORKER("b")),
    LINE("\"acquire\",\"key\":\"none\",\"workerId\":\"c\""),
    DO(A, LEASE, .flags = EPB_F_WAIT, KEY("sem"), WORKER("a"), WAITING),
    DO(A, LEASE, KEY("k"), WORKER("a")),
    DO(B, RELEASE, WORKER("b")),
    /* Computing once: who fails, who takes over, who gets the value. */
    DO(A, GET_OR_SET, KEY("c"), WORKER("a")),
    DO(B, GET_OR_SET, .flags = EPB_F_WAIT, KEY("c"), WORKER("b"), WAITING),
    LINE("\"getOrSet\",\"key\":\"c\",\"workerId\":\"c\",\"waitMs\":1e99,\"id\":2"),
    LINE("\"waitFor\",\"key\":\"c\",\"waitMs\":1e99,\"id\":3"),
    DO(A, SET, .flags = EPB_F_TTL, KEY("c"), VALUE("\"made\""), .ttl_ms = 9000),
    /* Watches, barriers, rates. */
    DO(B, WATCH, KEY("x")),
    LINE("\"watch\",\"key\":\"x\",\"id\":4"),
    DO(A, SET, .flags = EPB_F_TTL, KEY("x1"), VALUE("1"), .ttl_ms = 9000),
    DO(A, DEL, KEY("x1")),
    DO(A, BARRIER, .flags = EPB_F_COUNT | EPB_F_WAIT, KEY("b"), .count = 2, WAITING),
    LINE("\"barrier\",\"key\":\"b\",\"peers\":2,\"waitMs\":1e99,\"id\":5"),
    DO(A, WAIT_FOR, .flags = EPB_F_WAIT, KEY("later"), WAITING),
    DO(B, CANCEL, .flags = EPB_F_COUNT, .count = 999),
    LINE("\"cancel\",\"target\":4"),
    {.who = B, .request = {.action = EPB_FRAME_PIPE_PAIR}},
    DO(B, JOIN, .flags = EPB_F_COUNT, VALUE("sixteen bytes ok"), .count = 9),
    LINE("\"join\",\"value\":1"),
    LINE("\"set\",\"key\":\"later\",\"value\":[],\"ttl\":9000"),
    DO(A, THROTTLE, .flags = EPB_F_COUNT | EPB_F_PERIOD, KEY("t"), .count = 1,
       .period_ms = 9000),
    LINE("\"throttle\",\"key\":\"t\",\"limit\":1,\"periodMs\":9000"),
    DO(A, DESCRIBE, KEY("p")),
    LINE("\"describe\",\"key\":\"sem\""),
    DO(B, NUMBER, KEY("n"), WORKER("b")),
    LINE("\"number\",\"key\":\"n\",\"workerId\":\"c\""),
    DO(B, TAKE, .flags = EPB_F_FENCE, .fence = 999),
    LINE("\"take\",\"token\":999"),
    DO(A, CLEAR, KEY("l")),
    LINE("\"clear\",\"prefix\":\"x\""),
    /* Reports, and the end. */
    DO(A, LIST, .id = 0),
    LINE("\"list\""),
    DO(B, LEASES, .id = 0),
    LINE("\"leases\""),
    DO(A, STATS, .id = 0),
    LINE("\"health\""),
    LINE("\"metrics\""),
    DO(A, PING, .id = 0),
    LINE("\"release\",\"workerId\":\"c\""),
};
#define STEP_COUNT (sizeof(steps) / sizeof(steps[0]))
_Static_assert(STEP_COUNT <= STEPS_MAX, "a transcript has a place for each step");

struct talk {
    char said[STEPS_MAX][SAID_BYTES]; /* what everybody heard after each step */
    unsigned internal;
    bool ended; /* a session has: nobody compares what came after */
    size_t used_bytes;
};

static struct talk undisturbed;
static struct talk disturbed;
static struct broker speakers[SPEAKERS];
static struct epb_buf questions[STEPS_MAX]; /* encoded before memory gets scarce */

/* What was heard */

static uint64_t
hash_of(struct epb_bytes bytes)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < bytes.size_bytes; i++) {
        hash = (hash ^ bytes.data[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

__attribute__((format(printf, 2, 3))) static void
add(char *said, const char *format, ...)
{
    size_t size = strlen(said);
    va_list arguments;

    va_start(arguments, format);
    int added = vsnprintf(said + size, SAID_BYTES - size, format, arguments);
    va_end(arguments);
    cr_assert(added >= 0 && (size_t)added < SAID_BYTES - size, "too much was said");
}

/* Whether what was said depends on how much memory the broker has, or counts failures. */
static bool
is_report(const struct step *step)
{
    if (step->line != NULL) {
        return strstr(step->line, "health") != NULL ||
               strstr(step->line, "metrics") != NULL;
    }
    return step->request.action == EPB_ACTION_STATS ||
           step->request.action == EPB_ACTION_LEASES;
}

/* Tokens and versions only grow, and what failed may have used one up: left out. */
static void
hear_frames(unsigned who, const struct step *step, char *said)
{
    struct epb_bytes stream = bytes_of(&speakers[who].output);
    struct epb_reply reply;

    while (next_reply(&stream, &reply)) {
        disturbed.internal += reply.status == EPB_INTERNAL;
        bool event = reply.id == 0;
        bool opaque = is_report(step) || event || step->request.action == EPB_ACTION_LIST;
        add(said, "%u: %u %s %x %lld %llx\n", who, (unsigned)reply.id,
            epb_status_name(reply.status), (unsigned)reply.flags, (long long)reply.count,
            opaque ? (unsigned long long)(reply.body.size_bytes != 0)
                   : (unsigned long long)hash_of(reply.body));
    }
    cr_assert_eq(stream.size_bytes, 0);
}

static void
hear_lines_of(const struct step *step, char *said)
{
    struct epb_bytes text = bytes_of(&speakers[LINES].output);
    static const char *const names[] = {"\"token\":", "\"version\":"};

    if (memmem(text.data, text.size_bytes, "\"internal\"", 10) != NULL) {
        disturbed.internal++;
    }
    if (is_report(step)) {
        add(said, "report %d\n", text.size_bytes != 0);
        return;
    }
    for (size_t i = 0; i < text.size_bytes; i++) {
        add(said, "%c", text.data[i]);
        for (size_t n = 0; n < 2; n++) {
            size_t size = strlen(said);
            size_t name_bytes = strlen(names[n]);
            if (size < name_bytes || strcmp(said + size - name_bytes, names[n]) != 0) {
                continue;
            }
            while (i + 1 < text.size_bytes && isdigit(text.data[i + 1])) {
                i++;
            }
        }
    }
}

/* Lets everybody work until nobody has anything to say, and notes it. */
static void
hear_all(const struct step *step, char *said)
{
    bool woken = true;

    while (woken) {
        woken = false;
        for (unsigned who = 0; who < SPEAKERS; who++) {
            if (speakers[who].wakes == 0) {
                continue;
            }
            speakers[who].wakes = 0;
            woken = true;
            if (!epb_session_is_closing(speakers[who].session)) {
                broker_work(&speakers[who]);
            }
        }
    }
    said[0] = '\0';
    hear_frames(A, step, said);
    hear_frames(B, step, said);
    hear_lines_of(step, said);
    for (unsigned who = 0; who < SPEAKERS; who++) {
        epb_buf_consume(&speakers[who].output, epb_buf_size(&speakers[who].output));
        disturbed.ended |= epb_session_is_closing(speakers[who].session);
    }
}

/* Talking */

static void
encode_questions(void)
{
    for (unsigned i = 0; i < STEP_COUNT; i++) {
        epb_buf_init(&questions[i], 4096);
        if (steps[i].line != NULL) {
            put(&questions[i], TEXT(steps[i].line));
        } else {
            struct epb_request request = steps[i].request;
            request.id = i + 1;
            put_request(&questions[i], request);
        }
    }
}

static void
forget_questions(void)
{
    for (unsigned i = 0; i < STEP_COUNT; i++) {
        epb_buf_fini(&questions[i]);
    }
}

static void
meet(void)
{
    uint8_t *room;

    broker_start(&speakers[A], NULL, NULL);
    peer_start(&speakers[B], &speakers[A]);
    peer_start(&speakers[LINES], &speakers[A]);
    for (unsigned who = 0; who < SPEAKERS; who++) {
        cr_assert_eq(epb_buf_reserve(&speakers[who].output, 100000, &room), EPB_OK);
        if (who != LINES) {
            (void)broker_feed(&speakers[who], LITERAL(EPB_MAGIC_PLAIN), SIZE_MAX);
        }
    }
}

/* Asks; and again, when memory was out. */
static void
take_step(unsigned i)
{
    for (unsigned attempt = 0; attempt < 2 && !disturbed.ended; attempt++) {
        unsigned before = disturbed.internal;
        (void)broker_feed(&speakers[steps[i].who], bytes_of(&questions[i]), SIZE_MAX);
        hear_all(&steps[i], disturbed.said[i]);
        if (disturbed.internal == before) {
            return;
        }
    }
}

/* Whoever is left holds and waits for nothing, and a newcomer is served. */
static void
part(void)
{
    for (unsigned who = 0; who < SPEAKERS; who++) {
        broker_connect(&speakers[who]);
    }
    (void)broker_feed(&speakers[LINES],
                      LITERAL("{\"action\":\"release\",\"workerId\":\"c\"}\n"
                              "{\"action\":\"del\",\"key\":\"p\"}\n"
                              "{\"action\":\"del\",\"key\":\"q\"}\n"
                              "{\"action\":\"del\",\"key\":\"sem\"}\n"),
                      SIZE_MAX);
    /* All that has a time of its own is over. */
    pass_time(&speakers[A], &speakers[B], 3600000);
    speakers[LINES].now = speakers[A].now;
    struct epb_stats stats = stats_of(&speakers[A]);
    cr_assert_eq(stats.waiting, 0);
    cr_assert_eq(stats.watchers, 0);
    cr_assert_eq(stats.leases.grants, 0);
    cr_assert_eq(stats.store.items, 0);
    disturbed.used_bytes = stats.used_bytes;
    broker_connect(&speakers[LINES]);
    (void)broker_feed(&speakers[LINES],
                      LITERAL("{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"ttl\":9}\n"
                              "{\"action\":\"incr\",\"key\":\"k\"}\n"),
                      SIZE_MAX);
    struct epb_bytes said = bytes_of(&speakers[LINES].output);
    cr_assert_not_null(memmem(said.data, said.size_bytes, "\"value\":2", 9), "%.*s",
                       (int)said.size_bytes, (const char *)said.data);
    peer_stop(&speakers[LINES]);
    peer_stop(&speakers[B]);
    broker_stop(&speakers[A]);
}

/* The whole conversation, with that allocation failing; 0: none. Whether it was reached.
 */
static bool
converse(uint64_t countdown)
{
    memset(&disturbed, 0, sizeof(disturbed));
    meet();
    epb_mem_fail_after(countdown);
    for (unsigned i = 0; i < STEP_COUNT && !disturbed.ended; i++) {
        take_step(i);
    }
    bool reached = countdown != 0;
    for (uint64_t i = 0; i < countdown; i++) {
        if (epb_mem_fault_due()) {
            reached = false;
        }
    }
    epb_mem_fail_after(0);
    part();
    return reached;
}

Test(fault_session, every_command_is_in_the_conversation)
{
    for (unsigned i = 0; i < epb_command_count(); i++) {
        const struct epb_command *command = epb_command_at(i);
        bool said = false;
        for (unsigned at = 0; at < STEP_COUNT && !said; at++) {
            said = steps[at].line != NULL ? strstr(steps[at].line, command->name) != NULL
                                          : steps[at].request.action == command->action;
        }
        cr_assert(said, "%s is missing", command->name);
    }
}

Test(fault_session, what_fails_for_want_of_memory_has_changed_nothing)
{
    unsigned ended = 0;
    unsigned refused = 0;

    encode_questions();
    (void)converse(0);
    cr_assert_eq(disturbed.internal, 0);
    cr_assert(!disturbed.ended);
    undisturbed = disturbed;
    for (uint64_t countdown = 1; converse(countdown); countdown++) {
        cr_assert_leq(disturbed.internal, 1);
        ended += disturbed.ended;
        refused += disturbed.internal;
        for (unsigned i = 0; i < STEP_COUNT && !disturbed.ended; i++) {
            cr_assert_str_eq(disturbed.said[i], undisturbed.said[i],
                             "allocation %u, step %u:\n%sbut should be\n%s",
                             (unsigned)countdown, i, disturbed.said[i],
                             undisturbed.said[i]);
        }
        cr_assert_eq(disturbed.used_bytes, undisturbed.used_bytes,
                     "allocation %u: %zu bytes are used, not %zu", (unsigned)countdown,
                     disturbed.used_bytes, undisturbed.used_bytes);
    }
    cr_assert_gt(refused, 30, "%u", refused);
    cr_assert_gt(ended, 3, "%u", ended);
    forget_questions();
}
