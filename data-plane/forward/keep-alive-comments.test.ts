import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createParser } from 'eventsource-parser';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKeepAliveComments, KEEP_ALIVE_COMMENT, type KeepAliveComments } from './keep-alive-comments.js';

const INTERVAL_MS = 16_000;
const TICK_MS = 1_000;

/** What a response takes of what is written to it. */
class Written {
  readonly pieces: string[] = [];
  writableEnded = false;
  writableNeedDrain = false;
  destroyed = false;
  isInsideEvent = false;

  readonly write = (piece: string): boolean => {
    if (this.writableEnded) throw new Error('write after end');
    this.pieces.push(piece);
    return true;
  };

  watchedBy(comments: KeepAliveComments) {
    return comments.watch({
      response: this,
      isInsideEvent: () => this.isInsideEvent,
    });
  }
}

let comments: KeepAliveComments;
beforeEach(() => {
  vi.useFakeTimers();
  comments = createKeepAliveComments({ intervalMs: INTERVAL_MS });
});
afterEach(() => {
  comments.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('a silent stream', () => {
  it('gets a comment after each interval, never earlier and at most a tick later', () => {
    for (let offsetMs = 0; offsetMs < 3 * TICK_MS; offsetMs += 130) {
      const other = new Written().watchedBy(comments);
      vi.advanceTimersByTime(offsetMs);
      const written = new Written();
      const watch = written.watchedBy(comments);
      vi.advanceTimersByTime(INTERVAL_MS - 1);
      expect(written.pieces).toEqual([]);
      vi.advanceTimersByTime(TICK_MS + 1);
      expect(written.pieces).toEqual([KEEP_ALIVE_COMMENT]);
      vi.advanceTimersByTime(3 * INTERVAL_MS);
      expect(written.pieces).toHaveLength(4);
      watch.stop();
      other.stop();
    }
  });

  it('gets none while it is not silent, and one when it becomes so', () => {
    const written = new Written();
    const watch = written.watchedBy(comments);
    for (let round = 0; round < 200; round += 1) {
      vi.advanceTimersByTime(INTERVAL_MS / 7);
      watch.noteWritten();
    }
    expect(written.pieces).toEqual([]);
    vi.advanceTimersByTime(INTERVAL_MS - 1);
    expect(written.pieces).toEqual([]);
    vi.advanceTimersByTime(TICK_MS + 1);
    expect(written.pieces).toHaveLength(1);
    watch.stop();
  });

  it.each(['isInsideEvent', 'writableNeedDrain', 'destroyed', 'writableEnded'] as const)(
    'gets none while it must not be written to: %s',
    (state) => {
      const written = new Written();
      const watch = written.watchedBy(comments);
      written[state] = true;
      vi.advanceTimersByTime(5 * INTERVAL_MS);
      expect(written.pieces).toEqual([]);
      written[state] = false;
      vi.advanceTimersByTime(INTERVAL_MS + TICK_MS);
      expect(written.pieces.length).toBeGreaterThan(0);
      watch.stop();
    },
  );

  it('gets none after its end, which may be told twice', () => {
    const written = new Written();
    const watch = written.watchedBy(comments);
    vi.advanceTimersByTime(INTERVAL_MS - TICK_MS);
    watch.stop();
    watch.noteWritten();
    watch.stop();
    vi.advanceTimersByTime(5 * INTERVAL_MS);
    expect(written.pieces).toEqual([]);
  });
});

describe('many streams', () => {
  it('share one timer, and none is left when the last is over', () => {
    const watches = Array.from({ length: 1_000 }, () => new Written().watchedBy(comments));
    expect(vi.getTimerCount()).toBe(1);
    for (const watch of watches) watch.stop();
    expect(vi.getTimerCount()).toBe(0);
    const again = new Written();
    const watch = again.watchedBy(comments);
    vi.advanceTimersByTime(INTERVAL_MS + TICK_MS);
    expect(again.pieces).toHaveLength(1);
    watch.stop();
  });

  it('get theirs each by its own silence', () => {
    const streams = Array.from({ length: 60 }, () => {
      const written = new Written();
      const watch = written.watchedBy(comments);
      vi.advanceTimersByTime(TICK_MS / 2);
      return { written, watch };
    });
    vi.advanceTimersByTime(INTERVAL_MS * 4);
    for (const { written, watch } of streams) {
      expect(written.pieces.length).toBeGreaterThanOrEqual(4);
      expect(written.pieces.length).toBeLessThanOrEqual(5);
      watch.stop();
    }
  });
});

describe('a client', () => {
  it('reads the same events with comments between them as without', async () => {
    vi.useRealTimers();
    const real = createKeepAliveComments({ intervalMs: 30 });
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      const watch = real.watch({ response, isInsideEvent: () => false });
      setTimeout(() => {
        response.write('data: 1\n\n');
        watch.noteWritten();
      }, 100);
      setTimeout(() => {
        watch.stop();
        response.end('data: 2\n\n');
      }, 200);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const text = await new Promise<string>((resolve) => {
      httpRequest({ port, host: '127.0.0.1' }, (answer) => {
        let received = '';
        answer.on('data', (chunk: Buffer) => (received += chunk.toString()));
        answer.on('end', () => {
          resolve(received);
        });
      }).end();
    });
    server.close();
    expect(text.split(KEEP_ALIVE_COMMENT).length).toBeGreaterThan(3);
    const events: string[] = [];
    createParser({ onEvent: ({ data }) => events.push(data) }).feed(text);
    expect(events).toEqual(['1', '2']);
    vi.useFakeTimers();
  });
});
