import { withBroker } from 'ephemeral-pipe-broker/node-test';

const accounts = [{ user: 'ann' }, { user: 'bob' }];
export const { globalSetup, globalTeardown } = withBroker({ pools: { accounts } });
