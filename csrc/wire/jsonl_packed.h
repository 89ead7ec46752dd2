/* The parts of reply lines that the core passes packed (core/msg.h). */
#ifndef EPB_WIRE_JSONL_PACKED_H
#define EPB_WIRE_JSONL_PACKED_H

#include "../core/msg.h"
#include "text.h"

/* Writes `before` (a comma, a member's name, a colon), then the number. */
void
epb_jsonl_put_number(struct epb_text *text, const char *before, uint64_t number);
void
epb_jsonl_put_truth(struct epb_text *text, const char *before, bool truth);

/* Each begins with a comma. */
void
epb_jsonl_put_losses(struct epb_text *text, struct epb_bytes packed);
void
epb_jsonl_put_near(struct epb_text *text, struct epb_bytes packed);
void
epb_jsonl_put_description(struct epb_text *text, struct epb_bytes packed);
/* A list or leases, in pieces: the text before the entries (with a comma), the entries
 * (with commas between them), and the text behind them. */
void
epb_jsonl_put_list_front(struct epb_text *text, enum epb_shape shape);
void
epb_jsonl_put_entries(struct epb_text *text, enum epb_shape shape,
                      struct epb_bytes packed, uint64_t wall_ms);
void
epb_jsonl_put_list_back(struct epb_text *text, enum epb_shape shape);
/* The obstacle to a request, or the cycle that the request would have closed. */
void
epb_jsonl_put_obstacle(struct epb_text *text, struct epb_bytes packed, bool is_cycle,
                       uint64_t wall_ms);

#endif
