/* The parts of reply lines that come packed from the core (core/msg.h). */
#ifndef EPB_WIRE_JSONL_PACKED_H
#define EPB_WIRE_JSONL_PACKED_H

#include "text.h"

/* `before` (a comma, a member's name, a colon), then the number. */
void
epb_jsonl_put_number(struct epb_text *text, const char *before, uint64_t number);
void
epb_jsonl_put_truth(struct epb_text *text, const char *before, bool truth);

/* Each begins with a comma. */
void
epb_jsonl_put_list(struct epb_text *text, struct epb_bytes packed, uint64_t wall_ms);
void
epb_jsonl_put_losses(struct epb_text *text, struct epb_bytes packed);
void
epb_jsonl_put_near(struct epb_text *text, struct epb_bytes packed);
void
epb_jsonl_put_leases(struct epb_text *text, struct epb_bytes packed, uint64_t wall_ms);

#endif
