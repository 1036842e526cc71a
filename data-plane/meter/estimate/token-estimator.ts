import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Usage } from '@pingtoken/shared/rate-card';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { ByteBudget } from './byte-budget.js';
import { MAX_BODY_BYTES } from './delivered-text.js';
import type { HeldByThread } from './messages.js';
import { ThreadLink } from './thread-link.js';

/**
 * Counts what a provider did not report, for a call that was broken off after something of its answer was delivered.
 *
 * One tokenizer, o200k_base, stands for all models: exact for OpenAI's, near for others. Counted are the texts of the
 * request (system, messages, tools, schemas), with four tokens for each message and three for the answer's beginning;
 * pictures, sounds and files by a flat rule; and the texts that were delivered: answer, refusals, names and arguments of
 * tool calls as `output`, reasoning as `reasoning`. Of a prompt the first 1,048,576 characters are tokenised, of an answer
 * 262,144, and the rest is extrapolated from them; so is what is not tokenised in time.
 *
 * What a request only refers to (a stored response, a file, a picture by its address) is not fetched to be counted.
 */
export interface TokenEstimator {
  open(call: EstimatedCall): DeliveredCounter;
  /**
   * Counts a prompt for which nothing was answered.
   * @returns undefined at a fault or when it takes too long. Never rejects.
   */
  countPrompt(prompt: Pick<EstimatedCall, 'dialect' | 'requestBody'>): Promise<PromptUsage | undefined>;
  /** What the thread holds of calls that are not over. */
  inspect(): Promise<HeldByThread>;
  /** Ends the thread. What it had is lost, a call that is being counted gets no result; a later one starts it again. */
  close(): Promise<void>;
}

/** Operations whose prompt is in the request and whose answer is text or nothing that is counted. */
const ESTIMATED_OPERATIONS = ['chat-completions', 'completions', 'responses', 'embeddings'] as const;
export type EstimatedOperation = (typeof ESTIMATED_OPERATIONS)[number];

/** @returns whether a call of this operation can be counted locally; of others nothing is billed but what was reported */
export function isEstimatedOperation(operation: string): operation is EstimatedOperation {
  return (ESTIMATED_OPERATIONS as readonly string[]).includes(operation);
}

export interface EstimatedCall {
  /** The dialect that the provider speaks: of the body that it got, and of its answer. */
  readonly dialect: Dialect;
  readonly operation: EstimatedOperation;
  /** As the provider got it. Kept until the call is over. */
  readonly requestBody: Buffer;
  /** Whether the answer comes as events; of one that does not only the first mebibyte is looked at. */
  readonly isStream?: boolean;
}

/** Tokens of the prompt, for a vendor that reports them at the beginning of its stream. */
export type PromptUsage = Pick<Usage, 'input' | 'cacheRead' | 'cacheWrite5m' | 'cacheWrite1h' | 'audioInput'>;

export interface DeliveredCounter {
  /** Bytes of the provider's answer that were passed on to the caller, before any translation. They are not copied. */
  push(chunk: Buffer): void;
  /** The usual end: the provider reported. Frees everything; later calls do nothing. */
  discard(): void;
  /**
   * Ends the call and counts it.
   * @param reportedPrompt where the provider has told these already, only the answer is counted
   * @returns undefined where nothing of an answer was delivered, at a fault or when it takes too long: nothing is billed
   *   then. Never rejects.
   */
  result(reportedPrompt?: PromptUsage): Promise<Usage | undefined>;
}

export interface TokenEstimatorOptions {
  readonly logger: Logger;
  /** The longest that a result takes, once the tokenizer is loaded. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 5000;

/**
 * The longest that a result waits for the tokenizer, which is loaded for the first: half a second of computing, and many times
 * that while a process starts on a busy machine, when what was delivered would go unbilled if it counted as counting.
 */
const LOAD_TIMEOUT_MS = 30_000;

/** Part of the time-out after which the rest is extrapolated. */
const EXACT_SHARE = 0.7;

/** Bytes of one call that are held here; more are handed to the thread. */
const MAX_HELD_BYTES = 64 * 1024;

/** A request goes to the thread in pieces of this size, a turn of the event loop each: copying 32 MB takes long. */
const PROMPT_PIECE_BYTES = 256 * 1024;

/** Requests that are with the thread at once, for it has a copy of each. */
const MAX_PROMPT_BYTES = 64 * 1024 * 1024;

/** The thread and its tokenizer are started by the first call that needs them; opening and pushing cost next to nothing. */
export function createTokenEstimator({
  logger,
  timeoutMs = DEFAULT_TIMEOUT_MS,
}: TokenEstimatorOptions): TokenEstimator {
  const link = new ThreadLink(logger);
  const shared: Shared = { link, budget: new ByteBudget(MAX_PROMPT_BYTES), timeoutMs, logger, lastCall: 0 };
  return {
    open: (call) => new HeldAnswer(call, shared),
    countPrompt: async (prompt) => {
      const call: EstimatedCall = { ...prompt, operation: 'chat-completions' };
      const usage = await new HeldAnswer(call, shared, true).result();
      if (usage === undefined) return undefined;
      const { input = 0, audioInput = 0 } = usage;
      return { input, ...(audioInput > 0 && { audioInput }) };
    },
    inspect: () => link.inspect(),
    close: () => link.close(),
  };
}

/** @returns undefined when it takes longer */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, undefined);
  });
  try {
    return await Promise.race([work, timedOut]);
  } finally {
    clearTimeout(timer);
  }
}

interface Shared {
  readonly link: ThreadLink;
  readonly budget: ByteBudget;
  readonly timeoutMs: number;
  readonly logger: Logger;
  lastCall: number;
}

class HeldAnswer implements DeliveredCounter {
  readonly #call: EstimatedCall;
  readonly #shared: Shared;
  readonly #keepsFirstOnly: boolean;
  /** How much of the answer is still to be kept. */
  #bytesLeft: number;
  readonly #promptOnly: boolean;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isOver = false;
  #isLost = false;
  /** The call's number in the thread, and which thread that was; zero as long as it has nothing there. */
  #number = 0;
  #generation = 0;

  constructor(call: EstimatedCall, shared: Shared, promptOnly = false) {
    this.#call = call;
    this.#promptOnly = promptOnly;
    this.#shared = shared;
    // Vectors are no text: that they have begun is all there is to know.
    this.#keepsFirstOnly = call.operation === 'embeddings';
    this.#bytesLeft = call.isStream === false ? MAX_BODY_BYTES : Infinity;
  }

  push(chunk: Buffer): void {
    if (this.#isOver || this.#isLost || chunk.length === 0 || this.#bytesLeft <= 0) return;
    this.#bytesLeft -= chunk.length;
    if (this.#keepsFirstOnly && this.#heldBytes > 0) return;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes > MAX_HELD_BYTES && !this.#keepsFirstOnly) this.#handOver();
  }

  discard(): void {
    this.#isOver = true;
    this.#drop();
  }

  async result(reportedPrompt?: PromptUsage): Promise<Usage | undefined> {
    if (this.#isOver) return undefined;
    this.#isOver = true;
    if (this.#heldBytes === 0 && this.#number === 0 && !this.#promptOnly) return undefined;
    try {
      // Who asks for the prompt's count alone waits for it.
      if (!this.#promptOnly) await this.#whenReady();
      const { timeoutMs } = this.#shared;
      const usage = await within(timeoutMs, this.#count(Date.now() + timeoutMs, reportedPrompt === undefined));
      if (usage === undefined || reportedPrompt === undefined) return usage;
      return { ...usage, ...reportedPrompt };
    } catch (error) {
      this.#shared.logger.error({ error: String(error) }, 'tokens-not-estimated');
      return undefined;
    } finally {
      this.#drop();
    }
  }

  async #whenReady(): Promise<void> {
    const { link } = this.#shared;
    const isLost = this.#isLost || (this.#number !== 0 && !this.#isInThread());
    if (!isLost && link.ensureRunning()) await within(LOAD_TIMEOUT_MS, link.whenReady());
  }

  async #count(deadline: number, countsPrompt: boolean): Promise<Usage | undefined> {
    const { link, budget, timeoutMs } = this.#shared;
    if (this.#promptOnly) this.#enter();
    else this.#handOver();
    if (!this.#isInThread()) return undefined;
    const body = countsPrompt ? this.#call.requestBody : NO_BODY;
    await budget.take(body.length);
    try {
      await this.#sendPrompt(body, deadline);
      if (!this.#isInThread() || Date.now() >= deadline) return undefined;
      const counted = new Promise<Usage | undefined>((resolve) => {
        link.onCounted(this.#number, resolve);
      });
      const extrapolateFrom = deadline - timeoutMs * (1 - EXACT_SHARE);
      link.send({
        ...{ kind: 'count', call: this.#number, dialect: this.#call.dialect, extrapolateFrom },
        promptOnly: this.#promptOnly,
      });
      return await counted;
    } finally {
      budget.give(body.length);
    }
  }

  async #sendPrompt(body: Buffer, deadline: number): Promise<void> {
    for (let at = 0; at < body.length; at += PROMPT_PIECE_BYTES) {
      if (at > 0) await nextTurn();
      if (!this.#isInThread() || Date.now() >= deadline) return;
      const bytes = new Uint8Array(body.subarray(at, at + PROMPT_PIECE_BYTES));
      const { link } = this.#shared;
      link.send({ kind: 'prompt', call: this.#number, dialect: this.#call.dialect, bytes }, [bytes.buffer]);
    }
  }

  /** Gives what is held to the thread. The bytes are copied, for others may still have to read them. */
  #handOver(): void {
    const { link } = this.#shared;
    if (this.#number !== 0 && !this.#isInThread()) this.#isLost = true;
    if (!this.#isLost && this.#heldBytes > 0 && this.#enter()) {
      const bytes = new Uint8Array(this.#heldBytes);
      let at = 0;
      for (const chunk of this.#held) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      link.send({ kind: 'delivered', call: this.#number, dialect: this.#call.dialect, bytes }, [bytes.buffer]);
    }
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** @returns whether the call has a number in a thread that runs */
  #enter(): boolean {
    const shared = this.#shared;
    if (this.#number !== 0) return true;
    if (!shared.link.ensureRunning()) {
      this.#isLost = true;
      return false;
    }
    shared.lastCall += 1;
    this.#number = shared.lastCall;
    this.#generation = shared.link.generation;
    return true;
  }

  #isInThread(): boolean {
    const { link } = this.#shared;
    return this.#number !== 0 && link.isRunning && link.generation === this.#generation;
  }

  #drop(): void {
    this.#held = [];
    this.#heldBytes = 0;
    if (this.#isInThread()) this.#shared.link.send({ kind: 'discard', call: this.#number });
    this.#shared.link.forget(this.#number);
    this.#number = 0;
  }
}

const NO_BODY = Buffer.alloc(0);
