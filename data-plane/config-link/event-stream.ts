import type { Readable } from 'node:stream';
import { createParser, type EventSourceMessage } from 'eventsource-parser';

export interface ReadEventStreamOptions {
  readonly body: Readable;
  /** Called for each piece that arrives, comments included. */
  readonly onSignOfLife: () => void;
  /** Awaited before more is read: a stream that is faster than we are is slowed down, not buffered. */
  readonly onEvent: (event: EventSourceMessage) => Promise<void>;
}

/** A change that needs more than this is too much for an event; the control plane answers it with a `resync`. */
const MAX_EVENT_CHARACTERS = 16 * 1024 * 1024;

/** An event was larger than this process is ready to hold. */
export class EventTooLargeError extends Error {
  override readonly name = 'EventTooLargeError';
}

/**
 * Reads server-sent events until the stream ends.
 * @throws EventTooLargeError, or the stream's own error when it breaks off
 */
export async function readEventStream({ body, onSignOfLife, onEvent }: ReadEventStreamOptions): Promise<void> {
  const events: EventSourceMessage[] = [];
  const parser = createParser({
    maxBufferSize: MAX_EVENT_CHARACTERS,
    onEvent: (event) => {
      events.push(event);
    },
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') throw new EventTooLargeError(error.message);
    },
  });
  // A character may be split between two pieces; the stream's own decoder puts it together.
  body.setEncoding('utf8');
  for await (const piece of body) {
    onSignOfLife();
    parser.feed(piece as string);
    for (let event = events.shift(); event !== undefined; event = events.shift()) await onEvent(event);
  }
}
