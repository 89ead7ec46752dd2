'use strict';

const { Broker } = require('./broker');
const { PipeClient, Client, BrokerError } = require('./client');

module.exports = { Broker, PipeClient, Client, BrokerError };
