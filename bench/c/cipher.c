/*
 * The cost of the cipher alone: seals and opens records of BYTES bytes with the code of a
 * session (csrc/wire/record.h), and prints microseconds a pass as JSON.
 *
 *   cipher BYTES MS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/cipher.h"
#include "wire/record.h"

static double
now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void
check(enum epb_status status)
{
    if (status == EPB_OK) {
        return;
    }
    fprintf(stderr, "cipher: status %d\n", (int)status);
    exit(1);
}

int
main(int argc, char **argv)
{
    static const uint8_t key[EPB_KEY_BYTES] = {1};
    enum epb_record_mode mode =
        epb_cipher_has_aes() ? EPB_RECORD_AES : EPB_RECORD_CHACHA20;
    struct epb_record *sender = epb_record_new(mode, key);
    struct epb_record *receiver = epb_record_new(mode, key);
    struct epb_buf buffer;
    size_t size = argc == 3 ? (size_t)atol(argv[1]) : 0;
    char *value = calloc(1, size + 1);
    double until = now_us() + (argc == 3 ? atof(argv[2]) : 0) * 1e3;
    double seal_us = 0;
    double open_us = 0;
    long passes = 0;

    if (argc != 3 || sender == NULL || receiver == NULL || value == NULL) {
        return 2;
    }
    epb_buf_init(&buffer, 4 * (size + 1024));
    do {
        double began;
        double sealed;

        check(epb_record_begin(sender, &buffer));
        check(epb_buf_append(&buffer, value, size));
        began = now_us();
        check(epb_record_end(sender, &buffer));
        sealed = now_us();
        check(epb_record_unseal(receiver, &buffer, size));
        open_us += now_us() - sealed;
        seal_us += sealed - began;
        epb_record_consume(receiver, &buffer, size);
        passes++;
    } while (now_us() < until);
    printf("{\"seal\":%.2f,\"open\":%.2f}\n", seal_us / (double)passes,
           open_us / (double)passes);
    return 0;
}
