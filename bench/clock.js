'use strict';

// The number of latest laps that are kept; a power of two, so that the index can be masked.
const LAPS = 1 << 20;
/** The laps of the latest clock. Allocated once: allocating this much triggers garbage collection. */
const laps = new Float64Array(LAPS);

/** Ends a measurement after `ms` and records the microseconds of each lap. One clock runs at a time. */
class Clock {
  constructor(ms) {
    this.count = 0;
    this.last = this.began = performance.now();
    this.until = this.began + ms;
  }

  running() {
    return performance.now() < this.until;
  }

  /** Ends a lap; returns whether there is time for another one. */
  lap() {
    const now = performance.now();
    laps[this.count++ & (LAPS - 1)] = (now - this.last) * 1_000;
    this.last = now;
    return now < this.until;
  }

  /** The quantiles of the laps in microseconds, for each of these parts (0 to 1). */
  quantiles(...parts) {
    const sorted = laps.subarray(0, Math.min(this.count, LAPS)).sort();
    return parts.map(
      (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))],
    );
  }

  percentiles() {
    if (this.count === 0) return null;
    const [p50, p95, p99] = this.quantiles(0.5, 0.95, 0.99);
    return { p50, p95, p99 };
  }
}

module.exports = { Clock };
