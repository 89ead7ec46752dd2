/*
 * The client's end of a session, without I/O: a channel carries a stream of frames to and
 * from the broker, and does not look into them.
 *
 * With a secret, the hello goes out first; plaintext given meanwhile is kept and leaves,
 * sealed, in one flight with the client's proof, once the broker has proved itself.
 * Nothing else ever leaves before that.
 */
#ifndef EPB_WIRE_CHANNEL_H
#define EPB_WIRE_CHANNEL_H

#include "record.h"

struct epb_channel;

/* An empty secret: none. NULL when memory is out. The first output is there at once. */
struct epb_channel *
epb_channel_new(struct epb_bytes secret);
/* The same in a given mode, so that a broker has no choice: PLAIN exactly when there is
 * no secret. */
struct epb_channel *
epb_channel_new_in_mode(struct epb_bytes secret, enum epb_record_mode mode);
void
epb_channel_free(struct epb_channel *channel);

/* Takes whole frames to be sent: one call, one record (or a few, when large).
 * EPB_TOO_LARGE when more than 64 MiB would wait, EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_channel_send(struct epb_channel *channel, struct epb_bytes frames);
/* What is to be written to the socket now. */
struct epb_bytes
epb_channel_output(const struct epb_channel *channel);
void
epb_channel_sent(struct epb_channel *channel, size_t size_bytes);

/* Where bytes from the socket go (never less than 16 KiB), and that they did. _received
 * opens what is complete. EPB_AUTH_FAILED, EPB_AUTH_REQUIRED, EPB_VERSION_MISMATCH,
 * EPB_MAX_CONNECTIONS, EPB_DRAINING, EPB_TOO_LARGE, EPB_INTERNAL: the channel is dead,
 * and says the same from then on. */
EPB_MUST_USE enum epb_status
epb_channel_input(struct epb_channel *channel, uint8_t **memory, size_t *size_bytes);
EPB_MUST_USE enum epb_status
epb_channel_received(struct epb_channel *channel, size_t size_bytes);
/* The peer closed: says why, as far as it told. EPB_BROKER_GONE when it said nothing at
 * all (it may have been about to end: worth another try); EPB_AUTH_FAILED when what it
 * said in the handshake is no broker's answer. Never EPB_OK. What the stream holds stays
 * readable. */
enum epb_status
epb_channel_close(struct epb_channel *channel);
/* The handshake is done. */
bool
epb_channel_is_open(const struct epb_channel *channel);

/* The stream of reply frames that has arrived; consume it as it is read. */
struct epb_bytes
epb_channel_stream(const struct epb_channel *channel);
void
epb_channel_consume(struct epb_channel *channel, size_t size_bytes);

#endif
