/**
 * One connection of this thread to a broker, shared by every PipeClient with the same pipe and secret.
 *
 * Requests made in one tick are encoded into one batch. When the microtasks have run, one exchange() passes
 * the batch to the native channel. The exchange often returns the replies, too, because the channel spins for
 * a few microseconds. A loop of awaited calls therefore stays within microtasks and never reaches the event
 * loop. After a number of such turns, or a millisecond of them, the next turn goes through the event loop, so
 * that timers and other I/O run. The channel's thread waits for replies that have not arrived yet, and calls
 * onWake. While leases or watches exist, an idle connection keeps the channel armed for events, without
 * keeping the process alive.
 *
 * The channel also provides deadlines, pauses and turns of the event loop: nothing here depends on
 * JavaScript timers, which tests replace.
 *
 * Invariants:
 * - a call is in `#pendingCalls` until it settles; its bytes are in a batch until they are handed over;
 * - when the channel dies, calls that were handed over reject, since the broker may have executed them. Other
 *   calls stay, and are sent when the broker is back within the call's timeout;
 * - no user code runs inside: resolving a promise only queues its continuation;
 * - when a call that waits at the broker is aborted, the client cancels its request, and releases whatever
 *   its reply still grants;
 * - buffers of requests and replies are wiped after use;
 * - native code keeps no connection alive. While a connection waits for or holds something, it is in the set
 *   of its realm (`globalThis`). It is collected with the realm, which closes it.
 */
'use strict';

const { isSet } = require('node:util/types');
const { load, now } = require('../binding.js');
const { PendingCall, codeOf } = require('./pending_call.js');
const { PendingCalls } = require('./pending_calls.js');
const { nowhere } = require('../async_context.js');
const { BrokerError, sentence } = require('../error.js');
const frame = require('./frame.js');
const { sameSecret } = require('../options.js');
const { collectGarbage, isOnlyWaiting } = require('./unreachable.js');
const packed = require('./list_codec.js');
const { KEPT_BYTES, SendQueue, newBuffer, viewOf } = require('./send_queue.js');
const { Backoff, isMissing, isPassing, unreachable } = require('./reconnect.js');
const { endWithRealm } = require('./realm.js');
const { LEASE_TTL, RENEWALS_A_TTL } = require('./lease_ttl.js');
const { Holdings } = require('./holdings.js');
const { callSite } = require('../call_site.js');
const { FlushScheduler } = require('./flush_scheduler.js');

const KIB = 1024;
/** While the channel has more unsent bytes than this, batches wait here. */
const UNSENT_MAX_BYTES = 1024 * KIB;
const INPUT_BYTES = 64 * KIB;
/** A batch of this size is sent before the end of the tick. */
const EARLY_BYTES = 32 * KIB;

/** How long an exchange spins for replies. More than 25 on both sides brings almost no further gain. */
const LOOK_US = 25;
/** Plus this much per outstanding reply, up to LOOK_MAX_US. */
const LOOK_US_A_REPLY = 1 / 8;
const LOOK_MAX_US = 100;
/** After this long without use, a connection is checked before it is written to. */
const STALE_MS = 50;

const TIMER_MAX_MS = 0x7fffffff;
/** Longest single block of the thread: a worker thread can be terminated only between two waits. */
const BLOCK_MAX_MS = 50;
const LATE_MS = 10;
const LATE_GRACE_MS = 50;
/** Before the first connection, a pipe that is missing or refuses is retried for this long. */
const MISSING_MS = 20;
/** How often a waiting connection checks whether only its waits keep the process alive. */
const IDLE_CHECK_MS = 1000;
/** After this many such checks in a row, garbage is collected. The number doubles each time. */
const IDLE_CHECKS = 2;
/** First check whether another copy of this module holds the key; the interval doubles each time. */
const SIBLINGS_MS = 20;
const SIBLINGS_MAX_MS = 10_000;
const SIBLINGS_KEYS = 8;
/** Timeout of the releases of a client that closes. */
const GIVE_BACK_MS = 1000;
/** Delay before arming is retried, when the system has no descriptor or thread left for it. */
const ARM_AGAIN_MS = 10;

/** The reasons that the channel passes to onWake: see csrc/addon/wake_list.h. */
const WAKE = { ready: 1, due: 2, turn: 4, wanted: 8 };

/**
 * A callback that does not keep its object alive. The channel keeps the callback as long as it lives. Test
 * runners load this module once for each test file, and a connection must be collected with its module.
 * @template {object} T
 * @param {T} object
 * @param {(object: T, what: number) => void} callback
 */
function weakly(object, callback) {
  const reference = new WeakRef(object);
  return (/** @type {number} */ what) => {
    const alive = reference.deref();
    if (alive !== undefined) callback(alive, what);
  };
}

/** A Set of connections that a test runner's environment may put on its global object. */
const SCOPE = Symbol.for('ephemeral-pipe-broker.scope');
const BUSY = Symbol.for('ephemeral-pipe-broker.busy');
/** The module cache keeps a cached module's objects alive; for a bundle, perhaps nothing does. */
const isCached = require.cache?.[__filename] === module;

/** @returns {Set<Connection> | null} */
function scope() {
  const set = /** @type {Record<symbol, unknown>} */ (/** @type {unknown} */ (globalThis))[SCOPE];
  return isSet(set) ? /** @type {Set<Connection>} */ (set) : null;
}

/**
 * The connections of this realm that wait for or hold something. The set keeps them alive for a program
 * without a reference to its client, such as a bundle.
 * @returns {Set<Connection>}
 */
function busyConnections() {
  const realm = /** @type {Record<symbol, Set<Connection>>} */ (
    /** @type {unknown} */ (globalThis)
  );
  if (!(realm[BUSY] instanceof Set)) {
    Object.defineProperty(realm, BUSY, { value: new Set(), configurable: true });
  }
  return realm[BUSY];
}

/** The arguments of the last `capture`. @type {(value: any) => void} */
let lastResolve;
/** @type {(error: unknown) => void} */
let lastReject;
/**
 * The shared executor of the fast path's promises: cheaper than a closure per call.
 * @param {(value: any) => void} resolve
 * @param {(error: unknown) => void} reject
 */
function capture(resolve, reject) {
  lastResolve = resolve;
  lastReject = reject;
}

const ENDED =
  'The connection was closed, since its client or the test file that made it has ended.';

/** @typedef {string | Uint8Array | null} Secret */

/** @type {Set<Connection>} */
const connections = new Set();

/** A waiting call warns after these multiples of its waitNoticeMs: 5 s, 30 s, 2 min by default. */
const NOTICES = [1, 6, 24];

/** @param {import('./pending_call').WaitState} patience */
function noticeAt({ noticeMs, notices, since, waitMs }) {
  const isNever = !noticeMs || waitMs === 0 || notices >= NOTICES.length;
  return isNever ? Infinity : since + noticeMs * NOTICES[notices];
}

/** @param {number} ttl */
const renewalIntervalMs = (ttl) => Math.max(1, Math.floor(ttl / RENEWALS_A_TTL));

class Connection {
  #binding = load();
  /** @type {import('../binding').NativeChannel} */
  #channel;
  #secret;
  #connectTimeout;
  #pendingCalls = new PendingCalls();
  /** The send queue contains bytes of aborted calls. */
  #stale = false;
  #references = 0;
  /** How many waiters for events keep the process alive. */
  #holders = 0;
  #listening = false;
  /** @type {(() => void)[]} */
  #onDrained = [];

  #sendQueue = new SendQueue();
  #isUnsent = (/** @type {PendingCall} */ call) => this.#sendQueue.holds(call);
  #input = newBuffer(INPUT_BYTES);
  #inputView = viewOf(this.#input);
  #reply = new frame.Reply();

  #connected = false;
  /** The broker has proved that it knows the secret; without a secret, true at once. */
  #opened = false;
  #armed = false;
  #held = false;
  #errno = '';
  #backoff = new Backoff();
  /** There was a connection before, so a broker's return is worth waiting for. */
  #wasOpen = false;
  /** When connecting began; Infinity while not connecting. */
  #connectingSince = Infinity;

  #turns = new FlushScheduler({
    turn: () => this.#turn(),
    later: () => this.#channel.turn(),
    asked: () => this.#pendingCalls.lastId,
  });
  #now = 0;
  #lastUsed = 0;

  /** When to check for overdue calls; Infinity if there are no calls. */
  #expireAt = Infinity;
  /** When to retry arming the channel; Infinity: no retry. */
  #armAt = Infinity;
  /** When to check whether only waiting calls keep the process alive. */
  #idleAt = Infinity;
  #idleChecks = 0;
  #idleChecksMax = IDLE_CHECKS;
  /** When the next warning of a waiting call is due; Infinity: no call waits. */
  #noticeAt = Infinity;
  /** When to check whether another copy of this module holds a key that a call waits for. */
  #siblingsAt = Infinity;
  #siblingsMs = SIBLINGS_MS;
  /** The alarm that the channel was set to last. */
  #alarmAt = Infinity;
  #alarmKeeps = false;

  /**
   * @param {string} pipe
   * @param {Secret} secret
   * @param {number} connectTimeout 0: none
   */
  constructor(pipe, secret, connectTimeout) {
    this.pipe = pipe;
    this.#connectTimeout = connectTimeout === 0 ? Infinity : connectTimeout;
    this.session = new Holdings({
      hold: (token, isRenewed) => {
        return this.#channel.hold(token, renewalIntervalMs(LEASE_TTL.ms), isRenewed);
      },
      drop: (token) => this.#channel.drop(token),
    });
    this.actions = this.#binding.actions;
    const { commands, flags } = this.#binding;
    const keyed = commands.filter(({ needs }) => (needs & flags.hasKey) !== 0);
    /** The actions that need a key. */
    this.keyed = new Set(keyed.map(({ name: action }) => action));
    this.#secret = secret;
    const bytes = secret === null ? null : Buffer.from(secret);
    const onWake = weakly(this, (own, what) => own.#woken(what));
    this.#channel = nowhere(() => new this.#binding.Channel(pipe, bytes, onWake));
    this.#channel.unref();
    bytes?.fill(0);
  }

  /**
   * @param {string} pipe
   * @param {Secret} secret
   */
  isFor(pipe, secret) {
    return this.pipe === pipe && sameSecret(this.#secret, secret);
  }

  /**
   * @param {PendingCall} call
   * @param {frame.Request} request
   * @throws {BrokerError} invalid_key
   */
  submit(call, request) {
    call.site = callSite(now());
    if (call.patience !== null && this.#isAborted(call)) return;
    this.#enqueue(call, request);
    this.#turnSoon();
  }

  /**
   * The fast path for a call of the common form (see frame.putSimple): it takes half the time of the general
   * path.
   * @param {string} operation
   * @param {number} action
   * @param {string} key
   * @param {number} ttl 0: none
   * @param {string | undefined} text undefined: none
   * @param {boolean} isJson the text is JSON, not a string
   * @param {import('./pending_call').Decode} decode
   * @param {number} timeout
   * @returns {Promise<any> | null} null: the call has another form
   */
  tryFast(operation, action, key, ttl, text, isJson, decode, timeout) {
    if (this.#sendQueue.size >= EARLY_BYTES) this.#sendEarly();
    const id = this.#pendingCalls.newId(this.session);
    const batch = this.#sendQueue.appendPlain(id, action, key, ttl, text, isJson);
    if (batch === 0) return null;
    const promise = new Promise(capture);
    const call = new PendingCall(operation, decode, lastResolve, lastReject);
    call.key = key;
    call.timeout = timeout;
    this.#file(call, id, batch);
    call.site = callSite(this.#now);
    this.#turnSoon();
    return promise;
  }

  /**
   * Sends a part of a large batch before the end of the tick, so that the broker works while more is encoded.
   * Replies are still processed at the end of the tick: no callback runs in the middle of a call.
   */
  #sendEarly() {
    const isInUse = this.#opened && this.#connected && this.#now - this.#lastUsed <= STALE_MS;
    if (!isInUse || this.#stale || this.#sendQueue.crowded || this.#channel.unsent > 0) return;
    const batch = this.#sendQueue.take();
    if (batch === null) return;
    this.#pendingCalls.startWaits(this.#isUnsent);
    this.#channel.exchange(batch.buffer, batch.size, null, 0);
    batch.buffer.fill(0, 0, batch.size);
  }

  /**
   * Sends an internal request that is not a method call of the user.
   * @param {string} operation
   * @param {string | undefined} key
   * @param {number} timeout
   * @param {frame.Request} request
   * @param {import('./pending_call').Decode} decode
   * @param {boolean} [bound] valid on this connection only: never sent on the next one
   * @returns {Promise<any>}
   */
  ask(operation, key, timeout, request, decode, bound = false) {
    return new Promise((resolve, reject) => {
      const call = new PendingCall(operation, decode, resolve, reject);
      call.key = key;
      call.timeout = timeout;
      call.bound = bound;
      this.submit(call, request);
    });
  }

  #turnSoon() {
    if (!this.#turns.due && !this.#backoff.pausing) this.#turns.schedule(this.#now);
  }

  /** @param {PendingCall} call */
  #isAborted(call) {
    const aborted = call.listenToSignal((reason) => this.abort(call, reason));
    if (aborted) call.abort(call.patience?.signal?.reason);
    return aborted;
  }

  /**
   * The waiting calls of an owner.
   * @param {(owner: object) => boolean} isIts
   * @returns {PendingCall[]}
   */
  waitsOf(isIts) {
    return [...this.#pendingCalls].filter(({ patience }) => {
      const owner = patience === null ? null : patience.owner;
      return owner !== null && isIts(owner);
    });
  }

  /**
   * Aborts a call.
   * @param {PendingCall} call
   * @param {unknown} reason the call rejects with this
   */
  abort(call, reason) {
    if (call.settled) return;
    this.#pendingCalls.take(call.id);
    call.abort(reason);
    if (this.#sendQueue.holds(call)) this.#stale = true;
    else this.#abandon(call);
    if (this.#pendingCalls.expected > 0) return;
    this.#dropStale();
    this.#rest();
  }

  /**
   * @param {PendingCall} call that was handed over
   */
  #abandon(call) {
    this.#pendingCalls.abandon(call);
    this.#cancel(call.id, call.timeout);
  }

  /**
   * Asks the broker to cancel a waiting request or a watch.
   * @param {number} id
   * @param {number} timeout
   */
  #cancel(id, timeout) {
    const request = new frame.Request();
    request.action = this.actions.cancel;
    request.count = id;
    request.flags = frame.FLAGS.count;
    this.#tell('cancel', timeout, request);
  }

  /**
   * Sends a request whose result is ignored. It is bound to this connection, since it means nothing on
   * another.
   * @param {string} operation
   * @param {number} timeout
   * @param {frame.Request} request
   */
  #tell(operation, timeout, request) {
    const nothing = () => {};
    const call = new PendingCall(operation, nothing, nothing, nothing);
    call.timeout = timeout;
    call.bound = true;
    this.submit(call, request);
  }

  /**
   * @param {number} id of the request
   * @param {number} timeout
   */
  endWatch(id, timeout) {
    if (!this.session.hasWatch(id)) return;
    this.session.removeWatch(id);
    this.#cancel(id, timeout);
  }

  /**
   * Releases a lease whose caller has given up.
   * @param {number} token
   * @param {number} timeout
   */
  giveBack(token, timeout) {
    this.#tell('release', timeout, this.#releaseRequest(token));
  }

  /** @param {number} token */
  #releaseRequest(token) {
    const request = new frame.Request();
    request.action = this.actions.release;
    request.fence = token;
    request.flags = frame.FLAGS.fence;
    return request;
  }

  /**
   * Renews a lease from native code, until `stopRenewal` or the end of the connection.
   * @param {number} token
   * @param {number} ttl
   * @returns {number} the id for stopRenewal and msSinceRenewal
   */
  renewByToken(token, ttl) {
    const request = new frame.Request();
    request.action = this.actions.renew;
    request.fence = token;
    request.flags = frame.FLAGS.fence;
    return this.#channel.startRenewal(frame.silentFrame(request), renewalIntervalMs(ttl));
  }

  /** @param {number} kept */
  stopRenewal(kept) {
    this.#channel.stopRenewal(kept);
  }

  /**
   * @param {number} kept
   * @returns {number | null} ms since it was last sent; null: the renewal has ended
   */
  msSinceRenewal(kept) {
    return this.#channel.msSinceRenewal(kept);
  }

  /** Starts listening for events of a lease that was added other than by the reply of a call. */
  attend() {
    if (this.#pendingCalls.expected === 0) this.#rest();
  }

  /** Keeps the process alive, while connected, until `unhold`. */
  hold() {
    this.#holders++;
    this.#keepProcess(true);
    this.#listenSoon();
  }

  unhold() {
    this.#holders--;
    if (this.#holders === 0 && this.#pendingCalls.size === 0) this.#keepProcess(false);
  }

  /** @param {boolean} alive */
  #keepProcess(alive) {
    if (this.#held === alive) return;
    this.#held = alive;
    if (alive) this.#channel.ref();
    else this.#channel.unref();
  }

  /**
   * Sends and waits, blocking the thread. Replies to other calls that arrive meanwhile settle those calls.
   * @param {PendingCall} call
   * @param {frame.Request} request
   */
  submitAndWait(call, request) {
    this.#enqueue(call, request);
    if (this.#stale) this.#dropStale();
    while (!call.settled) {
      this.#now = now();
      if (call.deadline <= this.#now) this.#expire();
      else if (this.#giveUpAt() <= this.#now) this.#giveUp();
      else if (this.#connect() && !this.#exchangeAll() && !call.settled) this.#wait(call);
      if (!this.#connected && !call.settled) this.#sleep(call);
    }
    if (this.#pendingCalls.expected > 0) this.#turns.schedule(this.#now);
    else this.#rest();
  }

  /**
   * @param {PendingCall} call
   * @param {frame.Request} request
   */
  #enqueue(call, request) {
    const id = this.#pendingCalls.newId(this.session);
    this.#file(call, id, this.#sendQueue.append(id, request));
  }

  /**
   * @param {PendingCall} call
   * @param {number} id
   * @param {number} batch
   */
  #file(call, id, batch) {
    if (!this.#turns.due) this.#now = now();
    call.id = id;
    call.batch = batch;
    // A whole number, so that V8 stores it without a heap allocation per call.
    call.deadline = Math.ceil(this.#now) + call.timeout;
    this.#pendingCalls.add(call);
    if (call.deadline < this.#expireAt) this.#expireBy(call.deadline);
    if (call.patience !== null && call.patience.waitMs > 0) this.#noticeOf(call.patience);
  }

  /**
   * Schedules the warning of a call that is about to wait.
   * @param {import('./pending_call').WaitState} patience
   */
  #noticeOf(patience) {
    patience.since = this.#now;
    this.#noticeBy(noticeAt(patience));
  }

  /** @param {number} at */
  #noticeBy(at) {
    if (at >= this.#noticeAt) return;
    this.#noticeAt = at;
    this.#setAlarm();
  }

  #noticeDue() {
    const due = [];
    this.#noticeAt = Infinity;
    for (const call of this.#pendingCalls) {
      const { patience } = call;
      if (patience === null || noticeAt(patience) === Infinity) continue;
      if (noticeAt(patience) <= this.#now) {
        patience.notices++;
        if (patience.started) due.push({ call, waitedMs: this.#now - patience.since });
      }
      this.#noticeBy(noticeAt(patience));
    }
    if (due.length > 0) void require('./wait_notice.js').notice(this, due, due[0].call.timeout);
  }

  /** The number of this thread's session at the broker; null if unknown. */
  get sessionNumber() {
    return this.#channel.session || null;
  }

  #turn() {
    if (this.#stale) this.#dropStale();
    if (this.#pendingCalls.expected === 0) return this.#rest();
    if (!this.#connect()) return;
    const progress = this.#exchangeAll();
    if (this.#pendingCalls.expected === 0) this.#rest();
    else if (this.#backoff.pausing) return;
    else if (progress) this.#turns.schedule(this.#now);
    else this.#arm();
  }

  /** @param {number} what WAKE */
  #woken(what) {
    this.#now = now();
    if ((what & WAKE.due) !== 0) this.#due();
    if ((what & WAKE.turn) !== 0) this.#late();
    if ((what & WAKE.ready) !== 0) this.#ready();
    if ((what & WAKE.wanted) !== 0) this.#beCollectable();
  }

  /** Lets an unused connection be collected although deadlines of settled calls remain: busyConnections. */
  #beCollectable() {
    if (this.#pendingCalls.size > 0 || (!isCached && this.session.listening)) return;
    this.#expireAt = Infinity;
    busyConnections().delete(this);
  }

  /** Runs from the event loop, after `channel.turn()`. */
  #late() {
    if (this.#listening) this.#listen();
    if (this.#turns.due) this.#turns.late();
  }

  /** The alarm: handles everything that is due. It may come too early, when nothing is due. */
  #due() {
    this.#alarmAt = Infinity;
    this.#alarmKeeps = false;
    if (this.#expireAt <= this.#now) this.#expireDue();
    if (this.#giveUpAt() <= this.#now) this.#giveUp();
    if (this.#backoff.until <= this.#now) {
      this.#backoff.end();
      this.#turns.schedule(this.#now);
    }
    if (this.#armAt <= this.#now) {
      this.#armAt = Infinity;
      this.#ready();
    }
    if (this.#idleAt <= this.#now) this.#checkIdle();
    if (this.#siblingsAt <= this.#now) this.#checkSiblings();
    if (this.#noticeAt <= this.#now) this.#noticeDue();
    this.#setAlarm();
  }

  #watchSiblings() {
    if (this.#siblingsAt !== Infinity || this.#channel.siblings === 0) return;
    this.#siblingsAt = this.#now + this.#siblingsMs;
    this.#setAlarm();
  }

  #checkSiblings() {
    this.#siblingsAt = Infinity;
    const waiting = [...this.#pendingCalls].filter((call) => call.patience?.started && call.key);
    if (waiting.length === 0) {
      this.#siblingsMs = SIBLINGS_MS;
      return;
    }
    this.#siblingsMs = Math.min(SIBLINGS_MAX_MS, 2 * this.#siblingsMs);
    const keys = [...new Set(waiting.map(({ key }) => String(key)))].slice(0, SIBLINGS_KEYS);
    for (const key of keys) this.freeFromSiblings(key, waiting[0].timeout).catch(() => {});
  }

  /**
   * Test runners load this module again for each test file, so another copy of it in this thread may hold
   * the key although no code can use that copy any more. Collecting garbage then closes the copy's
   * connection, which releases its leases.
   * @param {string} key
   * @param {number} timeout
   * @param {() => void} [onCollected] called after the collection, if another copy holds the key
   * @returns {Promise<boolean>} whether another copy holds the key, so that it may be free soon
   */
  async freeFromSiblings(key, timeout, onCollected) {
    if (this.#channel.siblings === 0) return false;
    const request = new frame.Request();
    request.action = this.actions.leases;
    request.key = key;
    const isSiblings = await this.ask('leases', key, timeout, request, (buffer, reply) => {
      const lines = packed.getLeases(buffer, reply.bodyAt, reply.bodyEnd, 0) ?? [];
      return lines.some(
        (line) =>
          line.key === key &&
          line.state === 'held' &&
          line.session === this.#channel.session &&
          !this.session.holds(Number(line.token)) &&
          !this.#channel.holds(Number(line.token)),
      );
    });
    if (!isSiblings) return false;
    this.#channel.wakeSiblings();
    collectGarbage(onCollected);
    return true;
  }

  /** How many other copies of this module are connected in this thread. */
  get siblings() {
    return this.#channel.siblings;
  }

  /** See unreachable.js. */
  #watchIdle() {
    if (this.#idleAt !== Infinity) return;
    this.#idleAt = this.#now + IDLE_CHECK_MS;
    this.#idleChecks = 0;
    this.#idleChecksMax = IDLE_CHECKS;
    this.#setAlarm();
  }

  #checkIdle() {
    this.#idleAt = this.#held ? this.#now + IDLE_CHECK_MS : Infinity;
    this.#idleChecks = this.#held && isOnlyWaiting() ? this.#idleChecks + 1 : 0;
    if (this.#idleChecks < this.#idleChecksMax) return;
    this.#idleChecks = 0;
    this.#idleChecksMax *= 2;
    collectGarbage();
  }

  /** Sets the channel's only alarm to the earliest due time. An alarm that is too early does no harm. */
  #setAlarm() {
    const at = Math.min(
      this.#expireAt,
      this.#armAt,
      this.#idleAt,
      this.#noticeAt,
      this.#siblingsAt,
      this.#giveUpAt(),
      this.#backoff.until,
    );
    // In all other cases, channel.ref() keeps the process alive.
    const keeps = this.#backoff.pausing || (this.#armAt !== Infinity && this.#held);
    if (at >= this.#alarmAt && (this.#alarmKeeps || !keeps)) return;
    const delay = Math.min(TIMER_MAX_MS, Math.max(1, Math.ceil(at - this.#now)));
    this.#alarmAt = at;
    this.#alarmKeeps = keeps;
    try {
      this.#channel.alarm(delay, keeps);
    } catch {
      // The system has no thread left. Node's timer works, unless a test has replaced it.
      const timer = require('node:timers').setTimeout(() => this.#woken(WAKE.due), delay);
      if (!keeps) timer.unref();
    }
  }

  #giveUpAt() {
    return this.#connectingSince + this.#connectTimeout;
  }

  /** The channel's thread has seen the connection become ready. */
  #ready() {
    this.#armed = false;
    this.#turns.reset();
    if (this.#turns.due || !this.#connected) return;
    this.#receive(this.#channel.exchange(null, 0, this.#input, 0));
    if (this.#pendingCalls.expected === 0) this.#rest();
    else if (!this.#backoff.pausing) this.#turns.schedule(this.#now);
  }

  /** With unsent bytes, false: a channel armed before there were any waits only for reading. */
  #isArmed() {
    return this.#armed && this.#channel.unsent === 0;
  }

  #arm() {
    if (this.#pendingCalls.size > 0) this.#keepProcess(true);
    if (this.#isArmed()) return;
    try {
      this.#channel.arm();
      this.#armed = true;
    } catch {
      this.#armLater();
    }
  }

  /** The system has no descriptor or thread for waiting: until it has, the socket is polled. */
  #armLater() {
    if (this.#armAt !== Infinity) return;
    this.#armAt = this.#now + ARM_AGAIN_MS;
    this.#setAlarm();
  }

  /**
   * No reply is expected soon. Lets the process exit, unless a call waits at the broker or for an event.
   */
  #rest() {
    const waiting = this.#pendingCalls.size > 0;
    this.#keepProcess(waiting || this.#holders > 0);
    this.#backoff.end();
    if (waiting) this.#watchIdle();
    if (waiting) this.#watchSiblings();
    if (waiting || this.session.listening) this.#listenSoon();
    if (waiting || this.#onDrained.length === 0) return;
    for (const drained of this.#onDrained.splice(0)) drained();
  }

  /**
   * Arms the channel for events, in the next iteration of the event loop. In a loop of awaited calls, events
   * arrive with the replies, and an armed channel would only cause a wake-up for each reply.
   */
  #listenSoon() {
    if (this.#listening || !this.#connected || this.#isArmed()) return;
    this.#listening = true;
    this.#channel.turn();
  }

  #listen() {
    this.#listening = false;
    if (!this.#connected || this.#isArmed()) return;
    if (this.#pendingCalls.size === 0 && !this.session.listening) return;
    // Bytes that were already read from the socket would cause no wake-up.
    const received = this.#receive(this.#channel.exchange(null, 0, this.#input, 0));
    if (!received) this.#arm();
    else if (this.#pendingCalls.expected === 0) this.#rest();
    else this.#listenSoon();
  }

  /**
   * Hands over all batches and reads the replies.
   * @returns {boolean} whether anything was received, or more can be done at once
   */
  #exchangeAll() {
    if (this.#now - this.#lastUsed > STALE_MS && !this.#alive()) return true;
    this.#lastUsed = this.#now;
    if (!this.#opened && !this.#shakeHands()) return !this.#connected;
    let progress = false;
    while (this.#sendQueue.crowded && this.#channel.unsent < UNSENT_MAX_BYTES) {
      if (this.#handOver(this.#sendQueue.take(), 0)) progress = true;
      if (!this.#connected) return true;
    }
    const last = this.#sendQueue.crowded ? null : this.#sendQueue.take();
    return this.#handOver(last, this.#lookUs()) || progress;
  }

  #lookUs() {
    const { expected } = this.#pendingCalls;
    return Math.min(LOOK_MAX_US, LOOK_US + Math.floor(expected * LOOK_US_A_REPLY));
  }

  /**
   * Holds requests back until the broker has proved that it knows the secret. If the connection ends before
   * (a broker under a rush of connections closes some), no call fails.
   * @returns {boolean} whether requests may be sent
   */
  #shakeHands() {
    this.#receive(this.#channel.exchange(null, 0, this.#input, LOOK_US));
    if (!this.#connected || !this.#channel.open) return false;
    this.#hasOpened();
    return true;
  }

  /**
   * @param {ReturnType<SendQueue['take']>} batch
   * @param {number} lookUs
   * @returns {boolean} whether anything was received
   */
  #handOver(batch, lookUs) {
    if (batch === null) return this.#receive(this.#channel.exchange(null, 0, this.#input, lookUs));
    this.#pendingCalls.startWaits(this.#isUnsent);
    const { buffer, size } = batch;
    const received = this.#channel.exchange(buffer, size, this.#input, lookUs);
    buffer.fill(0, 0, size);
    return this.#receive(received);
  }

  /**
   * Checks after a pause whether the broker is still connected, so that a connection it closed in the
   * meantime fails no call.
   */
  #alive() {
    const received = this.#channel.exchange(null, 0, this.#input, 0);
    if (received >= 0) {
      this.#receive(received);
      return this.#connected;
    }
    if (!this.#opened || this.#anyHanded()) this.#died(-received);
    else this.#lost(this.#error('broker_gone'));
    return false;
  }

  #anyHanded() {
    for (const call of this.#pendingCalls) if (!this.#sendQueue.holds(call)) return true;
    return false;
  }

  /**
   * @param {number} result of exchange()
   * @returns {boolean} whether anything was received
   */
  #receive(result) {
    let received = result;
    if (received === 0 && this.#channel.needed > this.#input.length) {
      this.#setInput(this.#channel.needed);
      received = this.#channel.exchange(null, 0, this.#input, 0);
    }
    if (received < 0) {
      this.#died(-received);
      return true;
    }
    if (received > 0) this.#dispatch(received);
    return received > 0;
  }

  /** @param {number} size */
  #setInput(size) {
    this.#input = newBuffer(size);
    this.#inputView = viewOf(this.#input);
  }

  /**
   * @param {number} size
   */
  #dispatch(size) {
    const reply = this.#reply;
    for (let at = 0; at < size; at = reply.end) {
      if (!frame.getReply(this.#input, at, size, reply) || reply.version !== frame.VERSION) {
        this.#misunderstood();
        break;
      }
      reply.plain = frame.isPlainString(this.#inputView, reply.bodyAt, reply.bodyEnd);
      const call = this.#pendingCalls.take(reply.id);
      if (call !== undefined) call.settle(this.#input, reply);
      else if (reply.id !== 0) this.#undo(reply);
      else if (reply.status !== 0) this.session.lost(reply.fence);
      else if (!this.session.watched(this.#input, reply)) {
        this.#misunderstood();
        break;
      }
    }
    if (this.#input.length > KEPT_BYTES) this.#setInput(INPUT_BYTES);
    else this.#input.fill(0, 0, size);
  }

  /** The broker sent a malformed frame: the rest of the stream cannot be decoded. */
  #misunderstood() {
    this.#channel.close();
    this.#refused(this.#error('version_mismatch'));
  }

  /** @param {frame.Reply} reply to a call that was aborted */
  #undo(reply) {
    const call = this.#pendingCalls.takeAbandoned(reply.id);
    if (call !== undefined && reply.status === 0) call.undo(reply);
  }

  /**
   * @param {string} code
   * @param {string} [message]
   */
  #error(code, message) {
    return new BrokerError(code, message ?? sentence(code));
  }

  /**
   * @param {PendingCall} call
   * @param {BrokerError} error
   */
  #reject(call, error) {
    this.#pendingCalls.take(call.id);
    call.fail(error);
  }

  /**
   * The channel has died with this status.
   * @param {number} status
   */
  #died(status) {
    const code = codeOf(status);
    if (code !== 'broker_gone') return this.#refused(this.#error(code));
    if (!this.#opened) {
      this.#errno = 'ECONNRESET';
      this.#startBackoff();
    }
    const message =
      `The broker at ${this.pipe} went away before it answered; ` +
      `the request may or may not have been carried out.`;
    return this.#lost(this.#error(code, message));
  }

  /**
   * The connection is lost. The result of calls that were handed over is unknown, so they reject. The others
   * are sent again.
   * @param {BrokerError} error
   */
  #lost(error) {
    this.#connected = false;
    this.#armed = false;
    this.#pendingCalls.forgetAbandoned();
    this.session.end();
    for (const call of this.#pendingCalls) {
      const isUnsent = this.#sendQueue.holds(call);
      if (isUnsent && !call.bound) continue;
      if (isUnsent) this.#stale = true;
      this.#reject(call, error);
    }
  }

  /**
   * The broker will not serve this client: all calls reject at once.
   * @param {BrokerError} error
   */
  #refused(error) {
    this.#lost(error);
    this.#connectingSince = Infinity;
    for (const call of this.#pendingCalls) this.#reject(call, error);
    this.#dropStale();
  }

  /** @returns {boolean} whether it is connected; if not, a retry is scheduled or all calls were rejected */
  #connect() {
    if (this.#connected) return true;
    if (this.#connectingSince === Infinity) {
      this.#connectingSince = this.#now;
      this.#setAlarm();
    }
    const status = this.#channel.connect();
    if (status === 0) {
      this.#backoff.end();
      this.#connected = true;
      scope()?.add(this);
      this.#errno = '';
      this.#opened = false;
      if (this.#channel.open) this.#hasOpened();
      this.#lastUsed = this.#now;
      return true;
    }
    const { errno } = this.#channel;
    this.#errno = errno ?? '';
    if (isPassing(this.#errno) && !this.#isGivenUp()) {
      this.#startBackoff();
    } else {
      this.#refused(errno === null ? this.#error(codeOf(status)) : this.#unreachable());
      this.#rest();
    }
    return false;
  }

  #hasOpened() {
    this.#opened = true;
    this.#wasOpen = true;
    this.#connectingSince = Infinity;
    this.#backoff.reset();
  }

  /** Whether failed attempts to connect have taken too long to go on. */
  #isGivenUp() {
    const isMissed = !this.#wasOpen && isMissing(this.#errno);
    const missing = isMissed ? MISSING_MS : Infinity;
    return this.#now - this.#connectingSince >= Math.min(missing, this.#connectTimeout);
  }

  /** Connecting has exceeded connectTimeout. */
  #giveUp() {
    const message = `No broker at ${this.pipe}: it has not let us in within ${this.#connectTimeout} ms.`;
    this.#backoff.end();
    this.#channel.close();
    this.#refused(this.#errno === '' ? this.#error('broker_gone', message) : this.#unreachable());
    this.#rest();
  }

  #unreachable() {
    return unreachable(this.pipe, this.#errno);
  }

  #startBackoff() {
    this.#backoff.start(this.#now);
    this.#setAlarm();
  }

  /**
   * @param {PendingCall} call
   */
  #sleep(call) {
    if (call.settled) return;
    const delay = Math.min(this.#backoff.delayMs(), call.deadline - this.#now);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, delay));
  }

  /**
   * @param {PendingCall} call
   */
  #wait(call) {
    const ms = Math.max(1, Math.ceil(call.deadline - this.#now));
    this.#channel.wait(Math.min(ms, BLOCK_MAX_MS));
  }

  /** @param {number} deadline */
  #expireBy(deadline) {
    if (this.#expireAt === Infinity) busyConnections().add(this);
    this.#expireAt = Math.min(deadline, this.#now + TIMER_MAX_MS);
    this.#setAlarm();
  }

  #expireDue() {
    const lateMs = this.#now - this.#expireAt;
    this.#expireAt = Infinity;
    // The thread was busy: first read the replies that arrived meanwhile.
    if (lateMs > LATE_MS) this.#expireBy(this.#now + LATE_GRACE_MS);
    else this.#expire();
  }

  /** Rejects overdue calls, and sets the alarm for the next deadline. */
  #expire() {
    let next = Infinity;
    let dropped = false;
    for (const call of this.#pendingCalls) {
      if (call.deadline > this.#now) {
        next = Math.min(next, call.deadline);
        continue;
      }
      const unsent = this.#sendQueue.holds(call);
      dropped ||= unsent;
      this.#reject(call, this.#overdue(call));
      if (!unsent && call.patience !== null) this.#abandon(call);
    }
    if (dropped) this.#dropStale();
    // Stay in busyConnections while calls wait without a deadline, or leases or watches exist.
    const busy = this.#pendingCalls.size > 0 || (!isCached && this.session.listening);
    if (next < this.#expireAt || (busy && this.#expireAt === Infinity)) this.#expireBy(next);
    if (this.#expireAt === Infinity) busyConnections().delete(this);
    if (this.#pendingCalls.expected === 0) this.#rest();
  }

  /**
   * @param {PendingCall} call
   */
  #overdue(call) {
    if (!this.#connected && this.#errno !== '') return this.#unreachable();
    const ms = call.timeout + (call.patience?.waitMs ?? 0);
    return this.#error('timeout', `No answer came within ${ms} ms.`);
  }

  #dropStale() {
    this.#stale = false;
    this.#sendQueue.retain((id) => this.#pendingCalls.has(id));
  }

  retain() {
    this.#references++;
    return this;
  }

  /**
   * Drops one reference. The last one waits for outstanding replies, releases all leases, then closes.
   * @returns {Promise<void>}
   */
  async release() {
    this.#references--;
    if (this.#references > 0) return;
    connections.delete(this);
    if (this.#pendingCalls.size > 0) {
      await new Promise((resolve) => {
        this.#onDrained.push(() => resolve(undefined));
      });
    }
    await this.#giveGrantsBack();
    this.end();
  }

  /** Releases the leases that the thread holds, since they would outlive this connection. */
  async #giveGrantsBack() {
    const tokens = this.session.takeGrants();
    if (!this.#connected) return;
    const released = tokens.map((token) => {
      const request = this.#releaseRequest(token);
      return this.ask('release', undefined, GIVE_BACK_MS, request, () => undefined);
    });
    await Promise.allSettled(released);
  }

  /**
   * Closes the connection, which releases its leases, except those that the thread holds: they stay the
   * worker's until the thread ends. A later request connects again.
   */
  end() {
    this.session.leave();
    this.#expireAt = this.#armAt = this.#idleAt = this.#siblingsAt = Infinity;
    this.#noticeAt = Infinity;
    this.#backoff.end();
    this.#alarmAt = Infinity;
    this.#alarmKeeps = false;
    this.#channel.alarm(0, false);
    this.#channel.close();
    this.#refused(this.#error('broker_gone', ENDED));
    busyConnections().delete(this);
    scope()?.delete(this);
  }
}

endWithRealm(connections);

/**
 * The shared connection for a pipe and secret. The caller must `release()` it.
 * @param {string} pipe
 * @param {Secret} secret
 * @param {number} connectTimeout of the first client
 * @returns {Connection}
 */
function connect(pipe, secret, connectTimeout) {
  for (const connection of connections) {
    if (connection.isFor(pipe, secret)) return connection.retain();
  }
  const connection = new Connection(pipe, secret, connectTimeout);
  connections.add(connection);
  return connection.retain();
}

module.exports = { Connection, connect };
