/** Default TTLs of leases. */
'use strict';

/** Renewals per TTL. A renewal that is late by a whole interval still arrives before the lease ends. */
const RENEWALS_A_TTL = 3;

/** TTL of a lease that native code renews. An object, so that tests can shorten it. */
const LEASE_TTL = { ms: 60_000 };

module.exports = { LEASE_TTL, RENEWALS_A_TTL };
