/* See run.h. */
#include "run.h"

#include "program.h"

#define SENTENCE_BYTES 4096U

static int
complain(const struct epb_buf *sentence, int status)
{
    if (status != 0) {
        epb_cli_complain_buf(sentence);
    }
    return status;
}

int
epb_run_check(char *const *command)
{
    struct epb_buf sentence;

    epb_buf_init(&sentence, SENTENCE_BYTES);
    int status = complain(&sentence, epb_program_check(command, &sentence));
    epb_buf_fini(&sentence);
    return status;
}

int
epb_run_become(char *const *command)
{
    struct epb_buf sentence;

    epb_buf_init(&sentence, SENTENCE_BYTES);
    int status = complain(&sentence, epb_program_become(command, &sentence));
    epb_buf_fini(&sentence);
    return status;
}
