import type { CallerResponse } from '../http-error.js';

/**
 * Comments for streams that are silent for long: a load balancer or a browser on the way takes a connection on which nothing
 * comes for a dead one. Clients skip comments. https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
 */
export const KEEP_ALIVE_COMMENT = ': keep-alive\n\n';

/** A stream whose head has gone out. */
export interface WatchedStream {
  readonly response: Pick<CallerResponse, 'write' | 'writableEnded' | 'writableNeedDrain' | 'destroyed'>;
  /** The caller has the beginning of an event whose end it does not have: a comment would break that event. */
  readonly isInsideEvent: () => boolean;
}

export interface StreamWatch {
  /** Something was written; called for every piece, so it costs one assignment. */
  noteWritten(): void;
  /** The stream is over. Nothing is written from here on. */
  stop(): void;
}

export interface KeepAliveComments {
  watch(stream: WatchedStream): StreamWatch;
  /** At the end of the process: stops the timer. */
  close(): void;
}

/** A comment goes out between one interval and one tick more after the last write. */
const TICKS_AN_INTERVAL = 16;

interface Watched {
  readonly stream: WatchedStream;
  lastWrittenAt: number;
  /** Where in the wheel it is; undefined when it is over. */
  slot: Set<Watched> | undefined;
}

/**
 * One timer for all streams, a wheel of slots: a stream is looked at in the slot where its silence would be too long, and if
 * it was not silent it is put into a later one. So a piece of a stream sets no timer, and a tick looks at few streams.
 */
export function createKeepAliveComments({ intervalMs }: { readonly intervalMs: number }): KeepAliveComments {
  const slots = Array.from({ length: TICKS_AN_INTERVAL + 1 }, () => new Set<Watched>());
  let now = 0;
  let watchedCount = 0;
  let timer: NodeJS.Timeout | undefined;

  function place(watched: Watched, atTick: number): void {
    watched.slot = slots[atTick % slots.length];
    watched.slot?.add(watched);
  }

  function tick(): void {
    now += 1;
    const due = slots[now % slots.length] ?? new Set<Watched>();
    for (const watched of [...due]) {
      due.delete(watched);
      if (now - watched.lastWrittenAt >= TICKS_AN_INTERVAL) comment(watched);
      place(watched, watched.lastWrittenAt + TICKS_AN_INTERVAL);
    }
  }

  /** Where it cannot be written now, it is tried again an interval later: then there is no silence, or nobody who reads. */
  function comment(watched: Watched): void {
    const { response, isInsideEvent } = watched.stream;
    watched.lastWrittenAt = now;
    if (response.destroyed || response.writableEnded || response.writableNeedDrain || isInsideEvent()) return;
    response.write(KEEP_ALIVE_COMMENT);
  }

  function stopTimer(): void {
    clearInterval(timer);
    timer = undefined;
  }

  return {
    watch: (stream) => {
      // What is written between two ticks counts as written at the next, so that no comment comes too early.
      const watched: Watched = { stream, lastWrittenAt: now + 1, slot: undefined };
      place(watched, watched.lastWrittenAt + TICKS_AN_INTERVAL);
      watchedCount += 1;
      timer ??= setInterval(tick, Math.max(1, intervalMs / TICKS_AN_INTERVAL)).unref();
      return {
        noteWritten: () => {
          watched.lastWrittenAt = now + 1;
        },
        stop: () => {
          if (watched.slot === undefined) return;
          watched.slot.delete(watched);
          watched.slot = undefined;
          watchedCount -= 1;
          if (watchedCount === 0) stopTimer();
        },
      };
    },
    close: stopTimer,
  };
}
