/** A class of environments for `testEnvironment` or a docblock. */
declare const BrokerEnvironment: new (
  config: any,
  context: any,
) => {
  global: any;
  setup(): Promise<void>;
  teardown(): Promise<void>;
};
export = BrokerEnvironment;
