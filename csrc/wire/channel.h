/*
 * The client's end of a session, without I/O. A channel carries a stream of frames to and
 * from the broker and does not interpret them.
 *
 * With a secret, the hello is sent first. Frames passed in before the broker has proved
 * itself are kept, then sealed and sent together with the client's proof. Nothing else
 * ever leaves before the broker's proof.
 */
#ifndef EPB_WIRE_CHANNEL_H
#define EPB_WIRE_CHANNEL_H

#include "record.h"

struct epb_channel;

/* An empty secret means no secret. The first output is available at once. NULL when
 * memory is out. */
struct epb_channel *
epb_channel_new(struct epb_bytes secret);
/* The same with one given mode, so that the broker can't choose. PLAIN exactly when there
 * is no secret. */
struct epb_channel *
epb_channel_new_in_mode(struct epb_bytes secret, enum epb_record_mode mode);
void
epb_channel_free(struct epb_channel *channel);

/* Queues whole frames. One call makes one record, or a few when the frames are large.
 * EPB_TOO_LARGE when more than 64 MiB would wait; EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_channel_send(struct epb_channel *channel, struct epb_bytes frames);
/* The bytes to write to the socket now. Report what was written with epb_channel_sent. */
struct epb_bytes
epb_channel_output(const struct epb_channel *channel);
void
epb_channel_sent(struct epb_channel *channel, size_t size_bytes);

/* _input returns memory for bytes from the socket, at least 16 KiB. _received reports how
 * many were written there and opens complete records. Errors: EPB_AUTH_FAILED,
 * EPB_AUTH_REQUIRED, EPB_VERSION_MISMATCH, EPB_MAX_CONNECTIONS, EPB_DRAINING,
 * EPB_TOO_LARGE, EPB_INTERNAL. After an error the channel is dead, and all further calls
 * return the same error. */
EPB_MUST_USE enum epb_status
epb_channel_input(struct epb_channel *channel, uint8_t **memory, size_t *size_bytes);
EPB_MUST_USE enum epb_status
epb_channel_received(struct epb_channel *channel, size_t size_bytes);
/* The peer has closed the connection: returns the reason as far as it is known, never
 * EPB_OK. EPB_BROKER_GONE when the peer sent nothing at all (the broker may have been
 * about to end: worth another try); EPB_AUTH_FAILED when the bytes it sent in the
 * handshake are not a broker's answer. The stream that has arrived stays readable. */
enum epb_status
epb_channel_close(struct epb_channel *channel);
/* Whether the handshake is done. */
bool
epb_channel_is_open(const struct epb_channel *channel);

/* The reply frames that have arrived. Consume the bytes that were read. */
struct epb_bytes
epb_channel_stream(const struct epb_channel *channel);
void
epb_channel_consume(struct epb_channel *channel, size_t size_bytes);

#endif
