/** For `testEnvironment`, or a docblock: `@jest-environment @ephemeral-broker/jest/environment-jsdom`. */
'use strict';

const { withBrokerEnvironment } = require('./lib/environment_mixin.js');
const { ofProject } = require('./lib/packages.js');

const jsdom = ofProject('jest-environment-jsdom', process.cwd());

module.exports = withBrokerEnvironment(jsdom.TestEnvironment ?? jsdom);
