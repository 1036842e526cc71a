// `npm run dev`: the compiler watches the sources, and the distribution restarts after every compilation without a
// fault. The compiler's own "Found 0 errors" is the signal: watching dist/ would restart on half-written output.
// Pages of the console are read from disk at each request and need no restart.
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

const root = new URL('..', import.meta.url).pathname;
const compiler = spawn('tsc', ['-b', '--watch', '--preserveWatchOutput', 'control-plane', 'data-plane'], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
});
let running;
let stopping = false;
let restarts = Promise.resolve();

createInterface({ input: compiler.stdout }).on('line', (line) => {
  console.log(line);
  if (line.includes('Found 0 errors')) restarts = restarts.then(restart);
});
compiler.on('exit', stop);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop);

async function restart() {
  await end(running);
  if (stopping) return;
  if (spawnSync('npm', ['run', '--silent', 'bundle'], { cwd: root, stdio: 'inherit' }).status !== 0) return;
  running = spawn(process.execPath, ['control-plane/dist/standalone/launcher.js', ...process.argv.slice(2)], {
    cwd: root,
    stdio: 'inherit',
  });
}

async function stop() {
  if (stopping) return;
  stopping = true;
  compiler.kill();
  await restarts;
  await end(running);
}

/** Waits for the whole distribution to drain, so that the next one finds ports and data free. */
function end(child) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill('SIGTERM');
  });
}
