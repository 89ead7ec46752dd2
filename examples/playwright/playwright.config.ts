import { defineConfig, withBroker } from '@ephemeral-broker/playwright';

const accounts = [{ user: 'ann' }, { user: 'bob' }];
export default withBroker(defineConfig({ testDir: 'tests', workers: 4 }), { pools: { accounts } });
