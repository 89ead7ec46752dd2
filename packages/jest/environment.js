/** For `testEnvironment`, or a docblock: `@jest-environment @ephemeral-broker/jest/environment`. */
'use strict';

const { withBrokerEnvironment } = require('./lib/environment_mixin.js');
const { ofJest } = require('./lib/packages.js');

module.exports = withBrokerEnvironment(ofJest('jest-environment-node').TestEnvironment);
