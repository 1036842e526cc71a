import type { Usage } from '@pingtoken/shared/rate-card';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { DeliveredText } from './delivered-text.js';
import type { CountMessage, HeldByThread } from './messages.js';
import { GENERATED_IMAGE_TOKENS } from './prompt-media.js';
import { readPrompt, type Prompt } from './prompt-text.js';
import type { CountTokens } from './text-tally.js';

/**
 * Bytes of streams that are kept unread, of all calls together: nearly every call ends with its provider's own number, and
 * then reading them would have been in vain. Beyond this they are read down to their text, about a fiftieth.
 */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

interface HeldCall {
  readonly text: DeliveredText;
  unread: Uint8Array[];
  unreadBytes: number;
  prompt: Uint8Array[];
}

/** Calls of which the thread has something. */
export class HeldCalls {
  readonly #calls = new Map<number, HeldCall>();
  #unreadBytes = 0;

  inspect(): HeldByThread {
    return { calls: this.#calls.size, bytes: this.#unreadBytes };
  }

  has(call: number): boolean {
    return this.#calls.has(call);
  }

  deliver(call: number, dialect: Dialect, bytes: Uint8Array): void {
    const held = this.#open(call, dialect);
    held.unread.push(bytes);
    held.unreadBytes += bytes.length;
    this.#unreadBytes += bytes.length;
    if (this.#unreadBytes > MAX_UNREAD_BYTES) for (const each of this.#calls.values()) this.#read(each);
  }

  addPrompt(call: number, dialect: Dialect, bytes: Uint8Array): void {
    this.#open(call, dialect).prompt.push(bytes);
  }

  discard(call: number): void {
    const held = this.#calls.get(call);
    if (held === undefined) return;
    this.#unreadBytes -= held.unreadBytes;
    this.#calls.delete(call);
  }

  /**
   * Counts a call and forgets it; gives way after each small piece.
   * @returns undefined when nothing of an answer was delivered, unless the prompt alone is asked for
   */
  *count(
    { call, dialect, extrapolateFrom, promptOnly }: CountMessage,
    countTokens: CountTokens,
  ): Generator<void, Usage | undefined> {
    const held = this.#open(call, dialect);
    this.#read(held);
    held.text.end();
    const { text } = held;
    if (!text.isAnswer && !promptOnly) return undefined;
    const isLate = (): boolean => Date.now() >= extrapolateFrom;
    const prompt = takePrompt(held, dialect);
    yield;
    const output = yield* text.output.count(countTokens, isLate);
    const reasoning = yield* text.reasoning.count(countTokens, isLate);
    const input = prompt === undefined ? 0 : yield* prompt.text.count(countTokens, isLate);
    return {
      input: input + (prompt?.inputTokens ?? 0),
      output: output + text.images * GENERATED_IMAGE_TOKENS,
      ...(reasoning > 0 && { reasoning }),
      ...(prompt !== undefined && prompt.audioTokens > 0 && { audioInput: prompt.audioTokens }),
      request: 1,
    };
  }

  #open(call: number, dialect: Dialect): HeldCall {
    let held = this.#calls.get(call);
    if (held === undefined) {
      held = { text: new DeliveredText(dialect), unread: [], unreadBytes: 0, prompt: [] };
      this.#calls.set(call, held);
    }
    return held;
  }

  #read(held: HeldCall): void {
    for (const bytes of held.unread) held.text.push(bytes);
    this.#unreadBytes -= held.unreadBytes;
    held.unread = [];
    held.unreadBytes = 0;
  }
}

function takePrompt(held: HeldCall, dialect: Dialect): Prompt | undefined {
  if (held.prompt.length === 0) return undefined;
  const body = Buffer.concat(held.prompt);
  held.prompt = [];
  return readPrompt(body, dialect);
}
