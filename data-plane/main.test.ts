import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApiKey } from '@pingtoken/shared/key-format';
import { ConfigJournal, createTestIdentity } from '../test/kit/config-documents.js';
import { eventually, openRaw, startUpstream, type ScriptedUpstream } from '../test/kit/gateway-fixture.js';
import { makeTemporaryFolder, type TemporaryFolder } from '../test/kit/temporary-folder.js';

const MAIN = new URL('dist/bundle/main.js', import.meta.url).pathname;

let home: TemporaryFolder;
let upstream: ScriptedUpstream;
let environment: Record<string, string>;
let bearer: string;
const children: ChildProcess[] = [];

interface Run {
  readonly child: ChildProcess;
  readonly ports: Promise<readonly number[]>;
  readonly exitCode: Promise<number | null>;
  output(): string;
}

/** A process as the launcher starts it: compiled, with IPC. */
function run(change: Record<string, string> = {}): Run {
  const child = fork(MAIN, { env: { ...environment, ...change }, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exitCode = once(child, 'exit').then(([code]) => code as number | null);
  const ports = new Promise<readonly number[]>((resolve, reject) => {
    child.on('message', (message: { type: string; ports: readonly number[] }) => {
      if (message.type === 'ready') resolve(message.ports);
    });
    void exitCode.then(() => {
      reject(new Error(`ended before it was ready: ${output}`));
    });
  });
  ports.catch(() => undefined);
  return { child, ports, exitCode, output: () => output };
}

async function ownPort(started: Run): Promise<number> {
  const [port] = await started.ports;
  if (port === undefined) throw new Error('no port');
  return port;
}

/**
 * Writes what enrolment and an earlier life of the process would have left in the home folder.
 * @param rate of a token; what is free needs no lease, and so no control plane
 */
async function prepareHome(folder: string, withConfig: boolean, rate = '0'): Promise<string> {
  const identity = createTestIdentity();
  const journal = new ConfigJournal();
  const { secret, hash } = createApiKey();
  bearer = secret;
  const [tenantId, memberId, providerId, credentialId, modelId, priceCardId] = Array.from({ length: 6 }, () =>
    randomUUID(),
  );
  if (credentialId === undefined) throw new Error('no id');
  journal.publish(
    { kind: 'tenant', id: tenantId ?? '', status: 'active', grantedProviderIds: [providerId] },
    {
      kind: 'member',
      id: memberId ?? '',
      tenantId,
      sealingKey: identity.file['sealing'] && Buffer.from(identity.sealing.publicKey).toString('base64url'),
    },
    { kind: 'api-key', id: randomUUID(), tenantId, memberId, hash, status: 'active', expiresAt: null },
    {
      kind: 'provider',
      id: providerId ?? '',
      slug: 'sim',
      baseUrl: upstream.baseUrl,
      dialect: 'openai',
      auth: 'bearer',
      region: null,
      status: 'active',
    },
    {
      kind: 'credential',
      id: credentialId,
      providerId,
      tenantId: null,
      origin: new URL(upstream.baseUrl).origin,
      contentKeyId: journal.contentKeyId,
      sealedSecret: journal.sealSecret(credentialId, 'sk-x'),
    },
    {
      kind: 'model',
      id: modelId ?? '',
      name: 'm',
      operations: ['chat-completions'],
      capabilities: [],
      contextWindow: null,
      maxOutputTokens: null,
      status: 'active',
      createdAt: 0,
      priceCardId,
    },
    {
      kind: 'route',
      id: randomUUID(),
      modelId,
      tenantId: null,
      dropsUnsupported: false,
      targets: [
        { id: randomUUID(), providerId, credentialId, upstreamModel: 'u', priority: 0, weight: 1, costCardId: null },
      ],
    },
    {
      kind: 'rate-card',
      id: priceCardId ?? '',
      versions: [{ id: randomUUID(), effectiveFrom: 0, currency: 'USD', rates: { input: rate, output: rate } }],
    },
  );
  await writeFile(join(folder, 'identity.json'), JSON.stringify(identity.file), { mode: 0o600 });
  await mkdir(join(folder, 'config'), { recursive: true });
  if (withConfig)
    await writeFile(join(folder, 'config', 'snapshot.ndjson'), journal.snapshot(identity), { mode: 0o600 });
  return journal.verifyKey;
}

beforeEach(async () => {
  upstream = await startUpstream((_request, response) => {
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end('{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}');
  });
  home = await makeTemporaryFolder('data-plane');
  environment = {
    DATA_PLANE_PORT: '0',
    DATA_PLANE_OWN_PORT: '0',
    CONTROL_PLANE_URL: 'http://127.0.0.1:9',
    QUEUE_URL: 'redis://127.0.0.1:9',
    PRIVATE_UPSTREAMS: '127.0.0.0/8',
    DATA_PLANE_HOME: home.path,
    CONFIG_VERIFY_KEY: await prepareHome(home.path, true),
    DRAIN_TIMEOUT_MS: '1500',
  };
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  upstream.close();
  await home.remove();
});

function call(port: number): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: '{"model":"m","messages":[]}',
  });
}

async function spoolText(): Promise<string> {
  const root = join(home.path, 'spool');
  const files = await readdir(root, { recursive: true });
  const texts = files.filter((name) => name.endsWith('.log')).map((name) => readFile(join(root, name), 'latin1'));
  return (await Promise.all(texts)).join('');
}

describe('a data plane process', () => {
  it('serves from its last good configuration with control plane and queue down, on both ports, and keeps the usage', async () => {
    const started = run();
    const ports = await started.ports;
    expect(ports).toHaveLength(2);
    for (const port of ports) {
      const response = await call(port);
      expect(response.status).toBe(200);
      expect(await spoolText()).toContain(response.headers.get('x-request-id'));
    }
    expect(started.output()).not.toContain('sk-x');
    expect(started.output()).not.toContain(bearer);
    started.child.kill('SIGTERM');
    expect(await started.exitCode).toBe(0);
  });

  it('sends nothing that costs money while it has no lease and nobody to ask for one', async () => {
    environment['CONFIG_VERIFY_KEY'] = await prepareHome(home.path, true, '1');
    const response = await call(await ownPort(run()));
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ error: { code: 'budget_unavailable' } });
    expect(upstream.requests).toEqual([]);
  });

  it('listens before it has a configuration, and says that it is not ready', async () => {
    environment['CONFIG_VERIFY_KEY'] = await prepareHome(home.path, false);
    await rm(join(home.path, 'config'), { recursive: true });
    const port = await ownPort(run());
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(503);
    expect((await call(port)).status).toBe(503);
  });

  it('names every setting that is missing and never a value', async () => {
    const started = run({ QUEUE_URL: 'mysql://secret@x', CONFIG_VERIFY_KEY: '' });
    expect(await started.exitCode).toBe(1);
    expect(started.output()).toContain('QUEUE_URL');
    expect(started.output()).toContain('CONFIG_VERIFY_KEY');
    expect(started.output()).not.toContain('secret');
  });

  it('says in one sentence which port is taken and which variable names it', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    for (const variable of ['DATA_PLANE_PORT', 'DATA_PLANE_OWN_PORT']) {
      const started = run({ [variable]: String(port) });
      expect(await started.exitCode).toBe(1);
      expect(started.output().trim().split('\n').at(-1)).toBe(
        `Port ${port} on 127.0.0.1 is taken; set ${variable} to another one.`,
      );
    }
    other.close();
  });

  it('shares its port with another that has a home of its own, and refuses to share a home', async () => {
    const first = run();
    const [, shared] = await first.ports;
    const second = run({ DATA_PLANE_PORT: String(shared) });
    expect(await second.exitCode).toBe(1);
    expect(second.output()).toContain('DATA_PLANE_HOME');
    const otherHome = await makeTemporaryFolder('data-plane');
    const third = run({
      DATA_PLANE_PORT: String(shared),
      DATA_PLANE_HOME: otherHome.path,
      CONFIG_VERIFY_KEY: await prepareHome(otherHome.path, true),
    });
    expect((await third.ports)[1]).toBe(shared);
    third.child.kill('SIGTERM');
    await third.exitCode;
    await otherHome.remove();
  });
});

describe('a stop', () => {
  it.each(['SIGTERM', 'SIGINT', 'the launcher’s death'])(
    'by %s lets open calls end and takes no new ones',
    async (reason) => {
      const started = run();
      const port = await ownPort(started);
      let finish: () => void = () => undefined;
      upstream.respond = (_request, response) => {
        finish = () => response.end('{"choices":[],"usage":{"prompt_tokens":3}}');
      };
      const open = call(port);
      await eventually(() => upstream.requests.length === 1);
      if (reason === 'the launcher’s death') started.child.disconnect();
      else started.child.kill(reason as NodeJS.Signals);
      await eventually(() => started.output().includes('draining'));
      await expect(call(port)).rejects.toThrow();
      finish();
      expect((await open).status).toBe(200);
      expect(await started.exitCode).toBe(0);
      expect(await spoolText()).toContain('"outcome":"completed"');
    },
  );

  it('cuts what is still open when its time is over, tells the caller and records it', async () => {
    const started = run();
    const port = await ownPort(started);
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{}]}\n\n');
    };
    const body = '{"model":"m","messages":[],"stream":true}';
    const raw = openRaw(
      port,
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${bearer}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await eventually(() => raw.received().includes('choices'));
    const before = performance.now();
    started.child.kill('SIGTERM');
    expect(await started.exitCode).toBe(0);
    expect(performance.now() - before).toBeGreaterThan(1400);
    expect(performance.now() - before).toBeLessThan(6000);
    expect(await raw.closed()).toContain('"code":"not_ready"');
    expect(await spoolText()).toContain('"outcome":"interrupted"');
  });

  it('by kill leaves the start of an open call in the spool', async () => {
    const started = run();
    const port = await ownPort(started);
    upstream.respond = () => undefined;
    call(port).catch(() => undefined);
    await eventually(() => upstream.requests.length === 1);
    started.child.kill('SIGKILL');
    await started.exitCode;
    expect(await spoolText()).toContain(String(upstream.requests[0]?.headers['x-request-id']));
  });

  describe('while tokens are counted that the provider did not report', () => {
    /** A long prompt takes a while; a busy machine takes longer. */
    const body = JSON.stringify({
      ...{ model: 'm', stream: true },
      messages: [{ role: 'user', content: 'Seven lamps burn near old harbour walls. '.repeat(20_000) }],
    });

    /** @returns when the caller has left, and the provider has been left too */
    async function leave(port: number): Promise<void> {
      upstream.respond = (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n');
      };
      const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${bearer}`;
      const raw = openRaw(
        port,
        `${head}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
      await eventually(() => raw.received().includes('Hello'), 10_000);
      raw.socket.destroy();
      await eventually(() => upstream.aborts.length === 1, 10_000);
    }

    it('waits for the count', async () => {
      const started = run({ ESTIMATE_TIMEOUT_MS: '25000' });
      await leave(await ownPort(started));
      started.child.kill('SIGTERM');
      expect(await started.exitCode).toBe(0);
      const text = await spoolText();
      expect(text.match(/"outcome":"caller-left"/g)).toHaveLength(1);
      expect(text).toMatch(/"usage":\{"input":\d{6},"output":1,"request":1\},"countedBy":"estimated"/);
      expect(text).toContain('"billedAttempt":0');
    });

    it('by kill leaves the call to the next process, which records it as interrupted, once', async () => {
      const started = run({ ESTIMATE_TIMEOUT_MS: '25000' });
      await leave(await ownPort(started));
      started.child.kill('SIGKILL');
      await started.exitCode;
      const id = String(upstream.requests[0]?.headers['x-request-id']);
      expect(await spoolText()).not.toContain('"outcome"');
      const next = run();
      await next.ports;
      await eventually(() => next.output().includes('usage spool recovered'), 10_000);
      const text = await spoolText();
      expect(text.match(/"outcome":"interrupted"/g)).toHaveLength(1);
      expect(text.match(/"billedAttempt":null/g)).toHaveLength(1);
      expect(text).toContain(`E ${id} 1 `);
    });
  });
});
