/*
 * See record.h. While receiving, the input buffer is
 *
 *   | opened: plaintext, one run | gap: old tags and headers | raw: unopened records |
 *
 * When no opened bytes are left, the gap and the next header are consumed and the record
 * is opened in place. Otherwise its plaintext moves down over the gap, and the gap grows
 * by the record's header and tag. The gap is closed when it is larger than the raw bytes
 * behind it: moving stays linear in the bytes received, and many tiny records can't make
 * the buffer grow.
 */
#include "record.h"

#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "cipher.h"
#include "hash.h"

#define GAP_TOLERATED_BYTES 4096U

struct epb_record {
    enum epb_record_mode mode;
    bool exhausted;    /* the last sequence number is used */
    uint64_t seq;      /* of the next record */
    size_t mark_bytes; /* sending: size of the buffer at _begin */
    size_t opened_bytes;
    size_t gap_bytes;
    union {
        struct epb_cipher cipher;
        struct epb_hmac hmac;
    } key;
};

struct epb_record *
epb_record_new(enum epb_record_mode mode, const uint8_t *key)
{
    struct epb_record *record = epb_mem_alloc(sizeof(*record));

    if (record == NULL) {
        return NULL;
    }
    record->mode = mode;
    if (mode == EPB_RECORD_CHACHA20) {
        epb_cipher_init(&record->key.cipher, EPB_CIPHER_CHACHA20_POLY1305, key);
    } else if (mode == EPB_RECORD_AES) {
        epb_cipher_init(&record->key.cipher, EPB_CIPHER_AES_256_GCM, key);
    } else if (mode == EPB_RECORD_MAC) {
        struct epb_bytes mac_key = {key, EPB_KEY_BYTES};
        if (epb_hmac_init(&record->key.hmac, mac_key) != EPB_OK) {
            record->mode = EPB_RECORD_PLAIN;
            epb_record_free(record);
            return NULL;
        }
    }
    return record;
}

void
epb_record_free(struct epb_record *record)
{
    if (record == NULL) {
        return;
    }
    if (record->mode == EPB_RECORD_MAC) {
        epb_hmac_fini(&record->key.hmac);
    }
    epb_mem_free(record);
}

void
epb_record_skip_to(struct epb_record *record, uint64_t seq)
{
    EPB_ASSERT(seq >= record->seq);
    record->seq = seq;
}

static size_t
tag_bytes(const struct epb_record *record)
{
    return record->mode == EPB_RECORD_MAC ? EPB_RECORD_MAC_BYTES : EPB_RECORD_TAG_BYTES;
}

static uint8_t *
front(struct epb_buf *buf)
{
    return buf->memory + buf->start;
}

/* Each number is used once; after the last one drawing fails. */
static enum epb_status
draw_seq(struct epb_record *record, uint64_t *seq)
{
    if (record->exhausted) {
        return EPB_INTERNAL;
    }
    *seq = record->seq;
    if (record->seq == UINT64_MAX) {
        record->exhausted = true;
    } else {
        record->seq++;
    }
    return EPB_OK;
}

static void
put_nonce(uint8_t nonce[EPB_CIPHER_NONCE_BYTES], uint64_t seq)
{
    memset(nonce, 0, EPB_CIPHER_NONCE_BYTES - 8U);
    epb_put_u64(nonce + EPB_CIPHER_NONCE_BYTES - 8U, seq);
}

static void
mac(struct epb_record *record, uint64_t seq, const uint8_t *header, size_t body_bytes,
    uint8_t out[EPB_RECORD_MAC_BYTES])
{
    uint8_t number[8];

    epb_put_u64(number, seq);
    epb_hmac_begin(&record->key.hmac);
    epb_hmac_add(&record->key.hmac, number, sizeof(number));
    epb_hmac_add(&record->key.hmac, header, EPB_RECORD_HEADER_BYTES + body_bytes);
    epb_hmac_end(&record->key.hmac, out);
}

/* Seals one record in place: header, `body_bytes` of plaintext, room for the tag. */
static enum epb_status
seal(struct epb_record *record, uint8_t *header, size_t body_bytes)
{
    uint64_t seq;
    enum epb_status status = draw_seq(record, &seq);

    if (status != EPB_OK) {
        return status;
    }
    uint8_t *body = header + EPB_RECORD_HEADER_BYTES;
    epb_put_u32(header, (uint32_t)(body_bytes + tag_bytes(record)));
    if (record->mode == EPB_RECORD_MAC) {
        mac(record, seq, header, body_bytes, body + body_bytes);
        return EPB_OK;
    }
    uint8_t nonce[EPB_CIPHER_NONCE_BYTES];
    put_nonce(nonce, seq);
    struct epb_bytes head = {header, EPB_RECORD_HEADER_BYTES};
    epb_cipher_seal(&record->key.cipher, nonce, head, body, body_bytes,
                    body + body_bytes);
    return EPB_OK;
}

/* Opens one record: the plaintext replaces the body. */
static enum epb_status
unseal(struct epb_record *record, uint8_t *header, size_t body_bytes)
{
    uint64_t seq;
    enum epb_status status = draw_seq(record, &seq);

    if (status != EPB_OK) {
        return status;
    }
    uint8_t *body = header + EPB_RECORD_HEADER_BYTES;
    if (record->mode == EPB_RECORD_MAC) {
        uint8_t expected[EPB_RECORD_MAC_BYTES];
        mac(record, seq, header, body_bytes, expected);
        bool same = epb_mem_equal(expected, body + body_bytes, sizeof(expected));
        epb_mem_wipe(expected, sizeof(expected));
        return same ? EPB_OK : EPB_AUTH_FAILED;
    }
    uint8_t nonce[EPB_CIPHER_NONCE_BYTES];
    put_nonce(nonce, seq);
    struct epb_bytes head = {header, EPB_RECORD_HEADER_BYTES};
    return epb_cipher_unseal(&record->key.cipher, nonce, head, body, body_bytes,
                             body + body_bytes);
}

enum epb_status
epb_record_begin(struct epb_record *record, struct epb_buf *out)
{
    record->mark_bytes = epb_buf_size(out);
    if (record->mode == EPB_RECORD_PLAIN) {
        return EPB_OK;
    }
    uint8_t *header;
    enum epb_status status = epb_buf_reserve(out, EPB_RECORD_HEADER_BYTES, &header);
    if (status == EPB_OK) {
        epb_buf_commit(out, EPB_RECORD_HEADER_BYTES);
    }
    return status;
}

/* Divides `body_bytes` of plaintext behind one header into records and seals them. The
 * buffer has room for all headers and tags. */
static enum epb_status
seal_all(struct epb_record *record, uint8_t *first_header, size_t body_bytes,
         size_t count)
{
    size_t whole_bytes =
        EPB_RECORD_HEADER_BYTES + EPB_RECORD_SEND_BYTES + tag_bytes(record);
    size_t last_bytes = body_bytes - (count - 1) * EPB_RECORD_SEND_BYTES;

    for (size_t i = count - 1; i > 0; i--) {
        memmove(first_header + i * whole_bytes + EPB_RECORD_HEADER_BYTES,
                first_header + EPB_RECORD_HEADER_BYTES + i * EPB_RECORD_SEND_BYTES,
                i == count - 1 ? last_bytes : EPB_RECORD_SEND_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        enum epb_status status =
            seal(record, first_header + i * whole_bytes,
                 i == count - 1 ? last_bytes : EPB_RECORD_SEND_BYTES);
        if (status != EPB_OK) {
            return status;
        }
    }
    return EPB_OK;
}

enum epb_status
epb_record_end(struct epb_record *record, struct epb_buf *out)
{
    if (record->mode == EPB_RECORD_PLAIN) {
        return EPB_OK;
    }
    EPB_ASSERT(epb_buf_size(out) >= record->mark_bytes + EPB_RECORD_HEADER_BYTES);
    size_t body_bytes = epb_buf_size(out) - record->mark_bytes - EPB_RECORD_HEADER_BYTES;
    if (body_bytes == 0) {
        epb_buf_truncate(out, EPB_RECORD_HEADER_BYTES);
        return EPB_OK;
    }
    size_t count = (body_bytes + EPB_RECORD_SEND_BYTES - 1) / EPB_RECORD_SEND_BYTES;
    size_t more_bytes = count * tag_bytes(record) + (count - 1) * EPB_RECORD_HEADER_BYTES;
    uint8_t *room;
    enum epb_status status = epb_buf_reserve(out, more_bytes, &room);
    if (status == EPB_OK) {
        epb_buf_commit(out, more_bytes);
        status = seal_all(record, front(out) + record->mark_bytes, body_bytes, count);
    }
    if (status != EPB_OK) {
        epb_buf_truncate(out, epb_buf_size(out) - record->mark_bytes);
    }
    return status;
}

static void
close_gap(struct epb_record *record, struct epb_buf *in)
{
    size_t raw_bytes = epb_buf_size(in) - record->opened_bytes - record->gap_bytes;

    if (record->gap_bytes < GAP_TOLERATED_BYTES || record->gap_bytes < raw_bytes) {
        return;
    }
    uint8_t *gap = front(in) + record->opened_bytes;
    memmove(gap, gap + record->gap_bytes, raw_bytes);
    epb_buf_truncate(in, record->gap_bytes);
    record->gap_bytes = 0;
}

/* Joins the plaintext behind `header` to the stream; the bytes between become gap. */
static void
join(struct epb_record *record, struct epb_buf *in, uint8_t *header, size_t body_bytes)
{
    if (record->opened_bytes == 0) {
        epb_buf_consume(in, record->gap_bytes + EPB_RECORD_HEADER_BYTES);
        record->gap_bytes = tag_bytes(record);
    } else {
        memmove(front(in) + record->opened_bytes, header + EPB_RECORD_HEADER_BYTES,
                body_bytes);
        record->gap_bytes += EPB_RECORD_HEADER_BYTES + tag_bytes(record);
    }
    record->opened_bytes += body_bytes;
    close_gap(record, in);
}

enum epb_status
epb_record_unseal(struct epb_record *record, struct epb_buf *in, size_t enough)
{
    if (record->mode == EPB_RECORD_PLAIN) {
        record->opened_bytes = epb_buf_size(in);
        return EPB_OK;
    }
    while (record->opened_bytes < enough) {
        size_t before_bytes = record->opened_bytes + record->gap_bytes;
        size_t raw_bytes = epb_buf_size(in) - before_bytes;
        if (raw_bytes < EPB_RECORD_HEADER_BYTES) {
            return EPB_OK;
        }
        uint8_t *header = front(in) + before_bytes;
        size_t length = epb_get_u32(header);
        if (length <= tag_bytes(record)) {
            return EPB_AUTH_FAILED;
        }
        size_t body_bytes = length - tag_bytes(record);
        if (body_bytes > EPB_RECORD_MAX_BYTES) {
            return EPB_TOO_LARGE;
        }
        if (raw_bytes < EPB_RECORD_HEADER_BYTES + length) {
            return EPB_OK;
        }
        enum epb_status status = unseal(record, header, body_bytes);
        if (status != EPB_OK) {
            return status;
        }
        join(record, in, header, body_bytes);
    }
    return EPB_OK;
}

struct epb_bytes
epb_record_stream(const struct epb_record *record, const struct epb_buf *in)
{
    return (struct epb_bytes){epb_buf_data(in), record->opened_bytes};
}

void
epb_record_consume(struct epb_record *record, struct epb_buf *in, size_t size_bytes)
{
    EPB_ASSERT(size_bytes <= record->opened_bytes);
    record->opened_bytes -= size_bytes;
    if (record->opened_bytes == 0) {
        size_bytes += record->gap_bytes;
        record->gap_bytes = 0;
    }
    epb_buf_consume(in, size_bytes);
}
