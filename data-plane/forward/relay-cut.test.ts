import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { eventually, openRaw } from '../../test/kit/gateway-fixture.js';
import { RelayFixture, UPSTREAM_CLIENTS } from '../../test/kit/relay-fixture.js';

let relay: RelayFixture;

describe.each(UPSTREAM_CLIENTS)('an answer over $client', ({ client, path }) => {
  const isJson = client === 'undici';

  beforeEach(async () => {
    relay = await RelayFixture.open(path);
  });

  afterEach(async () => {
    await relay.close();
  });

  it.each([
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
    ['silence', () => undefined],
    ['a broken chunk', (socket: Socket) => socket.write('zz\r\n')],
    ['a clean close', (socket: Socket) => socket.end()],
  ])('that ends early by %s is never ended cleanly for the caller', async (name, act) => {
    relay.respond((response, request) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"choices":[');
      setTimeout(() => act(request.socket), 30);
    });
    const raw = relay.openCall();
    const received = await raw.closed();
    expect(received).toContain('{"choices":[');
    expect(received).not.toContain('0\r\n\r\n');
    expect(relay.ends).toMatchObject([{ outcome: name === 'silence' ? 'timed-out' : 'provider-failed', status: 200 }]);
    if (isJson) expect(relay.ends[0]?.billedAttempt).toBeNull();
  });

  it('that is shorter than it says is never ended cleanly for the caller', async () => {
    relay.respond((response, request) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"choices":[');
      setTimeout(() => request.socket.end(), 30);
    });
    const received = await relay.openCall().closed();
    expect(received).toContain('content-length: 100');
    expect(received.split('\r\n\r\n')[1]).toBe('{"choices":[');
    expect(relay.ends).toMatchObject([{ outcome: 'provider-failed' }]);
  });

  it.each([
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
    ['silence', () => undefined],
  ])('of events that ends early by %s ends with an error event, and not cleanly', async (_name, act) => {
    relay.respond((response, request) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"cho');
      setTimeout(() => act(request.socket), 30);
    });
    const received = await relay.openCall().closed();
    const text = received
      .slice(received.indexOf('\r\n\r\n') + 4)
      .replace(/^[0-9a-f]+\r\n/gm, '')
      .replaceAll('\r\n', '');
    expect(text).toMatch(
      /"content":"a"\}\}\]\}\n\ndata: \{"error":\{"message":"[^"]+","type":"server_error","param":null,"code":"upstream_(failed|timeout)"\}\}\n\n$/,
    );
    expect(received).not.toContain('0\r\n\r\n');
  });

  describe('whose caller leaves', () => {
    async function leaves(raw: { socket: Socket }, atUpstream = true): Promise<void> {
      const left = performance.now();
      raw.socket.destroy();
      if (atUpstream) await eventually(() => relay.upstream.aborts.length === 1);
      // Long before the call may have been counted.
      expect((relay.upstream.aborts[0] ?? left) - left).toBeLessThan(1_000);
      await relay.settled();
    }

    it('before its start is written does not go out, and is settled', async () => {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      const { spool } = relay.gateway;
      vi.spyOn(spool, 'start').mockImplementation((record) => {
        spool.starts.push({ ...record, ...record.facts.values });
        return promise;
      });
      const raw = relay.openCall();
      await eventually(() => spool.starts.length === 1);
      raw.socket.destroy();
      await new Promise((elapsed) => setTimeout(elapsed, 50));
      resolve(undefined);
      await eventually(() => relay.ends.length === 1);
      expect(relay.ends).toMatchObject([{ outcome: 'caller-left', status: null, billedAttempt: null }]);
      expect(relay.upstream.connections).toBe(0);
    });

    it('takes longer in all than a call may is cut, and is settled', async () => {
      await relay.restart({ UPSTREAM_TOTAL_TIMEOUT_MS: 300 });
      relay.respond((response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        const drip = setInterval(() => response.write('data: {}\n\n'), 50);
        response.on('close', () => {
          clearInterval(drip);
        });
      });
      relay.openCall();
      await relay.settled();
      // Or a caller that takes the last word too late would have all of it for nothing.
      expect(relay.ends).toMatchObject([
        {
          outcome: 'timed-out',
          billedAttempt: 0,
          attempts: [{ countedBy: path.includes('passthrough') ? 'provider' : 'estimated' }],
        },
      ]);
    });

    it('before its head is aborted at once', async () => {
      relay.respond(() => undefined);
      const raw = relay.openCall();
      await eventually(() => relay.upstream.requests.length === 1);
      await leaves(raw);
      expect(relay.ends).toMatchObject([{ outcome: 'caller-left', status: null, billedAttempt: null }]);
    });

    it('in the middle of its body is aborted at once', async () => {
      relay.respond((response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"choices":');
      });
      const raw = relay.openCall();
      await eventually(() => raw.received().includes('choices'));
      await leaves(raw);
      expect(relay.ends).toMatchObject([{ outcome: 'caller-left', status: 200 }]);
    });

    it('in the middle of its events is aborted at once', async () => {
      relay.respond((response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: {"choices":[{}]}\n\n');
      });
      const raw = relay.openCall();
      await eventually(() => raw.received().includes('choices'));
      await leaves(raw);
      expect(relay.ends).toMatchObject([{ outcome: 'caller-left', status: 200, streamed: true }]);
    });

    it('half, by closing its side only, is aborted too', async () => {
      relay.respond(() => undefined);
      const raw = relay.openCall();
      await eventually(() => relay.upstream.requests.length === 1);
      raw.socket.end();
      await eventually(() => relay.ends.length === 1 && relay.upstream.aborts.length === 1);
      expect(relay.ends).toMatchObject([{ outcome: 'caller-left' }]);
    });

    it('while it still sends is no call at all', async () => {
      const raw = openRaw(relay.gateway.port, relay.requestText(['content-length: 99'], '{'));
      await new Promise((resolve) => setTimeout(resolve, 50));
      raw.socket.destroy();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(relay.gateway.spool.starts).toHaveLength(0);
      expect(relay.upstream.connections).toBe(0);
    });

    it('at any moment whatever is settled once', async () => {
      relay.respond((response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"choices":[],');
        setTimeout(() => response.end('"usage":{"prompt_tokens":1}}'), 3);
      });
      for (let delayMs = 0; delayMs < 12; delayMs += 1) {
        const raw = relay.openCall();
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        raw.socket.destroy();
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
      await eventually(() => relay.gateway.spool.starts.length === relay.ends.length);
    });
  });

  it('whose caller does not read makes the provider wait and our memory stay', async () => {
    let written = 0;
    relay.respond((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const piece = Buffer.alloc(1024 * 1024, ' ');
      const write = (): void => {
        if (written >= 200 * piece.length) return void response.end('{}');
        written += piece.length;
        if (response.write(piece)) setImmediate(write);
        else response.once('drain', write);
      };
      write();
    });
    await relay.restart({ IDLE_TIMEOUT_MS: 3_000 });
    const before = process.memoryUsage().rss;
    const answer = await new Promise<IncomingMessage>((resolve) => {
      const init = { method: 'POST', headers: relay.headers() };
      httpRequest(relay.gateway.url + path, init, resolve).end(relay.body);
    });
    answer.pause();
    await new Promise((resolve) => setTimeout(resolve, 700));
    const stalledAt = written;
    expect(stalledAt).toBeLessThan(40 * 1024 * 1024);
    expect(process.memoryUsage().rss - before).toBeLessThan(80 * 1024 * 1024);
    let read = 0;
    answer.resume();
    answer.on('data', (chunk: Buffer) => {
      read += chunk.length;
    });
    await once(answer, 'end');
    expect(read).toBe(200 * 1024 * 1024 + 2);
    await relay.settled();
    expect(relay.ends).toMatchObject([{ outcome: 'completed' }]);
    // A busy machine moves 200 MB slowly.
  }, 90_000);

  it('whose caller never reads is given up', async () => {
    relay.respond((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const write = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, ' ')));
        if (!response.destroyed) response.once('drain', write);
      };
      write();
    });
    const raw = relay.openCall();
    raw.socket.pause();
    await relay.settled();
    expect(relay.ends).toMatchObject([{ outcome: 'caller-left', status: 200 }]);
    raw.socket.destroy();
  });

  it('with garbage pipelined behind its request is not mixed with an error', async () => {
    relay.respond((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"choices":[');
      setTimeout(() => response.end(']}'), 100);
    });
    const raw = relay.openCall();
    await eventually(() => raw.received().includes('choices'));
    raw.socket.write('\u0000garbage\r\n\r\n');
    const received = await raw.closed();
    expect(received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    await relay.settled();
    expect(relay.ends).toMatchObject([{ outcome: 'caller-left' }]);
  });

  it('to each of two pipelined requests comes in order, and both are settled when the caller leaves', async () => {
    let answered = 0;
    relay.respond((response) => {
      const turn = ++answered;
      if (turn <= 2)
        setTimeout(() => response.end(`{"turn":${turn},"usage":{"prompt_tokens":1}}`), turn === 1 ? 60 : 1);
    });
    const text = relay.requestText();
    const raw = openRaw(relay.gateway.port, text + text);
    await eventually(() => raw.received().includes('"turn":2'));
    expect(raw.received().indexOf('"turn":1')).toBeLessThan(raw.received().indexOf('"turn":2'));
    raw.socket.write(text + text);
    await eventually(() => relay.gateway.gateway.openCalls() === 2);
    raw.socket.destroy();
    await eventually(() => relay.ends.length === 4);
    expect(relay.ends.map(({ outcome }) => outcome)).toEqual(['completed', 'completed', 'caller-left', 'caller-left']);
  });
});
