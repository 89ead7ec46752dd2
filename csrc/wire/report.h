/* Statistics as text: JSON for stats and health, the Prometheus text exposition format
 * for metrics. Both encodings use it. */
#ifndef EPB_WIRE_REPORT_H
#define EPB_WIRE_REPORT_H

#include "../base/buf.h"
#include "../core/engine.h"

EPB_MUST_USE enum epb_status
epb_report_stats(struct epb_buf *out, const struct epb_stats *stats);
EPB_MUST_USE enum epb_status
epb_report_health(struct epb_buf *out, const struct epb_stats *stats);
EPB_MUST_USE enum epb_status
epb_report_metrics(struct epb_buf *out, const struct epb_stats *stats);

#endif
