/* See channel.h. */
#include "channel.h"

#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "cipher.h"
#include "frame.h"

#define WAITING_LIMIT_BYTES (64U * 1024U * 1024U)
#define INPUT_LIMIT_BYTES (256U * 1024U * 1024U)
#define READ_LEAST_BYTES (16U * 1024U)
#define READ_MOST_BYTES (256U * 1024U)
/* Empty buffers larger than this are freed. A process has one channel to a broker. */
#define KEEP_BYTES (512U * 1024U)
/* A refusal is a reply frame without numbers or a body. */
#define REFUSAL_BYTES EPB_REPLY_HEADER_BYTES

enum stage {
    STAGE_HELLO, /* waiting for the broker's proof */
    STAGE_FIRST, /* plain: the first reply may be a refusal */
    STAGE_OPEN,
    STAGE_DEAD
};

struct epb_channel {
    enum stage stage;
    enum epb_status death; /* the reason */
    size_t offered_bytes;
    struct epb_buf out;     /* to the socket */
    struct epb_buf waiting; /* frames that may not be sent yet */
    struct epb_buf in;      /* from the socket; opened in place */
    struct epb_handshake *handshake;
    struct epb_record *receiving;
    struct epb_record *sending;
};

static enum epb_status
die(struct epb_channel *channel, enum epb_status why)
{
    channel->stage = STAGE_DEAD;
    channel->death = why;
    return why;
}

/* With a secret: writes the hello with its offer. Without: writes the magic, and the
 * session is open. */
static enum epb_status
put_hello(struct epb_channel *channel, struct epb_bytes secret, uint32_t offered)
{
    uint8_t *hello;

    if (secret.size_bytes == 0) {
        channel->receiving = epb_record_new(EPB_RECORD_PLAIN, NULL);
        channel->sending = epb_record_new(EPB_RECORD_PLAIN, NULL);
        if (channel->receiving == NULL || channel->sending == NULL) {
            return EPB_INTERNAL;
        }
        channel->stage = STAGE_FIRST;
        return epb_buf_append(&channel->out, EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
    }
    channel->handshake = epb_handshake_new(secret);
    if (channel->handshake == NULL) {
        return EPB_INTERNAL;
    }
    enum epb_status status =
        epb_buf_reserve(&channel->out, EPB_CLIENT_HELLO_BYTES, &hello);
    if (status == EPB_OK) {
        status = epb_handshake_client_hello(channel->handshake, offered, hello);
    }
    if (status == EPB_OK) {
        epb_buf_commit(&channel->out, EPB_CLIENT_HELLO_BYTES);
    }
    channel->stage = STAGE_HELLO;
    return status;
}

static struct epb_channel *
channel_new(struct epb_bytes secret, uint32_t offered)
{
    struct epb_channel *channel = epb_mem_alloc(sizeof(*channel));

    if (channel == NULL) {
        return NULL;
    }
    /* Room for headers and tags in addition to the waiting frames. */
    epb_buf_init(&channel->out, 2 * WAITING_LIMIT_BYTES);
    epb_buf_init(&channel->waiting, WAITING_LIMIT_BYTES);
    epb_buf_init(&channel->in, INPUT_LIMIT_BYTES);
    if (put_hello(channel, secret, offered) != EPB_OK) {
        epb_channel_free(channel);
        return NULL;
    }
    return channel;
}

struct epb_channel *
epb_channel_new_in_mode(struct epb_bytes secret, enum epb_record_mode mode)
{
    EPB_ASSERT((mode == EPB_RECORD_PLAIN) == (secret.size_bytes == 0));
    return channel_new(secret, epb_auth_offer_of(mode));
}

struct epb_channel *
epb_channel_new(struct epb_bytes secret)
{
    uint32_t aes = epb_cipher_has_aes() ? EPB_OFFER_AES : 0;

    return channel_new(secret, EPB_OFFER_CHACHA20 | aes);
}

void
epb_channel_free(struct epb_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    epb_buf_fini(&channel->out);
    epb_buf_fini(&channel->waiting);
    epb_buf_fini(&channel->in);
    epb_handshake_free(channel->handshake);
    epb_record_free(channel->receiving);
    epb_record_free(channel->sending);
    epb_mem_free(channel);
}

static enum epb_status
send_now(struct epb_channel *channel, struct epb_bytes frames)
{
    enum epb_status status = epb_record_begin(channel->sending, &channel->out);

    if (status != EPB_OK) {
        return status;
    }
    status = epb_buf_append(&channel->out, frames.data, frames.size_bytes);
    enum epb_status ended = epb_record_end(channel->sending, &channel->out);
    /* If appending failed, the empty record was taken back. If sealing failed, the
     * channel is dead. */
    if (ended != EPB_OK) {
        return die(channel, EPB_INTERNAL);
    }
    return status;
}

enum epb_status
epb_channel_send(struct epb_channel *channel, struct epb_bytes frames)
{
    if (channel->stage == STAGE_DEAD) {
        return channel->death;
    }
    if (channel->stage == STAGE_HELLO) {
        return epb_buf_append(&channel->waiting, frames.data, frames.size_bytes);
    }
    size_t waiting_bytes = epb_buf_size(&channel->out);
    if (waiting_bytes > WAITING_LIMIT_BYTES ||
        frames.size_bytes > WAITING_LIMIT_BYTES - waiting_bytes) {
        return EPB_TOO_LARGE;
    }
    return send_now(channel, frames);
}

struct epb_bytes
epb_channel_output(const struct epb_channel *channel)
{
    return (struct epb_bytes){epb_buf_data(&channel->out), epb_buf_size(&channel->out)};
}

void
epb_channel_sent(struct epb_channel *channel, size_t size_bytes)
{
    epb_buf_consume(&channel->out, size_bytes);
    if (epb_buf_size(&channel->out) == 0) {
        epb_buf_trim(&channel->out, KEEP_BYTES);
    }
}

enum epb_status
epb_channel_input(struct epb_channel *channel, uint8_t **memory, size_t *size_bytes)
{
    if (channel->stage == STAGE_DEAD) {
        return channel->death;
    }
    size_t held_bytes = epb_buf_size(&channel->in);
    *size_bytes = held_bytes < READ_LEAST_BYTES ? READ_LEAST_BYTES : held_bytes;
    if (*size_bytes > READ_MOST_BYTES) {
        *size_bytes = READ_MOST_BYTES;
    }
    enum epb_status status = epb_buf_reserve(&channel->in, *size_bytes, memory);
    if (status != EPB_OK) {
        return die(channel, status);
    }
    channel->offered_bytes = *size_bytes;
    return EPB_OK;
}

/* Whether the bytes are exactly one plain frame that refuses a connection. */
static bool
is_refusal(struct epb_bytes bytes, enum epb_status *why)
{
    struct epb_reply reply;

    if (bytes.data == NULL || bytes.size_bytes != REFUSAL_BYTES ||
        epb_get_u32(bytes.data) != REFUSAL_BYTES - EPB_FRAME_LENGTH_BYTES ||
        epb_frame_decode_reply(bytes, &reply) != EPB_OK) {
        return false;
    }
    *why = reply.status;
    return reply.id == 0 && reply.flags == 0 && reply.status != EPB_OK;
}

/* The length of the broker's hello. 0: more bytes are needed, or the bytes may become a
 * refusal, which is known at the end of the stream. */
static enum epb_status
hello_size(const struct epb_channel *channel, size_t *size_bytes)
{
    struct epb_bytes held = {epb_buf_data(&channel->in), epb_buf_size(&channel->in)};
    enum epb_status status = epb_auth_server_hello_bytes(held, size_bytes);
    bool may_refuse = held.data != NULL && held.size_bytes > 0 &&
                      held.size_bytes <= REFUSAL_BYTES &&
                      held.data[0] != EPB_MAGIC_OFFER[0];

    return may_refuse ? EPB_OK : status;
}

/* Checks the broker's proof, then sends ours and the frames that waited for it. */
static enum epb_status
finish_handshake(struct epb_channel *channel)
{
    size_t hello_bytes;
    enum epb_status status = hello_size(channel, &hello_bytes);

    if (status != EPB_OK) {
        return die(channel, status);
    }
    if (hello_bytes == 0 || epb_buf_size(&channel->in) < hello_bytes) {
        return EPB_OK;
    }
    struct epb_session_keys keys;
    enum epb_record_mode mode;
    uint8_t *proof;
    status = epb_buf_reserve(&channel->out, EPB_PROOF_BYTES, &proof);
    if (status == EPB_OK) {
        struct epb_bytes hello = {epb_buf_data(&channel->in), hello_bytes};
        status =
            epb_handshake_client_finish(channel->handshake, hello, proof, &keys, &mode);
    }
    if (status != EPB_OK) {
        return die(channel, status);
    }
    epb_buf_commit(&channel->out, EPB_PROOF_BYTES);
    epb_buf_consume(&channel->in, hello_bytes);
    channel->sending = epb_record_new(mode, keys.client_to_server);
    channel->receiving = epb_record_new(mode, keys.server_to_client);
    epb_mem_wipe(&keys, sizeof(keys));
    epb_handshake_free(channel->handshake);
    channel->handshake = NULL;
    if (channel->sending == NULL || channel->receiving == NULL) {
        return die(channel, EPB_INTERNAL);
    }
    channel->stage = STAGE_OPEN;
    struct epb_bytes waiting = {epb_buf_data(&channel->waiting),
                                epb_buf_size(&channel->waiting)};
    status = send_now(channel, waiting);
    epb_buf_fini(&channel->waiting);
    return status == EPB_OK ? EPB_OK : die(channel, status);
}

/* Without a secret, a refusal arrives as the first reply. */
static enum epb_status
check_first(struct epb_channel *channel)
{
    struct epb_bytes first = {epb_buf_data(&channel->in), epb_buf_size(&channel->in)};
    enum epb_status why;

    if (first.size_bytes < REFUSAL_BYTES) {
        return EPB_OK;
    }
    first.size_bytes = REFUSAL_BYTES;
    if (is_refusal(first, &why)) {
        return die(channel, why);
    }
    channel->stage = STAGE_OPEN;
    return EPB_OK;
}

enum epb_status
epb_channel_received(struct epb_channel *channel, size_t size_bytes)
{
    EPB_ASSERT(size_bytes <= channel->offered_bytes);
    channel->offered_bytes = 0;
    if (channel->stage == STAGE_DEAD) {
        return channel->death;
    }
    epb_buf_commit(&channel->in, size_bytes);
    enum epb_status status = EPB_OK;
    if (channel->stage == STAGE_HELLO) {
        status = finish_handshake(channel);
    }
    if (channel->stage == STAGE_FIRST) {
        status = check_first(channel);
    }
    if (channel->stage != STAGE_OPEN) {
        return status;
    }
    status = epb_record_unseal(channel->receiving, &channel->in, SIZE_MAX);
    return status == EPB_OK ? EPB_OK : die(channel, status);
}

enum epb_status
epb_channel_close(struct epb_channel *channel)
{
    if (channel->stage == STAGE_DEAD) {
        return channel->death;
    }
    enum epb_status why = EPB_BROKER_GONE;
    struct epb_bytes said = {epb_buf_data(&channel->in), epb_buf_size(&channel->in)};
    if (channel->stage == STAGE_HELLO && said.size_bytes > 0 && !is_refusal(said, &why)) {
        why = EPB_AUTH_FAILED;
    }
    return die(channel, why);
}

bool
epb_channel_is_open(const struct epb_channel *channel)
{
    return channel->stage == STAGE_OPEN || channel->stage == STAGE_FIRST;
}

struct epb_bytes
epb_channel_stream(const struct epb_channel *channel)
{
    if (channel->receiving == NULL) {
        return (struct epb_bytes){NULL, 0};
    }
    return epb_record_stream(channel->receiving, &channel->in);
}

void
epb_channel_consume(struct epb_channel *channel, size_t size_bytes)
{
    epb_record_consume(channel->receiving, &channel->in, size_bytes);
    if (epb_buf_size(&channel->in) == 0) {
        epb_buf_trim(&channel->in, KEEP_BYTES);
    }
}
