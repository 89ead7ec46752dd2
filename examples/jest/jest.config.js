'use strict';

module.exports = {
  testMatch: ['<rootDir>/tests/*.test.js'],
  maxWorkers: 4,
  // Jest runs a few fast files in one process; with a memory limit it always uses workers.
  workerIdleMemoryLimit: '1GB',
  reporters: ['default', '<rootDir>/summary.js'],
};
