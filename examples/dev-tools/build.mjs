// build.mjs
// Builds a package of a monorepo after the packages that it depends on, each of them once.
import { PipeClient } from 'ephemeral-pipe-broker';

const DEPENDENCIES = { app: ['ui', 'core'], ui: ['core'], core: [] };
const broker = new PipeClient();

const build = (name) =>
  broker.getOrSet(`build:${name}`, Infinity, async () => {
    const parts = await Promise.all(DEPENDENCIES[name].map(build));
    console.log(`building ${name}`); // run the compiler here
    return { name, parts: parts.map((part) => part.name), file: `dist/${name}.js` };
  });

await build(process.argv[2]);
