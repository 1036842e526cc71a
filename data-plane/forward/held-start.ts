import { createParser } from 'eventsource-parser';
import { isOpeningEvent } from '../dialects/opening-event.js';

/** What an answer begins with, in the caller's words. */
export interface StartHead {
  readonly status: number;
  readonly headers: readonly string[];
  readonly isStream: boolean;
}

/** Openings are short: what is longer is no opening, whatever it says. */
const MAX_HELD_BYTES = 64 * 1024;

/**
 * The beginning of an answer that the caller has not been given: its head, and of a stream the events that only say that it
 * begins. As long as they are here, another provider can still take over, and its answer begins with its own.
 */
export class HeldStart {
  readonly head: StartHead;
  readonly #pieces: (Buffer | string)[] = [];
  readonly #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  /**
   * @param maxHoldMs of a stream: a connection on which nothing comes for so long is taken for a dead one somewhere on its
   *   way, so the caller gets what there is, and comments from then on; no other provider can take over any more
   */
  constructor(head: StartHead, maxHoldMs: number, onLong: () => void) {
    this.head = head;
    if (head.isStream) this.#timer = setTimeout(onLong, maxHoldMs);
  }

  /**
   * @param piece whole events; anything else is worth sending
   * @returns whether it is worth sending, and so is all that was held
   */
  push(piece: Buffer | string): boolean {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    return !this.head.isStream || this.#bytes > MAX_HELD_BYTES || !isOpening(piece.toString());
  }

  /** @returns what was held, in order */
  release(): readonly (Buffer | string)[] {
    clearTimeout(this.#timer);
    return this.#pieces;
  }
}

const EVENT_END = /(?:\r\n|\n|\r)(?:\r\n|\n|\r)$/;

function isOpening(piece: string): boolean {
  if (!EVENT_END.test(piece)) return false;
  let isOnlyOpening = true;
  const parser = createParser({
    onEvent: ({ data }) => {
      isOnlyOpening &&= isOpeningEvent(data);
    },
  });
  parser.feed(piece);
  return isOnlyOpening;
}
