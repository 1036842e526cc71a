// What `npm start` runs: check the Node version, bring the build up to date, hand over to the launcher.
// Kept to syntax and imports that Node 14 can load, so that an old Node gets the sentence below, not a parse error.
import { spawn } from 'child_process';
import { existsSync, statSync } from 'fs';
import { fileURLToPath } from 'url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const launcher = new URL('../dist/standalone/launcher.js', import.meta.url);
const compiler = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));
const bundler = fileURLToPath(new URL('../../node_modules/rolldown/bin/cli.mjs', import.meta.url));
const bundle = new URL('../../data-plane/dist/bundle/main.js', import.meta.url);
// The compiler writes these at every change of what it emits.
const emitted = ['data-plane', 'shared'].map(
  (part) => new URL(`../../${part}/dist/tsconfig.tsbuildinfo`, import.meta.url),
);

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(
    `PingToken needs Node 22.19 or newer and this is ${process.versions.node}: ` +
      'start it with `npm start`, which brings its own Node 24, or install Node 22.19 or newer.',
  );
  process.exit(1);
}

// The compiler itself decides what is stale (it knows deleted files and changed settings, a stamp file would not); when
// nothing changed that takes well under a second. A production install has no compiler and runs the dist it came with.
if (existsSync(compiler)) await build();
if (!existsSync(launcher)) {
  console.error('PingToken is not built and TypeScript is not installed: run `npm ci && npm run build` first.');
  process.exit(1);
}

// The same process goes on, so that every signal reaches the launcher.
process.argv[1] = fileURLToPath(launcher);
await import(launcher.href);

async function build() {
  const started = Date.now();
  const first = !existsSync(launcher);
  const title = first ? 'Building PingToken (first start only)…' : 'Building PingToken (its sources changed)…';
  // A build that has nothing to do ends before the line is due, and says nothing.
  const announce = setTimeout(() => console.log(title), first ? 0 : 1200);
  const progress = setInterval(() => console.log(`  building, ${Math.round((Date.now() - started) / 1000)} s`), 2000);
  // Types are the business of `npm run check` and `npm test`, and checking them would take longer than all the rest.
  await run([compiler, '-b', '--noCheck', 'control-plane', 'data-plane']);
  if (isBundleStale()) await run([bundler, '--config', '.config/rolldown.config.js'], 'ignore');
  clearTimeout(announce);
  clearInterval(progress);
}

function isBundleStale() {
  if (!existsSync(bundle)) return true;
  const bundledAt = statSync(bundle).mtimeMs;
  return emitted.some((each) => existsSync(each) && statSync(each).mtimeMs > bundledAt);
}

function run(args, output = 'inherit') {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', output, 'inherit'] });
    const stop = (signal) => {
      child.kill();
      process.exit(signal === 'SIGINT' ? 130 : 143);
    };
    process.once('SIGINT', stop).once('SIGTERM', stop);
    child.once('exit', (code) => {
      process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop);
      if (code !== 0) {
        console.error('PingToken could not be built, see the faults above.');
        process.exit(1);
      }
      resolve();
    });
  });
}
