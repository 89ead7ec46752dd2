/** The broker as a service of WebdriverIO. */
import { Launch } from './lib/launcher.js';
import { runOptions } from './lib/options.js';
import * as session from './lib/session.js';

export { broker, getToken, tokensReady, withToken } from './lib/session.js';

/** @param {any} hooks @returns {((...args: any[]) => any)[]} */
const listOf = (hooks) => (hooks === undefined ? [] : [hooks].flat());

/** The half of the launcher. */
class LauncherService {
  /**
   * @param {object} options
   * @param {unknown} _capabilities
   * @param {any} config
   */
  constructor(options, _capabilities, config) {
    this.launch = new Launch(runOptions(options), config);
  }

  onPrepare() {
    return this.launch.prepare();
  }

  onComplete() {
    return this.launch.complete();
  }
}

/** The half of a worker. */
export default class BrokerWorkerService {
  /** @param {object} options */
  constructor(options) {
    this.options = runOptions(options);
  }

  beforeSession() {
    return session.take(this.options);
  }

  /**
   * @param {unknown} _capabilities
   * @param {unknown} _specs
   * @param {any} browser
   */
  before(_capabilities, _specs, browser) {
    const browsers = browser.isMultiremote
      ? browser.instances.map(browser.getInstance, browser)
      : [];
    for (const one of [browser, ...browsers]) one.brokerTokens = session.tokens();
    session.failTestsOnLoss(globalThis);
  }

  /** @param {any} test */
  beforeTest(test) {
    session.noteTest(test);
  }

  /** @param {{ pickle?: { name?: string } }} world */
  beforeScenario({ pickle }) {
    session.noteTest({ title: pickle?.name });
  }

  afterSession() {
    return session.release();
  }
}

export { LauncherService as launcher };

/** A class that is given to WebdriverIO directly is constructed in the launcher and in each worker. */
export const EphemeralBrokerService = session.isWorker ? BrokerWorkerService : LauncherService;

/**
 * The service of withBrokerTokens. The options stay out of the configuration, because reporters receive it.
 * @param {object} options
 * @param {{ launch: Launch | null }} state
 */
function boundService(options, state) {
  return class extends /** @type {any} */ (EphemeralBrokerService) {
    static name = 'EphemeralBrokerService';

    /**
     * @param {unknown} _options
     * @param {unknown} capabilities
     * @param {unknown} config
     */
    constructor(_options, capabilities, config) {
      super(options, capabilities, config);
      state.launch = this.launch ?? null;
    }

    /** The wrapped hooks release the tokens. */
    afterSession() {}
  };
}

/**
 * WebdriverIO starts all hooks of an array at once, in order.
 * @param {((...args: any[]) => any)[]} hooks
 */
function releaseAfter(hooks) {
  /** @type {Promise<unknown>[]} */
  const running = [];
  const noted = hooks.map((hook) => (/** @type {any[]} */ ...args) => {
    const result = (async () => hook(...args))();
    running.push(result);
    return result;
  });
  const release = async () => {
    await Promise.allSettled(running.splice(0));
    await session.release();
  };
  return [...noted, release];
}

/**
 * @param {any} options
 * @param {any} config
 */
export function withBrokerTokens(options, config) {
  const own = runOptions(options);
  /** @type {{ launch: Launch | null }} */
  const state = { launch: null };
  /**
   * @param {() => Promise<unknown> | undefined} first
   * @returns {(hook: (...args: any[]) => any) => (...args: any[]) => any}
   */
  const after =
    (first) =>
    (hook) =>
    async (...args) => {
      await first();
      return hook(...args);
    };
  const ready = async () => {
    // The service reports a failure, after these hooks.
    await state.launch?.ready().catch(() => {});
  };
  const takeFirst = () => session.take(own);
  return {
    ...config,
    services: [...(config.services ?? []), [boundService(options, state), {}]],
    onPrepare: listOf(config.onPrepare).map(after(ready)),
    beforeSession: [takeFirst, ...listOf(config.beforeSession).map(after(takeFirst))],
    afterSession: releaseAfter(listOf(config.afterSession)),
  };
}
