/** The first global set-up: starts the broker and stores what the options name. */
import { leave, start } from './main_process.mjs';

/** @param {any} project */
export default async function setup(project) {
  await start(project);
  return leave;
}
