import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  eventually,
  openRaw,
  startGateway,
  type GatewayFixture,
  type MemoryConfig,
} from '../../test/kit/gateway-fixture.js';
import { openSession, type RealtimeCaller } from '../../test/kit/realtime-caller.js';
import { accept, startSessionProvider, type ScriptedProvider } from '../../test/kit/session-provider.js';

let provider: ScriptedProvider;
let gateway: GatewayFixture;

async function restart(change: Parameters<typeof startGateway>[1] = {}, baseUrl = provider.baseUrl): Promise<void> {
  await gateway.close();
  gateway = await startGateway(baseUrl, {
    UPSTREAM_CONNECT_TIMEOUT_MS: 400,
    UPSTREAM_HEADERS_TIMEOUT_MS: 400,
    ...change,
  });
  gateway.config.addModel('realtime-alias', 'realtime', 'sim-realtime');
}

beforeEach(async () => {
  provider = await startSessionProvider();
  gateway = await startGateway(provider.baseUrl);
  await restart();
});
afterEach(async () => {
  const { starts, ends } = gateway.spool;
  await eventually(() => starts.length === ends.length && gateway.gateway.openCalls() === 0);
  await gateway.close();
  provider.close();
});

const target = () => ({ url: gateway.url, bearer: gateway.config.bearer });
const open = (): Promise<RealtimeCaller> => openSession(target());
const ends = () => gateway.spool.ends;

describe('two sides of a session', () => {
  it('lose nothing that the provider says with its first breath', async () => {
    provider.onUpgrade = accept((socket) => {
      for (let index = 0; index < 50; index += 1) socket.send(JSON.stringify({ type: 'early', index }));
    });
    const caller = await open();
    await eventually(() => caller.heard.length === 50);
    expect(caller.heard.map((event) => event['index'])).toEqual([...Array(50).keys()]);
    caller.socket.close();
    await caller.closed;
  });

  it('exchange bytes as they are, of either kind', async () => {
    const heard: { data: string; isBinary: boolean }[] = [];
    provider.onUpgrade = accept((socket) => {
      socket.on('message', (data: Buffer, isBinary) => {
        heard.push({ data: data.toString('latin1'), isBinary });
        socket.send(data, { binary: isBinary });
      });
    });
    const caller = await open();
    const back: string[] = [];
    caller.socket.on('message', (data: Buffer) => back.push(data.toString('latin1')));
    const text = '{ "type":"x", "big": 12345678901234567890,"é":"\\u00e9" }';
    caller.socket.send(text);
    caller.socket.send(Buffer.from(text), { binary: true });
    await eventually(() => back.length === 2);
    const latin = Buffer.from(text).toString('latin1');
    expect(heard).toEqual([
      { data: latin, isBinary: false },
      { data: latin, isBinary: true },
    ]);
    expect(back).toEqual([latin, latin]);
    caller.socket.close();
    await caller.closed;
  });

  it('pass on a close, and not the words of an error that name our account', async () => {
    const { secret } = gateway.config;
    provider.onUpgrade = accept((socket) => {
      const error = { type: 'x', message: `of org-abcdef123: ${secret}`, code: 'c', param: null, event_id: 'e' };
      socket.send(JSON.stringify({ type: 'error', event_id: 'event_1', error }));
      socket.send(JSON.stringify({ type: 'response.note', key: secret }));
      socket.close(1000);
    });
    const caller = await open();
    expect(await caller.closed).toBe(1000);
    expect(caller.heard).toEqual([
      {
        type: 'error',
        event_id: 'event_1',
        error: { type: 'x', message: 'of ***: ***', code: 'c', param: null, event_id: 'e' },
      },
      { type: 'response.note', key: '***' },
    ]);
    await eventually(() => ends().length === 1);
    expect(ends()).toMatchObject([{ outcome: 'completed', status: 101 }]);
  });

  it('end when the provider is half open: it takes what is sent and answers no ping', async () => {
    await restart({ IDLE_TIMEOUT_MS: 600 });
    provider.onUpgrade = accept((socket) => {
      socket.pause();
    });
    const caller = await open();
    expect((await caller.next('error'))['error']).toMatchObject({ code: 'upstream_timeout' });
    expect(await caller.closed).toBe(1011);
    expect(ends()).toMatchObject([{ outcome: 'timed-out' }]);
  });

  it('end when the caller is half open, and stay as long as both answer pings', async () => {
    await restart({ IDLE_TIMEOUT_MS: 600 });
    const quiet = await open();
    const gone = await open();
    gone.socket.pause();
    await eventually(() => ends().length === 1, 5_000);
    expect(ends()).toMatchObject([{ outcome: 'caller-left' }]);
    expect(gateway.gateway.openCalls()).toBe(1);
    quiet.socket.close();
    gone.socket.terminate();
    await quiet.closed;
  });

  it('are not held to the times of a request', async () => {
    await restart({ RECEIVE_HEAD_TIMEOUT_MS: 300, RECEIVE_TIMEOUT_MS: 300, STREAM_COMMENT_INTERVAL_MS: 200 });
    let pings = 0;
    provider.onUpgrade = accept((socket) => {
      socket.on('ping', () => (pings += 1));
      socket.on('message', (data: Buffer) => {
        socket.send(data, { binary: false });
      });
    });
    const caller = await open();
    let callersPings = 0;
    caller.socket.on('ping', () => (callersPings += 1));
    await eventually(() => pings >= 2 && callersPings >= 2, 5_000);
    caller.say({ type: 'still.there' });
    await caller.next('still.there');
    caller.socket.close();
    await caller.closed;
  });

  it('lose nothing that the caller says before it is answered', async () => {
    const heard: string[] = [];
    provider.onUpgrade = accept((socket) => {
      socket.on('message', (data: Buffer) => heard.push(data.toString()));
    });
    const frame = (text: string): string => String.fromCharCode(0x81, 0x80 | text.length, 0, 0, 0, 0) + text;
    const head = [
      'GET /v1/realtime?model=realtime-alias HTTP/1.1',
      'host: x',
      `authorization: Bearer ${gateway.config.bearer}`,
      'connection: upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
      '',
      '',
    ].join('\r\n');
    const connection = openRaw(gateway.port, head + frame('{"n":1}'));
    connection.socket.write(frame('{"n":2}'), 'latin1');
    await eventually(() => heard.length === 2);
    expect(heard).toEqual(['{"n":1}', '{"n":2}']);
    expect(connection.received()).toMatch(/^HTTP\/1.1 101 /);
    connection.socket.destroy();
    await eventually(() => ends().length === 1);
    expect(ends()).toMatchObject([{ outcome: 'caller-left' }]);
  });

  it('end when the key expires', async () => {
    const bearer = gateway.config.addKey({ expiresAt: Date.now() + 800 });
    const caller = await openSession({ url: gateway.url, bearer });
    expect((await caller.next('error'))['error']).toMatchObject({ code: 'invalid_api_key' });
    expect(await caller.closed).toBe(1008);
  });

  const withdrawals: readonly (readonly [string, string, (config: MemoryConfig) => void])[] = [
    [
      'the grant of the provider is withdrawn',
      'provider_not_granted',
      ({ accounts }) => {
        for (const [hash, account] of accounts) {
          accounts.set(hash, { ...account, tenant: { ...account.tenant, grantedProviderIds: [] } });
        }
      },
    ],
    [
      'the model is switched off',
      'model_not_found',
      ({ models }) => {
        for (const [name, model] of models) models.set(name, { ...model, status: 'disabled' });
      },
    ],
    [
      'the model goes another way',
      'model_not_found',
      ({ routeList }) => {
        for (const [index, route] of routeList.entries()) {
          const targets = route.targets.map((each) => ({ ...each, credentialId: randomUUID() }));
          routeList[index] = { ...route, targets };
        }
      },
    ],
  ];
  it.each(withdrawals)('end when %s', async (_name, code, change) => {
    const caller = await open();
    change(gateway.config);
    expect((await caller.next('error'))['error']).toMatchObject({ code });
    expect(await caller.closed).toBe(1008);
    expect(ends()).toMatchObject([{ outcome: 'interrupted', billedAttempt: null }]);
  });

  it('end when their time is over', async () => {
    await restart({ UPSTREAM_TOTAL_TIMEOUT_MS: 500 });
    const caller = await open();
    expect((await caller.next('error'))['error']).toMatchObject({ code: 'upstream_timeout' });
    expect(await caller.closed).toBe(1001);
    expect(ends()).toMatchObject([{ outcome: 'timed-out' }]);
  });

  it('make a provider wait for a caller that does not read, and let the caller go in the end', async () => {
    await restart({ IDLE_TIMEOUT_MS: 1_000 });
    let sent = 0;
    const piece = Buffer.alloc(64 * 1024, 'x');
    provider.onUpgrade = accept((socket) => {
      const send = (): void => {
        socket.send(piece, { binary: true }, (error) => {
          sent += piece.length;
          if (!error && sent < 512 * 1024 * 1024) send();
        });
      };
      send();
    });
    const caller = await open();
    caller.socket.pause();
    await eventually(() => ends().length === 1, 15_000);
    expect(ends()).toMatchObject([{ outcome: 'caller-left' }]);
    // What lies in the buffers of the system and in ours.
    expect(sent).toBeLessThan(64 * 1024 * 1024);
    caller.socket.terminate();
  });

  it('make a caller wait for a provider that does not read', async () => {
    await restart({ IDLE_TIMEOUT_MS: 1_000 });
    provider.onUpgrade = accept((socket) => {
      socket.pause();
    });
    const caller = await open();
    const message = JSON.stringify({ type: 'input_audio_buffer.append', audio: 'A'.repeat(64 * 1024) });
    let sent = 0;
    const send = (): void => {
      caller.socket.send(message, (error) => {
        sent += message.length;
        if (!error && sent < 512 * 1024 * 1024) send();
      });
    };
    send();
    await eventually(() => ends().length === 1, 15_000);
    expect(sent).toBeLessThan(64 * 1024 * 1024);
    expect(ends()).toMatchObject([{ outcome: 'timed-out' }]);
  });

  it('end where the provider says more in one message than may be held', async () => {
    provider.onUpgrade = accept((socket) => {
      socket.send('x'.repeat(1024 * 1024 + 1));
    });
    const caller = await open();
    expect((await caller.next('error'))['error']).toMatchObject({ code: 'upstream_failed' });
    expect(await caller.closed).toBe(1011);
    expect(ends()).toMatchObject([{ outcome: 'provider-failed' }]);
  });

  it.each([true, false])(
    'bill what was delivered where a cancelled response is not reported, text: %s',
    async (isText) => {
      const usage = { input_tokens: 7, output_tokens: 3 };
      const pieces = isText ? ['output_text', 'output_text'] : ['audio', 'output_audio', 'audio_transcript'];
      const heard: string[] = [];
      provider.onUpgrade = accept((socket) => {
        socket.on('message', (data: Buffer) => heard.push(data.toString()));
        const events = [
          { type: 'response.created', response: { id: 'a' } },
          { type: 'response.done', response: { id: 'a', usage } },
          { type: 'response.created', response: { id: 'b' } },
          ...pieces.map((name) => ({
            type: `response.${name}.delta`,
            response_id: 'b',
            delta: isText || name.includes('transcript') ? 'x' : Buffer.alloc(2_400).toString('base64'),
          })),
          { type: 'response.output_text.delta', response_id: 'another', delta: 'x' },
        ];
        for (const event of events) socket.send(JSON.stringify(event));
      });
      const caller = await open();
      await caller.next('response.output_text.delta');
      await eventually(() => caller.heard.length === pieces.length + 4);
      caller.socket.terminate();
      await eventually(() => ends().length === 3);
      expect(heard).toEqual(['{"type":"response.cancel","response_id":"b"}']);
      const counted = isText ? { output: 2 } : { output: 1, audioOutput: 2 };
      expect(
        ends().find(({ outcome, billedAttempt }) => outcome === 'caller-left' && billedAttempt === 0),
      ).toMatchObject({
        attempts: [{ countedBy: 'estimated', usage: { input: 7, request: 1, ...counted } }],
      });
    },
  );

  it('book each response once, whatever is repeated, mixed or never opened', async () => {
    const usage = { input_tokens: 2, output_tokens: 3 };
    const created = (id: string) => ({ type: 'response.created', response: { id } });
    const done = (id: string) => ({ type: 'response.done', response: { id, status: 'completed', usage } });
    provider.onUpgrade = accept((socket) => {
      for (const event of [created('a'), created('b'), created('a'), done('b'), done('a'), done('c')]) {
        socket.send(JSON.stringify(event));
      }
      socket.send(JSON.stringify(created('d')));
    });
    const caller = await open();
    await eventually(() => caller.heard.length === 7);
    caller.socket.close();
    await caller.closed;
    await eventually(() => ends().length === 5);
    const outcomes = ends().map(({ outcome, billedAttempt }) => [outcome, billedAttempt]);
    expect(outcomes).toEqual([
      ['completed', 0],
      ['completed', 0],
      ['completed', 0],
      ['caller-left', null],
      ['completed', null],
    ]);
  });
});
