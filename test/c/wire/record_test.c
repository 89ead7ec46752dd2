/* Records: a stream goes through whole and in order, or not at all. */
#include "wire/record.h"

#include "base/mem_testing.h"
#include "wire/hash.h"
#include "wire_help.h"

#define HUGE_BYTES ((size_t)64 << 20)

static const uint8_t KEY[EPB_KEY_BYTES] = {1, 2, 3};
static const uint8_t OTHER_KEY[EPB_KEY_BYTES] = {1, 2, 4};

struct wire {
    struct epb_record *sender;
    struct epb_record *receiver;
    struct epb_buf out;
    struct epb_buf in;
};

static void
wire_open(struct wire *wire, enum epb_record_mode mode)
{
    wire->sender = epb_record_new(mode, KEY);
    wire->receiver = epb_record_new(mode, KEY);
    cr_assert(wire->sender != NULL && wire->receiver != NULL);
    epb_buf_init(&wire->out, HUGE_BYTES);
    epb_buf_init(&wire->in, HUGE_BYTES);
}

static void
wire_close(struct wire *wire)
{
    epb_record_free(wire->sender);
    epb_record_free(wire->receiver);
    epb_buf_fini(&wire->out);
    epb_buf_fini(&wire->in);
}

static void
seal(struct wire *wire, struct epb_bytes plain)
{
    cr_assert_eq(epb_record_begin(wire->sender, &wire->out), EPB_OK);
    put(&wire->out, plain);
    cr_assert_eq(epb_record_end(wire->sender, &wire->out), EPB_OK);
}

static uint8_t *
pattern(size_t size_bytes)
{
    uint8_t *bytes = malloc(size_bytes + 1);

    for (size_t i = 0; i < size_bytes; i++) {
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    }
    return bytes;
}

static void
assert_stream(struct wire *wire, struct epb_bytes expected)
{
    struct epb_bytes stream = epb_record_stream(wire->receiver, &wire->in);

    cr_assert(bytes_equal(stream, expected), "%zu bytes, expected %zu", stream.size_bytes,
              expected.size_bytes);
}

Test(record, streams_of_any_size_come_out_as_they_went_in)
{
    size_t sizes[] = {0,
                      1,
                      2,
                      100,
                      EPB_RECORD_SEND_BYTES - 1,
                      EPB_RECORD_SEND_BYTES,
                      EPB_RECORD_SEND_BYTES + 1,
                      3 * EPB_RECORD_SEND_BYTES,
                      1000003};
    uint8_t *bytes = pattern(1000003);

    for (size_t m = 0; m < mode_count(); m++) {
        struct wire wire;
        wire_open(&wire, MODES[m]);
        put(&wire.out, LITERAL("sent before, not part of the record"));
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct epb_bytes plain = {bytes, sizes[i]};
            epb_buf_consume(&wire.out, epb_buf_size(&wire.out));
            seal(&wire, plain);
            if (sizes[i] == 0) {
                cr_assert_eq(epb_buf_size(&wire.out), 0);
            }
            put(&wire.in, bytes_of(&wire.out));
            cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, SIZE_MAX), EPB_OK);
            assert_stream(&wire, plain);
            epb_record_consume(wire.receiver, &wire.in, sizes[i]);
            cr_assert_eq(epb_buf_size(&wire.in), 0, "nothing dead stays behind");
        }
        wire_close(&wire);
    }
    free(bytes);
}

Test(record, what_is_in_the_buffer_already_stays)
{
    struct wire wire;

    wire_open(&wire, EPB_RECORD_CHACHA20);
    put(&wire.out, LITERAL("before"));
    seal(&wire, LITERAL("plain"));
    cr_assert_eq(memcmp(epb_buf_data(&wire.out), "before", 6), 0);
    epb_buf_consume(&wire.out, 6);
    put(&wire.in, bytes_of(&wire.out));
    cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, SIZE_MAX), EPB_OK);
    assert_stream(&wire, LITERAL("plain"));
    wire_close(&wire);
}

Test(record, any_division_into_records_and_reads_gives_the_same_stream)
{
    uint64_t random = UINT64_C(0x0123456789ABCDEF);
    uint8_t *bytes = pattern(200000);

    for (size_t round = 0; round < 30 * mode_count(); round++) {
        struct wire wire;
        wire_open(&wire, MODES[round % mode_count()]);
        /* Tiny records, short ones and large ones. */
        size_t most = (size_t[]){40, 900, 20000}[round / mode_count() % 3];
        size_t total = (size_t[]){5000, 100000, 200000}[round / mode_count() % 3];
        for (size_t at = 0; at < total;) {
            size_t size_bytes = 1 + next_random(&random) % most;
            if (size_bytes > total - at) {
                size_bytes = total - at;
            }
            seal(&wire, (struct epb_bytes){bytes + at, size_bytes});
            at += size_bytes;
        }
        size_t read = 0;
        struct epb_bytes out = bytes_of(&wire.out);
        for (size_t at = 0; at < out.size_bytes;) {
            size_t size_bytes = 1 + next_random(&random) % most;
            if (size_bytes > out.size_bytes - at) {
                size_bytes = out.size_bytes - at;
            }
            put(&wire.in, (struct epb_bytes){out.data + at, size_bytes});
            at += size_bytes;
            size_t enough = 1 + next_random(&random) % (2 * most);
            cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, enough), EPB_OK);
            struct epb_bytes stream = epb_record_stream(wire.receiver, &wire.in);
            size_t consumed = next_random(&random) % (stream.size_bytes + 1);
            cr_assert_eq(memcmp(stream.data, bytes + read, stream.size_bytes), 0);
            epb_record_consume(wire.receiver, &wire.in, consumed);
            read += consumed;
        }
        cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, SIZE_MAX), EPB_OK);
        assert_stream(&wire, (struct epb_bytes){bytes + read, total - read});
        wire_close(&wire);
    }
    free(bytes);
}

Test(record, opens_no_more_than_enough)
{
    struct wire wire;

    wire_open(&wire, EPB_RECORD_CHACHA20);
    for (int i = 0; i < 10; i++) {
        seal(&wire, LITERAL("0123456789"));
    }
    put(&wire.in, bytes_of(&wire.out));
    cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, 15), EPB_OK);
    assert_stream(&wire, LITERAL("01234567890123456789"));
    wire_close(&wire);
}

Test(record, every_changed_bit_is_noticed)
{
    for (size_t m = 1; m < mode_count(); m++) {
        struct wire wire;
        wire_open(&wire, MODES[m]);
        seal(&wire, LITERAL("attack at dawn"));
        struct epb_bytes sealed = bytes_of(&wire.out);
        for (size_t bit = 0; bit < 8 * sealed.size_bytes; bit++) {
            struct epb_record *receiver = epb_record_new(MODES[m], KEY);
            epb_buf_consume(&wire.in, epb_buf_size(&wire.in));
            put(&wire.in, sealed);
            front_of(&wire.in)[bit / 8] ^= (uint8_t)(1U << (bit % 8));
            enum epb_status status = epb_record_unseal(receiver, &wire.in, SIZE_MAX);
            cr_assert_eq(epb_record_stream(receiver, &wire.in).size_bytes, 0);
            /* A length that grew waits for bytes that will fail with it, or is too large.
             */
            if (bit >= 32) {
                cr_assert_eq(status, EPB_AUTH_FAILED, "bit %zu", bit);
            }
            if (status == EPB_OK) {
                static uint8_t more[1048576 + 64];
                put(&wire.in, (struct epb_bytes){more, sizeof(more)});
                status = epb_record_unseal(receiver, &wire.in, SIZE_MAX);
            }
            cr_assert_neq(status, EPB_OK, "bit %zu", bit);
            epb_record_free(receiver);
        }
        wire_close(&wire);
    }
}

Test(record, replayed_reordered_missing_and_foreign_records_are_refused)
{
    for (size_t m = 1; m < mode_count(); m++) {
        struct wire wire;
        wire_open(&wire, MODES[m]);
        size_t ends[3];
        for (int i = 0; i < 3; i++) {
            seal(&wire, LITERAL("record"));
            ends[i] = epb_buf_size(&wire.out);
        }
        struct epb_bytes all = bytes_of(&wire.out);
        struct epb_bytes first = {all.data, ends[0]};
        struct epb_bytes second = {all.data + ends[0], ends[1] - ends[0]};
        struct {
            struct epb_bytes records[2];
            const uint8_t *key;
            size_t good_bytes;
        } cases[] = {
            {{first, first}, KEY, 6},       /* replayed */
            {{second, first}, KEY, 0},      /* reordered, or the first is missing */
            {{first, second}, OTHER_KEY, 0} /* another session's, or our own reflected */
        };
        for (size_t i = 0; i < 3; i++) {
            struct epb_record *receiver = epb_record_new(MODES[m], cases[i].key);
            epb_buf_consume(&wire.in, epb_buf_size(&wire.in));
            put(&wire.in, cases[i].records[0]);
            put(&wire.in, cases[i].records[1]);
            cr_assert_eq(epb_record_unseal(receiver, &wire.in, SIZE_MAX),
                         EPB_AUTH_FAILED);
            cr_assert_eq(epb_record_stream(receiver, &wire.in).size_bytes,
                         cases[i].good_bytes, "what was opened before stays readable");
            epb_record_free(receiver);
        }
        wire_close(&wire);
    }
}

Test(record, a_length_out_of_bounds_is_refused_at_once)
{
    for (size_t m = 1; m < mode_count(); m++) {
        uint32_t tag_bytes = MODES[m] == EPB_RECORD_MAC ? 32 : 16;
        struct {
            uint32_t length;
            enum epb_status status;
        } cases[] = {{0, EPB_AUTH_FAILED},
                     {tag_bytes, EPB_AUTH_FAILED}, /* an empty record carries nothing */
                     {tag_bytes + 1, EPB_OK},      /* waits for the rest */
                     {tag_bytes + EPB_RECORD_MAX_BYTES, EPB_OK},
                     {tag_bytes + EPB_RECORD_MAX_BYTES + 1, EPB_TOO_LARGE},
                     {UINT32_MAX, EPB_TOO_LARGE}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct wire wire;
            uint8_t header[4];
            wire_open(&wire, MODES[m]);
            epb_put_u32(header, cases[i].length);
            put(&wire.in, (struct epb_bytes){header, 4});
            cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, SIZE_MAX),
                         cases[i].status);
            wire_close(&wire);
        }
    }
}

/* One record of the largest size, which another implementation may send: sealed by hand,
 * since ours sends smaller ones. */
Test(record, the_largest_record_is_taken)
{
    struct wire wire;
    struct epb_hmac hmac;
    uint8_t header[4];
    uint8_t seq[8] = {0};
    uint8_t mac[EPB_RECORD_MAC_BYTES];
    uint8_t *bytes = pattern(EPB_RECORD_MAX_BYTES);

    wire_open(&wire, EPB_RECORD_MAC);
    epb_put_u32(header, EPB_RECORD_MAX_BYTES + EPB_RECORD_MAC_BYTES);
    cr_assert_eq(epb_hmac_init(&hmac, (struct epb_bytes){KEY, sizeof(KEY)}), EPB_OK);
    epb_hmac_begin(&hmac);
    epb_hmac_add(&hmac, seq, sizeof(seq));
    epb_hmac_add(&hmac, header, sizeof(header));
    epb_hmac_add(&hmac, bytes, EPB_RECORD_MAX_BYTES);
    epb_hmac_end(&hmac, mac);
    epb_hmac_fini(&hmac);
    put(&wire.in, (struct epb_bytes){header, sizeof(header)});
    put(&wire.in, (struct epb_bytes){bytes, EPB_RECORD_MAX_BYTES});
    put(&wire.in, (struct epb_bytes){mac, sizeof(mac)});
    cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, SIZE_MAX), EPB_OK);
    assert_stream(&wire, (struct epb_bytes){bytes, EPB_RECORD_MAX_BYTES});
    free(bytes);
    wire_close(&wire);
}

Test(record, the_last_sequence_number_is_used_once)
{
    for (size_t m = 1; m < mode_count(); m++) {
        struct wire wire;
        wire_open(&wire, MODES[m]);
        epb_record_skip_to(wire.sender, UINT64_MAX);
        epb_record_skip_to(wire.receiver, UINT64_MAX);
        seal(&wire, LITERAL("last"));
        size_t sealed_bytes = epb_buf_size(&wire.out);
        put(&wire.in, bytes_of(&wire.out));
        put(&wire.in, bytes_of(&wire.out));
        cr_assert_eq(epb_record_begin(wire.sender, &wire.out), EPB_OK);
        put(&wire.out, LITERAL("one too many"));
        cr_assert_eq(epb_record_end(wire.sender, &wire.out), EPB_INTERNAL);
        cr_assert_eq(epb_buf_size(&wire.out), sealed_bytes,
                     "no plaintext is left to be sent");
        cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, SIZE_MAX), EPB_INTERNAL);
        assert_stream(&wire, LITERAL("last"));
        wire_close(&wire);
    }
}

/* What is sealed twice is not the same twice. */
Test(record, no_number_seals_two_records)
{
    for (size_t m = 1; m < mode_count(); m++) {
        struct wire wire;
        wire_open(&wire, MODES[m]);
        seal(&wire, LITERAL("same"));
        size_t whole_bytes = epb_buf_size(&wire.out);
        seal(&wire, LITERAL("same"));
        epb_record_skip_to(wire.sender, UINT64_C(1) << 32);
        seal(&wire, LITERAL("same"));
        const uint8_t *out = epb_buf_data(&wire.out);
        cr_assert_neq(memcmp(out, out + whole_bytes, whole_bytes), 0);
        cr_assert_neq(memcmp(out, out + 2 * whole_bytes, whole_bytes), 0);
        cr_assert_neq(memcmp(out + whole_bytes, out + 2 * whole_bytes, whole_bytes), 0);
        wire_close(&wire);
    }
}

Test(record, many_tiny_records_do_not_make_the_buffer_grow)
{
    struct wire wire;

    wire_open(&wire, EPB_RECORD_CHACHA20);
    size_t most = 0;
    for (size_t i = 0; i < 50000; i++) {
        uint8_t byte = (uint8_t)i;
        epb_buf_consume(&wire.out, epb_buf_size(&wire.out));
        seal(&wire, (struct epb_bytes){&byte, 1});
        put(&wire.in, bytes_of(&wire.out));
        cr_assert_eq(epb_record_unseal(wire.receiver, &wire.in, SIZE_MAX), EPB_OK);
        if (epb_buf_size(&wire.in) - i > most) {
            most = epb_buf_size(&wire.in) - i;
        }
    }
    cr_assert_lt(most, 8192, "%zu bytes besides the stream", most);
    struct epb_bytes stream = epb_record_stream(wire.receiver, &wire.in);
    cr_assert_eq(stream.size_bytes, 50000);
    for (size_t i = 0; i < 50000; i++) {
        cr_assert_eq(stream.data[i], (uint8_t)i);
    }
    wire_close(&wire);
}

Test(record, no_memory_for_the_tags_leaves_no_plaintext_to_be_sent)
{
    struct wire wire;

    wire_open(&wire, EPB_RECORD_CHACHA20);
    uint8_t *bytes = pattern(252); /* with its header, the smallest buffer is full */
    cr_assert_eq(epb_record_begin(wire.sender, &wire.out), EPB_OK);
    put(&wire.out, (struct epb_bytes){bytes, wire.out.capacity_bytes - 4});
    epb_mem_fail_after(1);
    cr_assert_eq(epb_record_end(wire.sender, &wire.out), EPB_INTERNAL);
    epb_mem_fail_after(0);
    cr_assert_eq(epb_buf_size(&wire.out), 0);
    free(bytes);
    wire_close(&wire);
}
