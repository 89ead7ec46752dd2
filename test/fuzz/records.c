/*
 * Records. The input says what is sealed, how the sealed bytes are edited, and in which
 * pieces they arrive. What a record opens to is known: the plaintext of the records in
 * front of the first byte that was changed, all of it, and never a byte more.
 */
#include "fuzz.h"

#include "wire/record.h"

#define RECORDS_MAX 8U
#define WIRE_MAX_BYTES ((size_t)1 << 20)

static const uint8_t KEY[EPB_KEY_BYTES] = {7, 7, 7};

struct sealed {
    struct epb_buf plain;
    struct epb_buf wire;
    size_t plain_ends[RECORDS_MAX];
    size_t wire_ends[RECORDS_MAX];
    unsigned count;
};

static void
seal(struct sealed *sealed, enum epb_record_mode mode, struct epb_bytes *input)
{
    struct epb_record *sender = epb_record_new(mode, KEY);
    unsigned count = 1 + fuzz_u8(input) % RECORDS_MAX;

    FUZZ_CHECK(sender != NULL);
    epb_buf_init(&sealed->plain, WIRE_MAX_BYTES);
    epb_buf_init(&sealed->wire, WIRE_MAX_BYTES);
    for (sealed->count = 0; sealed->count < count; sealed->count++) {
        size_t size_bytes = 1 + fuzz_u16(input) % 700U;
        uint8_t plain[700];

        memset(plain, 'a' + (int)sealed->count, size_bytes);
        FUZZ_CHECK(epb_record_begin(sender, &sealed->wire) == EPB_OK);
        FUZZ_CHECK(epb_buf_append(&sealed->wire, plain, size_bytes) == EPB_OK);
        FUZZ_CHECK(epb_record_end(sender, &sealed->wire) == EPB_OK);
        FUZZ_CHECK(epb_buf_append(&sealed->plain, plain, size_bytes) == EPB_OK);
        sealed->plain_ends[sealed->count] = epb_buf_size(&sealed->plain);
        sealed->wire_ends[sealed->count] = epb_buf_size(&sealed->wire);
    }
    epb_record_free(sender);
}

/* A record of what was sealed. */
static struct epb_bytes
record_of(const struct sealed *sealed, unsigned number)
{
    unsigned i = number % sealed->count;
    size_t start = i == 0 ? 0 : sealed->wire_ends[i - 1];

    return (struct epb_bytes){epb_buf_data(&sealed->wire) + start,
                              sealed->wire_ends[i] - start};
}

static void
append(struct epb_buf *buf, struct epb_bytes bytes)
{
    if (bytes.size_bytes > 0) {
        FUZZ_CHECK(epb_buf_append(buf, bytes.data, bytes.size_bytes) == EPB_OK);
    }
}

/* One after the other, until the input ends: bits flipped, the end cut off, a record
 * left out from there on, sent again, in another place; bytes of anybody's. */
static void
edit(struct epb_buf *wire, const struct sealed *sealed, struct epb_bytes input)
{
    for (unsigned edits = 0; input.size_bytes > 0 && edits < 16; edits++) {
        uint8_t kind = fuzz_u8(&input);
        size_t size_bytes = epb_buf_size(wire);
        size_t at = size_bytes == 0 ? 0 : fuzz_u16(&input) % size_bytes;

        switch (kind % 5) {
        case 0:
            if (size_bytes > 0) {
                wire->memory[wire->start + at] ^= fuzz_u8(&input);
            }
            break;
        case 1:
            epb_buf_truncate(wire, size_bytes - at);
            break;
        case 2:
            append(wire, record_of(sealed, fuzz_u8(&input)));
            break;
        case 3: /* the first one goes */
            epb_buf_consume(wire, fuzz_least(size_bytes, sealed->wire_ends[0]));
            break;
        default:
            append(wire, fuzz_take(&input, fuzz_u8(&input)));
            break;
        }
    }
}

/* How much plaintext is in front of the first byte that is not what was sealed. */
static size_t
intact_plain(const struct sealed *sealed, const struct epb_buf *wire)
{
    size_t most = fuzz_least(epb_buf_size(wire), epb_buf_size(&sealed->wire));
    size_t same = 0;
    size_t plain_bytes = 0;

    while (same < most && epb_buf_data(wire)[same] == epb_buf_data(&sealed->wire)[same]) {
        same++;
    }
    for (unsigned i = 0; i < sealed->count && sealed->wire_ends[i] <= same; i++) {
        plain_bytes = sealed->plain_ends[i];
    }
    return plain_bytes;
}

static void
read_stream(struct epb_record *receiver, struct epb_buf *in, struct epb_buf *got,
            size_t most)
{
    struct epb_bytes stream = epb_record_stream(receiver, in);

    stream.size_bytes = fuzz_least(stream.size_bytes, most);
    append(got, stream);
    epb_record_consume(receiver, in, stream.size_bytes);
}

static void
receive(enum epb_record_mode mode, struct epb_bytes wire, uint64_t pieces,
        struct epb_buf *got)
{
    struct epb_record *receiver = epb_record_new(mode, KEY);
    enum epb_status status = EPB_OK;
    struct epb_buf in;

    FUZZ_CHECK(receiver != NULL);
    epb_buf_init(&in, WIRE_MAX_BYTES);
    while (wire.size_bytes > 0 && status == EPB_OK) {
        append(&in, fuzz_take(&wire, fuzz_piece(&pieces)));
        status = epb_record_unseal(receiver, &in, fuzz_piece(&pieces));
        read_stream(receiver, &in, got, fuzz_piece(&pieces) - 1);
    }
    while (status == EPB_OK) {
        size_t before = epb_record_stream(receiver, &in).size_bytes;

        status = epb_record_unseal(receiver, &in, SIZE_MAX);
        if (epb_record_stream(receiver, &in).size_bytes == before) {
            break;
        }
    }
    FUZZ_CHECK(status == EPB_OK || status == EPB_AUTH_FAILED || status == EPB_TOO_LARGE);
    read_stream(receiver, &in, got, SIZE_MAX);
    epb_record_free(receiver);
    epb_buf_fini(&in);
}

void
fuzz_records(const uint8_t *data, size_t size_bytes)
{
    struct epb_bytes input = {data, size_bytes};
    uint8_t how = fuzz_u8(&input);
    enum epb_record_mode mode = fuzz_mode((how & 1) != 0, (how & 0x80) != 0);
    struct sealed sealed;
    struct epb_buf wire;
    struct epb_buf got;

    seal(&sealed, mode, &input);
    epb_buf_init(&wire, WIRE_MAX_BYTES);
    epb_buf_init(&got, WIRE_MAX_BYTES);
    append(&wire, fuzz_held(&sealed.wire));
    edit(&wire, &sealed, input);

    receive(mode, fuzz_held(&wire), how >> 1, &got);
    FUZZ_CHECK(epb_buf_size(&got) == intact_plain(&sealed, &wire));
    FUZZ_CHECK(
        epb_buf_size(&got) == 0 ||
        memcmp(epb_buf_data(&got), epb_buf_data(&sealed.plain), epb_buf_size(&got)) == 0);

    epb_buf_fini(&sealed.plain);
    epb_buf_fini(&sealed.wire);
    epb_buf_fini(&wire);
    epb_buf_fini(&got);
}
