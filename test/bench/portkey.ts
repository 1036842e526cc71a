import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectFolder } from '../kit/distribution.js';
import { JSON_HEADERS, type Contender, type ContenderSettings } from './contenders.js';
import { endProcess, findFreePort, runProgram, startServer } from './processes.js';
import { basePathOf, CHAT_PATH } from './workloads.js';

const VERSION = '1.15.2';
const INSTALL_TIMEOUT_MS = 180_000;

/** Portkey's gateway as its manual starts it, on this Node; told by headers where the provider is. */
export function portkey({ upstream, cleanup }: ContenderSettings): Contender {
  const name = 'Portkey';
  return {
    name,
    start: async () => {
      const script = await install();
      const port = await findFreePort();
      const url = `http://127.0.0.1:${port}`;
      const { child, pid } = await startServer({
        command: process.execPath,
        args: [script, `--port=${port}`, '--headless'],
        // Without it the gateway refuses a custom host on this machine.
        env: { ...process.env, TRUSTED_CUSTOM_HOSTS: '127.0.0.1,localhost', NODE_ENV: 'production' },
        url,
      });
      cleanup.add(() => endProcess(child));
      return {
        name,
        pid,
        addressOf: (workload) => ({
          url: `${url}/v1${CHAT_PATH}`,
          headers: {
            ...JSON_HEADERS,
            'x-portkey-provider': 'openai',
            'x-portkey-custom-host': upstream.originOf(workload) + basePathOf(workload),
          },
        }),
      };
    },
  };
}

/**
 * Of newer ones, a response shares the headers of the one that it wraps, and every streamed call of this Portkey ends as
 * "TypeError: immutable", on Node 20 and 24 alike.
 */
const MANIFEST = JSON.stringify({
  private: true,
  dependencies: { '@portkey-ai/gateway': VERSION },
  overrides: { '@hono/node-server': '1.13.8' },
});

/** @returns its start script; installed once, in a folder that git ignores */
async function install(): Promise<string> {
  const folder = join(projectFolder(), '.bench/portkey');
  const script = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js');
  const manifest = join(folder, 'package.json');
  if (existsSync(script) && (await readFile(manifest, 'utf8')) === MANIFEST) return script;
  process.stderr.write(`Installing @portkey-ai/gateway ${VERSION} into .bench/portkey …\n`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(manifest, MANIFEST);
  // Its install scripts serve its own development only.
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error'];
  await runProgram('npm', ['install', '--prefix', folder, ...flags], INSTALL_TIMEOUT_MS);
  return script;
}
