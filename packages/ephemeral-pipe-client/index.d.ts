export * from 'ephemeral-pipe-broker/client';
