/** How long a lease lasts when its holder names no TTL. */
'use strict';

/** A renewal may be late by as much again, and still be in time. */
const RENEWALS_A_TTL = 3;

/** Of one that native code renews. An object, so that a test need not take minutes. */
const LEASE_TTL = { ms: 60_000 };

/** The same in the name of no session, where nothing renews it. */
const DETACHED_TTL_MS = 30 * 60_000;

module.exports = { DETACHED_TTL_MS, LEASE_TTL, RENEWALS_A_TTL };
