/** `preset: '@ephemeral-broker/jest'`: a broker for the run, without pools. */
'use strict';

module.exports = {
  globalSetup: require.resolve('./global-setup.js'),
  globalTeardown: require.resolve('./global-teardown.js'),
  setupFiles: [require.resolve('./lib/file_globals.js')],
  testEnvironment: require.resolve('./environment.js'),
};
