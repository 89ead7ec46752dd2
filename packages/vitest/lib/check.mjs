/** The last global set-up. Those of the user may define keys that tokens name. */
export { check as default } from './main_process.mjs';
