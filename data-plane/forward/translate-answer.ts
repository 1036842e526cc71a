import { createParser, type EventSourceParser } from 'eventsource-parser';
import type { ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import type { ChatEvent, ChatStreamReader, ChatStreamWriter } from '../dialects/chat/chat.js';
import { parseJsonExactly, stringifyExactly } from '../dialects/chat/json.js';
import { readServiceTier } from '../dialects/service-tier.js';
import type { AnswerConversion, ConvertedAnswer, Translation } from './prepared-call.js';

/** A whole answer longer than this is not held to be translated. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** Collects a whole answer, for it can be read only when all of it is there. */
export class AnswerTranslator {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #serviceTier: ServiceTier | undefined;

  constructor(
    private readonly translation: Translation | AnswerConversion,
    /** What the caller called it. */
    private readonly model: string,
  ) {}

  /** @returns false when the answer is longer than any that is translated */
  push(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_ANSWER_BYTES) return false;
    this.#chunks.push(chunk);
    return true;
  }

  /** Of an answer that has been read. */
  get serviceTier(): ServiceTier | undefined {
    return this.#serviceTier;
  }

  /** @returns undefined when the body is no answer of the provider's dialect */
  end(): ConvertedAnswer | undefined {
    if ('convertAnswer' in this.translation) return this.translation.convertAnswer(this.body());
    const { provider, caller } = this.translation;
    const body = parse(this.body());
    this.#serviceTier = readServiceTier(body);
    const answer = provider.readAnswer(body);
    if (answer === undefined) return undefined;
    return { json: stringifyExactly(caller.writeAnswer(answer, this.model)), usage: answer.usage };
  }

  /** Of an answer that nobody waits for any more: what it says was used, where it came whole. */
  usage(): Usage | undefined {
    if ('convertAnswer' in this.translation) return this.end()?.usage;
    return this.translation.provider.readUsage(parse(this.body()));
  }

  /** As the provider wrote it, as far as it came. */
  body(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

function parse(body: Buffer | string): unknown {
  try {
    return parseJsonExactly(body.toString());
  } catch {
    return undefined;
  }
}

/** One event of a provider's is never longer: what claims to be would be held in memory for ever. */
/** Events that are asked for their service tier. */
const TIER_LOOKS = 4;
const TIER_MARK = /"service_?[Tt]ier"/;

const MAX_EVENT_CHARACTERS = 32 * 1024 * 1024;

export interface StreamTranslatorOptions {
  /** What the caller called it. */
  readonly model: string;
  /** @param ofPromptOnly the report came before the answer */
  readonly onUsage: (usage: Usage, ofPromptOnly: boolean) => void;
  readonly onServiceTier: (tier: ServiceTier) => void;
  /** Takes out of the provider's words what the caller may not read. */
  readonly cleanText: (text: string) => string;
}

/** Translates a stream of events as it comes; they may be split at any byte. */
export class StreamTranslator {
  readonly #decoder = new TextDecoder();
  readonly #parser: EventSourceParser;
  readonly #reader: ChatStreamReader;
  readonly #writer: ChatStreamWriter;
  #text = '';
  #sawError = false;
  #errorData = '';
  #tierLooks = TIER_LOOKS;
  #sinceEvent = 0;

  constructor(
    { provider, caller, request }: Translation,
    { model, onUsage, onServiceTier, cleanText }: StreamTranslatorOptions,
  ) {
    this.#reader = provider.createStreamReader();
    this.#writer = caller.createStreamWriter({ model, wantsUsage: request.wantsStreamUsage });
    const take = (event: ChatEvent): void => {
      if (event.kind === 'usage') onUsage(event.usage, event.ofPromptOnly === true);
      if (event.kind !== 'error') this.#text += this.#writer.push(event);
      else {
        this.#sawError = true;
        const { code, message } = event.error;
        this.#text += this.#writer.push({ kind: 'error', error: { code, message: cleanText(message) } });
      }
    };
    this.#parser = createParser({
      onEvent: ({ event, data }) => {
        this.#sinceEvent = 0;
        if (this.#tierLooks > 0 && TIER_MARK.test(data)) {
          const tier = readServiceTier(parse(data));
          this.#tierLooks = tier === undefined ? this.#tierLooks - 1 : 0;
          if (tier !== undefined) onServiceTier(tier);
        }
        for (const each of this.#reader.push({ event, data })) {
          if (each.kind === 'error') this.#errorData = data;
          take(each);
        }
      },
    });
  }

  /** The provider reported an error inside the stream, and the caller was told. */
  get sawError(): boolean {
    return this.#sawError;
  }

  /** As the provider wrote it last; empty where it has reported none. */
  get errorData(): string {
    return this.#errorData;
  }

  /**
   * @returns whole events for the caller, or an empty text
   * @throws RangeError when an event has no end
   */
  push(chunk: Buffer): string {
    this.#sinceEvent += chunk.length;
    if (this.#sinceEvent > MAX_EVENT_CHARACTERS) throw new RangeError('an event of the provider has no end');
    this.#parser.feed(this.#decoder.decode(chunk, { stream: true }));
    return this.#take();
  }

  /** @returns what closes the stream; undefined when the provider broke it off */
  end(): string | undefined {
    this.#parser.feed(`${this.#decoder.decode()}\n\n`);
    if (this.#sawError) return this.#take();
    if (!this.#reader.end()) return undefined;
    return this.#take() + this.#writer.end();
  }

  #take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }
}
