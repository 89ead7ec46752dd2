/**
 * Runs workers (soak_worker.js) on a broker. Kills a worker at intervals of time, or of operations if these
 * are done sooner, and starts a replacement for the rest of its share.
 */
'use strict';

const fs = require('node:fs');
const { setTimeout: pause } = require('node:timers/promises');
const { randomFrom } = require('./broker.js');
const { startWorker } = require('./workers.js');

const ACCOUNTS = ['ann', 'bob', 'cid', 'dan'];
const WARM_SHARE = 0.1;
const SAMPLE_MS = 20;

function residentBytes(pid) {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(kib) * 1024;
}

class Soak {
  wrong = [];
  /** The number of workers killed in the middle of their share. */
  kills = 0;
  #lives = 0;
  done = 0;
  warmBytes = 0;
  #t;
  #broker;
  #plan;
  #random;
  #places = [];

  /**
   * @param {import('node:test').TestContext} t
   * @param {{ pid: number, pipe: string, secret: string | null }} broker
   * @param {{ seed: number, workers: number, operations: number, killEveryMs: number,
   *   killEveryOperations: number }} plan
   */
  constructor(t, broker, plan) {
    this.#t = t;
    this.#broker = broker;
    this.#plan = plan;
    this.#random = randomFrom(plan.seed);
  }

  /** Resolves when all operations are done. */
  async run() {
    const { workers, operations, killEveryMs, killEveryOperations } = this.#plan;
    const share = Math.ceil(operations / workers);
    this.#places = Array.from({ length: workers }, (_, self) => ({ self, left: share }));
    for (const place of this.#places) this.#occupy(place);
    const next = { kill: performance.now() + killEveryMs, done: killEveryOperations };
    while (this.#places.some(({ over }) => !over)) {
      await pause(SAMPLE_MS);
      if (this.wrong.length > 0) break;
      if (this.warmBytes === 0 && this.done >= operations * WARM_SHARE) {
        this.warmBytes = residentBytes(this.#broker.pid);
      }
      if (performance.now() < next.kill && this.done < next.done) continue;
      if (!this.#killOne()) continue;
      next.kill = performance.now() + killEveryMs;
      next.done = this.done + killEveryOperations;
    }
    await Promise.all(this.#places.map(({ worker }) => worker.kill()));
  }

  #occupy(place) {
    const { seed } = this.#plan;
    const settings = {
      seed: seed + place.self + 1000 * this.#lives++,
      operations: place.left,
      accounts: ACCOUNTS,
      self: place.self,
    };
    const worker = startWorker(this.#t, 'soak_worker.js', this.#broker, settings, (message) => {
      if (message.type === 'wrong') this.wrong.push(message);
      if (message.type !== 'done') return;
      this.done += message.count;
      place.left -= message.count;
    });
    place.worker = worker;
    place.dying = false;
    void worker.ended.then(({ status, signal }) => {
      const midway = signal === 'SIGKILL' && place.left > 0 && this.wrong.length === 0;
      if (midway) this.kills++;
      if (midway) this.#occupy(place);
      else place.over = true;
      if (status) this.wrong.push({ type: 'wrong', message: `a worker ended with ${status}` });
    });
  }

  #killOne() {
    const living = this.#places.filter(({ dying, left }) => !dying && left > 0);
    if (living.length === 0) return false;
    const place = living[Math.floor(this.#random() * living.length)];
    place.dying = true;
    place.worker.child.kill('SIGKILL');
    return true;
  }
}

module.exports = { ACCOUNTS, Soak, residentBytes };
