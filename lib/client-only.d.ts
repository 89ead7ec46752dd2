// The types of `ephemeral-pipe-broker/client`: what index.d.ts has, without the broker.
export { BrokerError, Client, PipeClient } from './index';
export type {
  CallOptions,
  ClientOptions,
  Entry,
  ErrorCode,
  GetOptions,
  Health,
  IncrOptions,
  ListEntry,
  SetOptions,
  Stats,
  Value,
} from './index';
