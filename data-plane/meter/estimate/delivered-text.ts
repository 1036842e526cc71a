import { StringDecoder } from 'node:string_decoder';
import { createParser, type EventSourceParser } from 'eventsource-parser';
import { parseJson } from '@pingtoken/shared/wire';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { isErrorReport } from '../../dialects/error-report.js';
import { readAnthropicOutput } from './anthropic-output.js';
import { readGeminiOutput } from './gemini-output.js';
import { readOpenAiOutput } from './openai-output.js';
import type { OutputSink } from './output-text.js';
import { completeJson } from './partial-json.js';
import { TextTally } from './text-tally.js';

/** A longer event, an image's say, is passed over. */
const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024;

/** A body that is no stream is read as far as this: more than any model writes in one answer; behind it are images. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** Many streams are open at once, and each may have to be kept: a model writes less than this in nearly every answer. */
const EXACT_CHARACTERS = 256 * 1024;

const READERS: Readonly<Record<Dialect, (value: unknown, sink: OutputSink) => void>> = {
  openai: readOpenAiOutput,
  anthropic: readAnthropicOutput,
  gemini: readGeminiOutput,
};

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const LAST_SPACE = 0x20;

/**
 * What a provider's bytes say, however they are cut: as server-sent events, or as one JSON body that may have broken off.
 * Which of them it is shows in the first byte, for no event stream begins with a bracket.
 */
export class DeliveredText {
  readonly output = new TextTally(EXACT_CHARACTERS);
  readonly reasoning = new TextTally(EXACT_CHARACTERS);
  #images = 0;
  #answers = 0;
  readonly #read: (value: unknown) => void;
  readonly #decoder = new StringDecoder('utf8');
  #events: EventSourceParser | undefined;
  #body: Uint8Array[] | undefined;
  #bodyBytes = 0;

  constructor(dialect: Dialect) {
    const reader = READERS[dialect];
    const sink: OutputSink = {
      text: (channel, text) => {
        if (typeof text === 'string') this.output.add(channel, text);
      },
      reasoning: (channel, text) => {
        if (typeof text === 'string') this.reasoning.add(channel, text);
      },
      image: () => {
        this.#images += 1;
      },
    };
    this.#read = (value) => {
      if (typeof value !== 'object' || value === null || isErrorReport(value)) return;
      this.#answers += 1;
      reader(value, sink);
    };
  }

  get images(): number {
    return this.#images;
  }

  /** Something of an answer came: more than comments, events that say nothing, and an error. */
  get isAnswer(): boolean {
    return this.#answers > 0;
  }

  push(bytes: Uint8Array): void {
    if (this.#body === undefined && this.#events === undefined && !this.#begin(bytes)) return;
    if (this.#body !== undefined) this.#keep(bytes);
    else if (this.#events !== undefined) this.#feed(this.#events, this.#decoder.write(bytes));
  }

  /** Nothing more comes. Events that were not finished were not delivered; a body is read as far as it goes. */
  end(): void {
    if (this.#body === undefined) return;
    const text = Buffer.concat(this.#body).toString();
    this.#body = [];
    this.#parse(completeJson(text));
  }

  /** @returns whether it is known by now what this is; white space says nothing */
  #begin(bytes: Uint8Array): boolean {
    const first = bytes.find((byte) => byte > LAST_SPACE);
    if (first === undefined) return false;
    if (first === OPEN_BRACE || first === OPEN_BRACKET) this.#body = [];
    else {
      this.#events = createParser({
        maxBufferSize: MAX_EVENT_CHARACTERS,
        onEvent: ({ data }) => {
          this.#parse(data);
        },
      });
    }
    return true;
  }

  #keep(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, MAX_BODY_BYTES - this.#bodyBytes);
    if (kept.length === 0) return;
    this.#bodyBytes += kept.length;
    this.#body?.push(kept);
  }

  #feed(events: EventSourceParser, text: string): void {
    try {
      events.feed(text);
    } catch {
      // Too long an event. The rest of it is a line without a field's name, which means nothing.
      events.reset();
    }
  }

  #parse(text: string): void {
    let value: unknown;
    try {
      value = parseJson(text);
    } catch {
      // `[DONE]`, or none of ours.
      return;
    }
    this.#read(value);
  }
}
