/* See session.h: from the first byte until the session is open. */
#include "../base/mem.h"
#include "session_internal.h"

static bool
add_records(struct epb_session *session, enum epb_record_mode mode,
            const struct epb_session_keys *keys)
{
    const uint8_t *in_key = keys == NULL ? NULL : keys->client_to_server;
    const uint8_t *out_key = keys == NULL ? NULL : keys->server_to_client;

    session->receiving = epb_record_new(mode, in_key);
    session->sending = epb_record_new(mode, out_key);
    return session->receiving != NULL && session->sending != NULL;
}

/* Opens a connection of lines, or refuses it. */
static void
begin_lines(struct epb_session *session)
{
    session->stage = EPB_STAGE_LINES;
    enum epb_status status = EPB_AUTH_REQUIRED;
    if (session->is_surplus) {
        status = EPB_MAX_CONNECTIONS;
    } else if (!epb_session_has_secret(session)) {
        status = epb_session_join(session) ? EPB_OK : EPB_INTERNAL;
    } else if (session->config->legacy_hmac) {
        status = epb_hmac_init(&session->line_hmac, session->config->secret);
    }
    if (status != EPB_OK) {
        epb_session_refuse(session, 0, status);
    }
}

static void
begin_frames(struct epb_session *session, enum epb_opening opening)
{
    bool plain = opening == EPB_OPENING_PLAIN;

    if (opening == EPB_OPENING_UNKNOWN) {
        epb_session_refuse(session, 0, EPB_VERSION_MISMATCH);
    } else if (plain && epb_session_has_secret(session)) {
        epb_session_refuse(session, 0, EPB_AUTH_REQUIRED);
    } else if (!plain && !epb_session_has_secret(session)) {
        epb_session_refuse(session, 0, EPB_AUTH_FAILED);
    } else if (!plain) {
        session->stage = EPB_STAGE_HELLO;
    } else if (add_records(session, EPB_RECORD_PLAIN, NULL) &&
               epb_session_join(session)) {
        epb_buf_consume(&session->in, EPB_MAGIC_BYTES);
        session->stage = EPB_STAGE_FRAMES;
    } else {
        epb_session_refuse(session, 0, EPB_INTERNAL);
    }
}

static void
sniff(struct epb_session *session)
{
    const uint8_t *data = epb_buf_data(&session->in);
    size_t size_bytes = epb_buf_size(&session->in);

    if (size_bytes == 0) {
        return;
    }
    if (data[0] == '{') {
        begin_lines(session);
    } else if (memcmp(data, EPB_MAGIC_PLAIN, size_bytes < 3 ? size_bytes : 3) != 0) {
        epb_session_abandon(session);
    } else if (size_bytes >= EPB_MAGIC_BYTES) {
        begin_frames(session, epb_auth_opening(data));
    }
}

/* Answers a complete hello; *answer_bytes is the number of bytes added to the output. */
static enum epb_status
answer(struct epb_session *session, struct epb_bytes hello, size_t *answer_bytes)
{
    uint8_t *memory;
    struct epb_bytes scope;

    session->handshake = epb_handshake_new(session->config->secret);
    if (session->handshake == NULL) {
        return EPB_INTERNAL;
    }
    enum epb_status status =
        epb_buf_reserve(&session->out, EPB_SERVER_HELLO_BYTES, &memory);
    if (status != EPB_OK) {
        return status;
    }
    status = epb_handshake_server_hello(session->handshake, hello, memory, answer_bytes,
                                        &scope);
    if (status != EPB_OK) {
        return status;
    }
    /* This broker has no scopes: a client that asked for less than full access is
     * refused. */
    return scope.size_bytes == 0 ? EPB_OK : EPB_VERSION_MISMATCH;
}

static void
answer_hello(struct epb_session *session)
{
    struct epb_bytes hello = {epb_buf_data(&session->in), epb_buf_size(&session->in)};
    size_t hello_bytes;
    size_t answer_bytes = 0;
    enum epb_status status = epb_auth_client_hello_bytes(hello, &hello_bytes);

    if (status == EPB_OK) {
        if (hello_bytes == 0 || hello.size_bytes < hello_bytes) {
            return;
        }
        hello.size_bytes = hello_bytes;
        status = answer(session, hello, &answer_bytes);
    }
    if (status != EPB_OK) {
        epb_session_refuse(session, 0, status);
        return;
    }
    epb_buf_commit(&session->out, answer_bytes);
    epb_buf_consume(&session->in, hello_bytes);
    session->stage = EPB_STAGE_PROOF;
}

static void
check_proof(struct epb_session *session)
{
    if (epb_buf_size(&session->in) < EPB_PROOF_BYTES) {
        return;
    }
    struct epb_session_keys keys;
    enum epb_record_mode mode;
    enum epb_status status = epb_handshake_server_finish(
        session->handshake, epb_buf_data(&session->in), &keys, &mode);
    if (status == EPB_OK &&
        !(add_records(session, mode, &keys) && epb_session_join(session))) {
        status = EPB_INTERNAL;
    }
    epb_mem_wipe(&keys, sizeof(keys));
    epb_handshake_free(session->handshake);
    session->handshake = NULL;
    if (status == EPB_INTERNAL) {
        /* The client has accepted our proof and takes records only: a plain reply would
         * look forged. Closing must suffice. */
        epb_session_emit(session, "refused", NULL, status);
        epb_session_abandon(session);
        return;
    }
    if (status != EPB_OK) {
        epb_session_refuse(session, 0, status);
        return;
    }
    epb_buf_consume(&session->in, EPB_PROOF_BYTES);
    session->stage = EPB_STAGE_FRAMES;
    epb_session_emit(session, "authenticated", NULL, EPB_OK);
}

void
epb_session_advance(struct epb_session *session)
{
    if (session->stage == EPB_STAGE_SNIFF) {
        sniff(session);
    }
    if (session->stage == EPB_STAGE_HELLO) {
        answer_hello(session);
    }
    if (session->stage == EPB_STAGE_PROOF) {
        check_proof(session);
    }
}
