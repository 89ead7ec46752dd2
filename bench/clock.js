'use strict';

// So many laps are kept, the latest; a power of two, so that the index can be masked.
const LAPS = 1 << 20;
/** Those of the latest clock. Made once: Node collects garbage when so much is made. */
const laps = new Float64Array(LAPS);

/** Says when a measurement is over and keeps how many microseconds each lap took. One at a time. */
class Clock {
  constructor(ms) {
    this.count = 0;
    this.last = this.began = performance.now();
    this.until = this.began + ms;
  }

  running() {
    return performance.now() < this.until;
  }

  /** Ends a lap; whether there is time for one more. */
  lap() {
    const now = performance.now();
    laps[this.count++ & (LAPS - 1)] = (now - this.last) * 1_000;
    this.last = now;
    return now < this.until;
  }

  /** For each of these parts (0 to 1) the microseconds that this part of all laps did not exceed. */
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
