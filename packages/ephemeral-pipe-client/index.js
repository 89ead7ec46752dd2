'use strict';

const { PipeClient, Client, BrokerError } = require('ephemeral-pipe-broker/client');

module.exports = { PipeClient, Client, BrokerError };
