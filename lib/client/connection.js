/**
 * One connection of this thread to a broker, shared by every PipeClient with the same pipe and secret.
 *
 * Requests made in one tick are encoded into one batch (send_queue.js). When the microtasks have run
 * (flush_scheduler.js), one exchange passes the batch to the native channel (exchanger.js). The exchange
 * often returns the replies, too, because the channel spins for a few microseconds. A loop of awaited calls
 * therefore stays within microtasks and never reaches the event loop. After a number of such turns, or a
 * millisecond of them, the next turn goes through the event loop, so that timers and other I/O run. The
 * channel's thread waits for replies that have not arrived yet, and calls onWake. While leases or watches
 * exist, an idle connection keeps the channel armed for events, without keeping the process alive
 * (listener.js).
 *
 * connector.js connects, timers.js has the due times: deadlines.js, notice_timer.js, siblings.js and others.
 *
 * Invariants:
 * - a call is in `#pendingCalls` until it settles; its bytes are in a batch until they are handed over;
 * - when the channel dies, calls that were handed over reject, since the broker may have executed them. Other
 *   calls stay, and are sent when the broker is back within the call's timeout;
 * - no user code runs inside: resolving a promise only queues its continuation;
 * - when a call that waits at the broker is aborted, the client cancels its request, and releases whatever
 *   its reply still grants;
 * - native code keeps no connection alive. While a connection waits for or holds something, it is in the set
 *   of its realm (`globalThis`). It is collected with the realm, which closes it.
 */
'use strict';

const { load, now } = require('../binding.js');
const { callSite } = require('../call_site.js');
const { nowhere } = require('../async_context.js');
const { sleepSync } = require('../sleep.js');
const { Connector, errorOf } = require('./connector.js');
const { Deadlines } = require('./deadlines.js');
const { Exchanger } = require('./exchanger.js');
const { FlushScheduler } = require('./flush_scheduler.js');
const { Holdings } = require('./holdings.js');
const { Listener } = require('./listener.js');
const { NoticeTimer } = require('./notice_timer.js');
const { PendingCall, codeOf } = require('./pending_call.js');
const { PendingCalls } = require('./pending_calls.js');
const { Renewals } = require('./renewals.js');
const { SendQueue } = require('./send_queue.js');
const { Siblings } = require('./siblings.js');
const { Timers } = require('./timers.js');
const { IdleCheck } = require('./unreachable.js');
const { Withdrawals } = require('./withdrawals.js');
const { scope, setBusy, weakly } = require('./realm.js');

const KIB = 1024;
/** A batch of this size is sent before the end of the tick. */
const EARLY_BYTES = 32 * KIB;
/** Longest single block of the thread: a worker thread can be terminated only between two waits. */
const BLOCK_MAX_MS = 50;

/** The reasons that the channel passes to onWake: see csrc/addon/wake_list.h. */
const WAKE = { ready: 1, due: 2, turn: 4, wanted: 8 };

/** The module cache keeps a cached module's objects alive; for a bundle, perhaps nothing does. */
const isCached = require.cache?.[__filename] === module;

/** The arguments of the last `executor`. @type {(value: any) => void} */
let lastResolve;
/** @type {(error: unknown) => void} */
let lastReject;
/**
 * The shared executor of the fast path's promises: cheaper than a closure per call.
 * @param {(value: any) => void} resolve
 * @param {(error: unknown) => void} reject
 */
function executor(resolve, reject) {
  lastResolve = resolve;
  lastReject = reject;
}

const ENDED =
  'The connection was closed, since its client or the test file that made it has ended.';

/**
 * @typedef {string | Uint8Array | null} Secret
 * @typedef {import('./connector').Host & import('./exchanger').Host & import('./deadlines').Host &
 *   import('./listener').Host} Hosts
 */

class Connection {
  /** @type {import('../binding').NativeChannel} */
  #channel;
  #pendingCalls = new PendingCalls();
  #sendQueue = new SendQueue();
  /** @type {(() => void)[]} */
  #onDrained = [];
  #turns = new FlushScheduler({
    turn: () => this.#turn(),
    later: () => this.#channel.turn(),
    asked: () => this.#pendingCalls.lastId,
  });
  #now = 0;
  #timers;
  #deadlines;
  #connector;
  #exchanger;
  #idleCheck;
  #notices;

  /**
   * @param {string} pipe
   * @param {Secret} secret
   * @param {number} connectTimeout 0: none
   */
  constructor(pipe, secret, connectTimeout) {
    this.pipe = pipe;
    const { Channel, actions, commands, flags } = load();
    this.actions = actions;
    const keyed = commands.filter(({ needs }) => (needs & flags.hasKey) !== 0);
    /** The actions that need a key. */
    this.keyed = new Set(keyed.map(({ name: action }) => action));
    const bytes = secret === null ? null : Buffer.from(secret);
    const onWake = weakly(/** @type {Connection} */ (this), (own, what) => own.#woken(what));
    const channel = nowhere(() => new Channel(pipe, bytes, onWake));
    channel.unref();
    bytes?.fill(0);
    this.#channel = channel;
    this.withdrawals = new Withdrawals(this, this.#pendingCalls);
    this.renewals = new Renewals(channel, actions.renew);
    this.session = new Holdings(this.renewals);
    const timers = new Timers(channel, () => this.#woken(WAKE.due));
    const [host, calls, session] = [this.#host(), this.#pendingCalls, this.session];
    const timeout = connectTimeout === 0 ? Infinity : connectTimeout;
    const connector = new Connector({ pipe, channel, timeout, timers }, host);
    const sendQueue = this.#sendQueue;
    const exchanger = new Exchanger({ channel, connector, calls, session, sendQueue }, host);
    const waits = { channel, calls, session, connector, exchanger, timers };
    this.#timers = timers;
    this.#connector = connector;
    this.#exchanger = exchanger;
    this.#deadlines = new Deadlines(calls, timers, host);
    this.listener = new Listener(waits, host);
    this.#idleCheck = new IdleCheck(timers, () => this.listener.held);
    /** Other copies of this module in this thread. */
    this.siblings = new Siblings(this, { channel, calls, timers });
    this.#notices = new NoticeTimer(calls, timers, (due) => {
      void require('./wait_notice.js').notice(this, due, due[0].call.timeout);
    });
    timers.use([
      this.#deadlines,
      connector,
      this.listener,
      this.#idleCheck,
      this.siblings,
      this.#notices,
    ]);
  }

  /**
   * What the parts of a connection call: Host in connector.js, exchanger.js, deadlines.js and listener.js.
   * @returns {Hosts}
   */
  #host() {
    return {
      onConnected: () => this.#hasConnected(),
      onRefused: (error) => {
        this.#refused(error);
        this.#rest();
      },
      onPauseOver: () => this.#turns.schedule(this.#now),
      onDied: (status) => this.#died(status),
      onLostUnused: () => this.#lost(errorOf('broker_gone')),
      onMisunderstood: () => this.#misunderstood(),
      expire: (call) => this.#expire(call),
      onExpired: () => {
        if (this.#sendQueue.stale) this.#dropStale();
        this.#restIfIdle();
      },
      isBusy: () => !isCached && this.session.listening,
      setBusy: (isBusy) => setBusy(this, isBusy),
      onReceived: () => this.#restIfIdle() || this.listener.listenSoon(),
      onRetry: () => this.#ready(),
    };
  }

  /**
   * @param {PendingCall} call
   * @param {import('./frame').Request} request
   * @throws {import('../error').BrokerError} invalid_key
   */
  submit(call, request) {
    call.site = callSite(now());
    if (call.wait !== null && this.#isAborted(call)) return;
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
    if (this.#sendQueue.size >= EARLY_BYTES) this.#exchanger.sendEarly(this.#now);
    const id = this.#pendingCalls.newId(this.session);
    const batch = this.#sendQueue.appendSimple(id, action, key, ttl, text, isJson);
    if (batch === 0) return null;
    const promise = new Promise(executor);
    const call = new PendingCall(operation, decode, lastResolve, lastReject);
    call.key = key;
    call.timeout = timeout;
    this.#file(call, id, batch);
    call.site = callSite(this.#now);
    this.#turnSoon();
    return promise;
  }

  /**
   * Sends an internal request that is not a method call of the user.
   * @param {string} operation
   * @param {string | undefined} key
   * @param {number} timeout
   * @param {import('./frame').Request} request
   * @param {import('./pending_call').Decode} decode
   * @param {boolean} [bound] valid on this connection only: never sent on the next one
   * @returns {Promise<any>}
   */
  send(operation, key, timeout, request, decode, bound = false) {
    return new Promise((resolve, reject) => {
      const call = new PendingCall(operation, decode, resolve, reject);
      call.key = key;
      call.timeout = timeout;
      call.bound = bound;
      this.submit(call, request);
    });
  }

  #turnSoon() {
    if (!this.#turns.due && !this.#connector.pausing) this.#turns.schedule(this.#now);
  }

  /** @param {PendingCall} call */
  #isAborted(call) {
    const aborted = call.listenToSignal((reason) => this.abort(call, reason));
    if (aborted) call.abort(call.wait?.signal?.reason);
    return aborted;
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
    if (this.#sendQueue.holds(call)) this.#sendQueue.stale = true;
    else this.withdrawals.abandon(call);
    this.#restIfIdle();
  }

  /** Starts listening for events of a lease that was added other than by the reply of a call. */
  attend() {
    this.#restIfIdle();
  }

  /**
   * Sends and waits, blocking the thread. Replies to other calls that arrive meanwhile settle those calls.
   * @param {PendingCall} call
   * @param {import('./frame').Request} request
   */
  submitAndWait(call, request) {
    this.#enqueue(call, request);
    if (this.#sendQueue.stale) this.#dropStale();
    while (!call.settled) {
      this.#now = now();
      if (call.deadline <= this.#now) this.#deadlines.expire(this.#now);
      else if (!this.#connector.giveUpIfDue(this.#now)) this.#exchangeOrWait(call);
      if (this.#connector.connected || call.settled) continue;
      sleepSync(Math.min(this.#connector.sleepMs(), call.deadline - this.#now));
    }
    if (this.#pendingCalls.expected > 0) this.#turns.schedule(this.#now);
    else this.#rest();
  }

  /** @param {PendingCall} call */
  #exchangeOrWait(call) {
    if (!this.#connector.connect(this.#now)) return;
    if (this.#exchanger.exchangeAll(this.#now) || call.settled) return;
    const ms = Math.max(1, Math.ceil(call.deadline - this.#now));
    this.#channel.wait(Math.min(ms, BLOCK_MAX_MS));
  }

  /**
   * @param {PendingCall} call
   * @param {import('./frame').Request} request
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
    this.#deadlines.add(call.deadline, this.#now);
    const { wait } = call;
    if (wait !== null && wait.waitMs > 0) this.#notices.add(wait, this.#now);
  }

  /** The number of this thread's session at the broker; null if unknown. */
  get sessionNumber() {
    return this.#channel.session || null;
  }

  #turn() {
    if (this.#sendQueue.stale) this.#dropStale();
    if (this.#pendingCalls.expected === 0) return this.#rest();
    if (!this.#connector.connect(this.#now)) return;
    const progress = this.#exchanger.exchangeAll(this.#now);
    if (this.#pendingCalls.expected === 0) this.#rest();
    else if (this.#connector.pausing) return;
    else if (progress) this.#turns.schedule(this.#now);
    else this.listener.arm(this.#now);
  }

  /** @param {number} what WAKE */
  #woken(what) {
    this.#now = now();
    if ((what & WAKE.due) !== 0) this.#timers.run(this.#now);
    if ((what & WAKE.turn) !== 0) this.#late();
    if ((what & WAKE.ready) !== 0) this.#ready();
    if ((what & WAKE.wanted) !== 0) this.#beCollectable();
  }

  /** Lets an unused connection be collected although deadlines of settled calls remain: see realm.js. */
  #beCollectable() {
    if (this.#pendingCalls.size > 0 || (!isCached && this.session.listening)) return;
    this.#deadlines.clear();
    setBusy(this, false);
  }

  /** Runs from the event loop, after `channel.turn()`. */
  #late() {
    this.listener.turn(this.#now);
    if (this.#turns.due) this.#turns.late();
  }

  /** The channel's thread has seen the connection become ready. */
  #ready() {
    this.listener.disarm();
    this.#turns.reset();
    if (this.#turns.due || !this.#connector.connected) return;
    this.#exchanger.receive();
    if (this.#pendingCalls.expected === 0) this.#rest();
    else if (!this.#connector.pausing) this.#turns.schedule(this.#now);
  }

  /** No reply is expected soon. */
  #rest() {
    this.listener.rest();
    this.#connector.endPause();
    if (this.#pendingCalls.size > 0) {
      this.#idleCheck.watch(this.#now);
      this.siblings.watch(this.#now);
    } else if (this.#onDrained.length > 0) {
      for (const drained of this.#onDrained.splice(0)) drained();
    }
  }

  /** @returns {boolean} whether no reply is expected soon */
  #restIfIdle() {
    if (this.#pendingCalls.expected > 0) return false;
    if (this.#sendQueue.stale) this.#dropStale();
    this.#rest();
    return true;
  }

  #hasConnected() {
    scope()?.add(this);
    this.#exchanger.hasConnected(this.#now);
  }

  /** The broker sent a malformed frame: the rest of the stream cannot be decoded. */
  #misunderstood() {
    this.#channel.close();
    this.#refused(errorOf('version_mismatch'));
  }

  /**
   * @param {PendingCall} call
   * @param {import('../error').BrokerError} error
   */
  #reject(call, error) {
    this.#pendingCalls.take(call.id);
    call.fail(error);
  }

  /** @param {PendingCall} call that is overdue */
  #expire(call) {
    const isUnsent = this.#sendQueue.holds(call);
    if (isUnsent) this.#sendQueue.stale = true;
    const ms = call.timeout + (call.wait?.waitMs ?? 0);
    const timeout = errorOf('timeout', `No answer came within ${ms} ms.`);
    this.#reject(call, this.#connector.failure ?? timeout);
    if (!isUnsent && call.wait !== null) this.withdrawals.abandon(call);
  }

  /** @param {number} status with which the channel has died */
  #died(status) {
    const code = codeOf(status);
    if (code !== 'broker_gone') return this.#refused(errorOf(code));
    this.#connector.hasDied(this.#now);
    const message =
      `The broker at ${this.pipe} went away before it answered; ` +
      `the request may or may not have been carried out.`;
    return this.#lost(errorOf(code, message));
  }

  /**
   * The connection is lost. The result of calls that were handed over is unknown, so they reject. The others
   * are sent again.
   * @param {import('../error').BrokerError} error
   */
  #lost(error) {
    this.#connector.lose();
    this.listener.disarm();
    this.#pendingCalls.forgetAbandoned();
    this.session.end();
    for (const call of this.#pendingCalls) {
      const isUnsent = this.#sendQueue.holds(call);
      if (isUnsent && !call.bound) continue;
      if (isUnsent) this.#sendQueue.stale = true;
      this.#reject(call, error);
    }
  }

  /**
   * The broker will not serve this client: all calls reject at once.
   * @param {import('../error').BrokerError} error
   */
  #refused(error) {
    this.#lost(error);
    this.#connector.stop();
    for (const call of this.#pendingCalls) this.#reject(call, error);
    this.#dropStale();
  }

  #dropStale() {
    this.#sendQueue.retain((id) => this.#pendingCalls.has(id));
  }

  /**
   * Waits for outstanding replies, releases all leases, then closes.
   * @returns {Promise<void>}
   */
  async close() {
    if (this.#pendingCalls.size > 0) {
      await new Promise((resolve) => {
        this.#onDrained.push(() => resolve(undefined));
      });
    }
    // The leases that the thread holds would outlive this connection.
    const tokens = this.session.takeGrants();
    if (this.#connector.connected) await this.withdrawals.giveBackAll(tokens);
    this.end();
  }

  /**
   * Closes the connection, which releases its leases, except those that the thread holds: they stay the
   * worker's until the thread ends. A later request connects again.
   */
  end() {
    this.session.leave();
    this.#timers.clear();
    this.#channel.close();
    this.#refused(errorOf('broker_gone', ENDED));
    setBusy(this, false);
    scope()?.delete(this);
  }
}

module.exports = { Connection };
