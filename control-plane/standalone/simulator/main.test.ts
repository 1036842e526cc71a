import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { startProviderSimulator } from './server.js';

/** Lets Node run the sources: it strips the types itself, but would look for the compiled `.js` beside them. */
const RUN_SOURCES = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  const resolve = (specifier, context, next) =>
    next(/^\\.{1,2}\\//.test(specifier) && !context.parentURL.includes('/node_modules/') ? specifier.replace(/\\.js$/, '.ts') : specifier, context);
  registerHooks({ resolve });
`)}`;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function start(environment: Record<string, string>) {
  const child = fork(new URL('main.ts', import.meta.url), {
    execArgv: ['--import', RUN_SOURCES],
    env: { ...process.env, NODE_OPTIONS: '', ...environment },
    silent: true,
  });
  children.push(child);
  const said = { out: '', err: '' };
  child.stdout?.on('data', (data: Buffer) => (said.out += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (said.err += data.toString()));
  return { child, said };
}

async function ready(child: ChildProcess): Promise<number> {
  const died = once(child, 'exit').then(() => [{ type: 'exit', ports: [] }]);
  const [message] = (await Promise.race([once(child, 'message'), died])) as [{ type: string; ports: number[] }];
  expect(message.type).toBe('ready');
  return message.ports[0] ?? 0;
}

describe('the process', () => {
  it.each([
    ['SIGTERM', (child: ChildProcess) => child.kill('SIGTERM')],
    ['SIGINT', (child: ChildProcess) => child.kill('SIGINT')],
    [
      'the loss of its parent',
      (child: ChildProcess) => {
        child.disconnect();
      },
    ],
  ])('says where it listens, and ends soon after %s, an answer stalled or not', async (_, end) => {
    const { child, said } = start({ PROVIDER_SIMULATOR_PORT: '0' });
    const port = await ready(child);
    const stalled = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer k' },
      body: JSON.stringify({
        model: 'pingtoken-sim-small',
        stream: true,
        messages: [{ role: 'user', content: '[[sim stall-after=1]]' }],
      }),
    });
    stalled.text().catch(() => undefined);
    end(child);
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(0);
    expect(JSON.parse(said.out)).toEqual({ event: 'provider-simulator-ready', host: '127.0.0.1', port });
  });

  it('names the port and the setting when the port is taken', async () => {
    const other = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
    const { child, said } = start({ PROVIDER_SIMULATOR_PORT: String(other.port) });
    const [code] = (await once(child, 'close')) as [number | null];
    await other.close();
    expect(code).toBe(1);
    expect(said.err.trim().split('\n')).toHaveLength(1);
    expect(said.err).toContain(`port ${other.port} `);
    expect(said.err).toContain('PROVIDER_SIMULATOR_PORT');
  });

  it('names a faulty setting', async () => {
    const { child, said } = start({ PROVIDER_SIMULATOR_PORT: '70000' });
    const [code] = (await once(child, 'close')) as [number | null];
    expect(code).toBe(1);
    expect(said.err).toContain('PROVIDER_SIMULATOR_PORT');
  });
});
