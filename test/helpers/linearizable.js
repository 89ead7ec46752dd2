/**
 * Checks whether a recorded history is linearizable: whether one object that executes every operation
 * atomically between its call and its return could have produced it (Herlihy and Wing, 1990).
 *
 * The search is Wing and Gong's with Lowe's memoization. Candidates for the next operation are the operations
 * called before any remaining operation has returned. The search takes a candidate that the model allows,
 * continues with the resulting state, and backtracks when no candidate is left. A set of executed operations
 * with its resulting state is tried once. Linearizability is local, so each object is checked separately.
 *
 * An operation is { object, by, call, input?, output, start, end }: times of one clock, in any unit.
 * Operations that touch (start of one = end of the other) count as concurrent. A model is { start, step }:
 * step(state, operation) returns the next state, or null if this state can't produce the output.
 * States are small plain objects, equal if their JSON is equal.
 */
'use strict';

const SHOWN = 12;

/** A list of calls and returns, ordered by time; an operation's call and return can be removed. */
class Timeline {
  constructor(operations) {
    const ends = operations.flatMap((operation, index) => {
      const end = { at: operation.end, operation, index, partner: null };
      return [{ at: operation.start, operation, index, partner: end }, end];
    });
    ends.sort((a, b) => a.at - b.at || (b.partner !== null) - (a.partner !== null));
    this.head = { next: null, previous: null };
    let last = this.head;
    for (const one of ends) {
      one.previous = last;
      last.next = one;
      last = one;
    }
    last.next = null;
  }

  /** Removes a call and its return. */
  remove(call) {
    for (const one of [call, call.partner]) {
      one.previous.next = one.next;
      if (one.next !== null) one.next.previous = one.previous;
    }
  }

  /** Restores both; the last removed operation must be restored first. */
  restore(call) {
    for (const one of [call.partner, call]) {
      one.previous.next = one;
      if (one.next !== null) one.next.previous = one;
    }
  }

  /** The candidates for the next operation: all operations called before the first return. */
  candidates() {
    const found = [];
    for (let one = this.head.next; one !== null && one.partner !== null; one = one.next) {
      found.push(one.operation);
    }
    return found;
  }
}

/**
 * The set of executed operations as a short text. Operations are numbered by their calls, so all operations
 * before the first remaining one are executed, and few after it.
 */
class Done {
  #flags;
  #first = 0;
  #last = -1;

  constructor(count) {
    this.#flags = new Uint8Array(count);
  }

  add(index) {
    this.#flags[index] = 1;
    this.#last = Math.max(this.#last, index);
    while (this.#flags[this.#first] === 1) this.#first++;
  }

  delete(index) {
    this.#flags[index] = 0;
    this.#first = Math.min(this.#first, index);
    while (this.#last >= 0 && this.#flags[this.#last] === 0) this.#last--;
  }

  toString() {
    return `${this.#first}:${this.#flags.subarray(this.#first, this.#last + 1).join('')}`;
  }
}

/**
 * The history of one object.
 * @returns {null | { done: object[], next: object[], state: object }} null if it is linearizable; else its
 *   longest linearizable part, in a possible order, the resulting state, and the candidates, none of which
 *   can be next
 */
function refute(history, model) {
  const operations = [...history].sort((a, b) => a.start - b.start);
  const timeline = new Timeline(operations);
  const done = new Done(operations.length);
  const tried = new Set();
  const path = [];
  let furthest = { done: [], next: timeline.candidates(), state: model.start };
  let state = model.start;
  let at = timeline.head.next;

  const advance = (next) => {
    done.add(at.index);
    const seen = `${done} ${JSON.stringify(next)}`;
    if (tried.has(seen)) {
      done.delete(at.index);
      return false;
    }
    tried.add(seen);
    path.push({ call: at, state });
    timeline.remove(at);
    state = next;
    return true;
  };
  const retreat = () => {
    if (path.length > furthest.done.length) {
      const order = path.map(({ call }) => call.operation);
      furthest = { done: order, next: timeline.candidates(), state };
    }
    const last = path.pop();
    if (last === undefined) return false;
    done.delete(last.call.index);
    timeline.restore(last.call);
    state = last.state;
    at = last.call;
    return true;
  };

  while (timeline.head.next !== null) {
    const isCall = at.partner !== null;
    const next = isCall ? model.step(state, at.operation) : null;
    if (next !== null && advance(next)) at = timeline.head.next;
    else if (isCall) at = at.next;
    else if (retreat()) at = at.next;
    else return furthest;
  }
  return null;
}

function describe({ by, call, input, output }) {
  const given = input === undefined ? '' : ` ${JSON.stringify(input)}`;
  return `${by} ${call}${given} -> ${JSON.stringify(output)}`;
}

/** Splits a history by object. */
function byObject(history) {
  const objects = new Map();
  for (const operation of history) {
    if (!objects.has(operation.object)) objects.set(operation.object, []);
    objects.get(operation.object).push(operation);
  }
  return objects;
}

/**
 * The reason why a history is not linearizable, for people; null if it is.
 * @param {object[]} history operations on any number of objects
 * @param {{ start: object, step: Function } | ((object: string) => object)} model of each object
 */
function explain(history, model) {
  for (const [object, operations] of byObject(history)) {
    const one = typeof model === 'function' ? model(object) : model;
    const refuted = refute(operations, one);
    if (refuted === null) continue;
    const { done, next, state } = refuted;
    const span = ({ start, end }) => `[${start} to ${end}]`;
    const lines = (list) => list.map((operation) => `  ${describe(operation)} ${span(operation)}`);
    return [
      `${object}: not linearizable, ${operations.length} operations.`,
      `${done.length} of them can have come in one order, at last:`,
      ...lines(done.slice(-SHOWN)),
      `which leaves ${JSON.stringify(state)}; then none of these can come next:`,
      ...lines(next),
    ].join('\n');
  }
  return null;
}

/** A history as text for a file, one operation a line. */
function print(history) {
  const lines = [...history]
    .sort((a, b) => a.start - b.start)
    .map((one) => `${one.start} ${one.end} ${one.object} ${describe(one)}\n`);
  return lines.join('');
}

/** Returns `wanted` if the output fits, else null. */
const when = (fits, wanted) => (fits ? wanted : null);

/**
 * A key of the store. A write does not return its version, so until an entry is read the version is only
 * known to be above `floor`, the last version that was read.
 */
const KEY = {
  start: { value: null, version: null, floor: 0 },

  step(state, { call, input, output }) {
    const { value, version } = state;
    const exists = value !== null;
    const floor = version ?? state.floor;
    const written = (now) => ({ value: now, version: null, floor });
    const mayBe = (one) => (version === null ? one > floor : one === version);
    switch (call) {
      case 'get':
        return when(output === value, state);
      case 'has':
        return when(output === exists, state);
      case 'getEntry':
        if (output === null) return when(!exists, state);
        if (!exists || output.value !== value || !mayBe(output.version)) return null;
        return { value, version: output.version, floor: output.version };
      case 'set':
        return when(output === 'ok', written(input.value));
      case 'setIfAbsent':
        return output === 'ok' ? when(!exists, written(input.value)) : when(exists, state);
      case 'setIfVersion': {
        if (output === 'ok') return when(exists && mayBe(input.version), written(input.value));
        return when(!exists || version !== input.version, state);
      }
      case 'incr': {
        if (output === 'not_a_number') return when(typeof value === 'string', state);
        const sum = exists ? value + input.by : input.by;
        return when(output === sum, written(sum));
      }
      case 'del':
        return when(output === exists, exists ? written(null) : state);
      default:
        throw new Error(`the model has no ${call}`);
    }
  },
};

/**
 * An exclusive lock and the key that its holders write with their tokens. There is one holder, tokens only
 * grow, and no client writes after its lease has ended.
 */
const FENCED = {
  start: { holder: null, last: 0, value: null },

  step(state, { call, input, output }) {
    const { holder, last, value } = state;
    switch (call) {
      case 'lock':
        if (output === 'lease_held') return when(holder !== null, state);
        // The wait timed out: the holder during this time is no longer known.
        if (output === 'wait_timeout') return state;
        return when(holder === null && output > last, { holder: output, last: output, value });
      case 'unlock':
        if (!output) return when(holder !== input.token, state);
        return when(holder === input.token, { holder: null, last, value });
      case 'set':
        if (output === 'fenced') return when(holder !== input.token, state);
        return when(holder === input.token, { holder, last, value: input.value });
      case 'get':
        return when(output === value, state);
      default:
        throw new Error(`the model has no ${call}`);
    }
  },
};

module.exports = { FENCED, KEY, explain, print };
