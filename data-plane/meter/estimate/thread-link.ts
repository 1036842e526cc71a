import { existsSync } from 'node:fs';
import { Worker, type Transferable } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { Usage } from '@pingtoken/shared/rate-card';
import type { FromThread, HeldByThread, ToThread } from './messages.js';

/** A thread that died before it had answered anything is not started again at once: it would die of the same. */
const RESTART_AFTER_MS = 10_000;

/**
 * Room for far more than the bounds of what is kept and parsed add up to: a thread that reaches its limit inside the engine
 * (`JSON.parse`, a regular expression) takes the process with it.
 */
const MAX_HEAP_MB = 2048;

/**
 * The data plane's end of the thread that counts. The thread is started with the first message and never holds the process;
 * if it dies, all that it had is lost, and the next message starts another.
 */
export class ThreadLink {
  readonly #logger: Logger;
  #worker: Worker | undefined;
  #hasAnswered = false;
  #restartsAt = 0;
  #generation = 0;
  #lastRequest = 0;
  #ready: PromiseWithResolvers<void> | undefined;
  readonly #counts = new Map<number, (usage: Usage | undefined) => void>();
  readonly #inspections = new Map<number, (held: HeldByThread) => void>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Grows with each thread that is started: what was sent to an earlier one is lost. */
  get generation(): number {
    return this.#generation;
  }

  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  /** Starts a thread where none runs. @returns whether there is one now */
  ensureRunning(): boolean {
    if (this.#worker !== undefined) return true;
    if (Date.now() < this.#restartsAt) return false;
    try {
      this.#start();
      return true;
    } catch (error) {
      this.#restartsAt = Date.now() + RESTART_AFTER_MS;
      this.#logger.error({ error: String(error) }, 'token-thread-failed');
      return false;
    }
  }

  send(message: ToThread, transfer: readonly Transferable[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  /** Resolves once the running thread has its tokenizer, or has died; asking makes it load that. */
  whenReady(): Promise<void> {
    if (this.#worker === undefined) return Promise.resolve();
    if (this.#ready === undefined) {
      this.#ready = Promise.withResolvers();
      this.send({ kind: 'prepare' });
    }
    return this.#ready.promise;
  }

  /** Called once: with what the thread counts for a call, or with undefined when it dies or the call is forgotten. */
  onCounted(call: number, told: (usage: Usage | undefined) => void): void {
    this.#counts.set(call, told);
  }

  forget(call: number): void {
    this.#tell(call, undefined);
  }

  inspect(): Promise<HeldByThread> {
    if (this.#worker === undefined) return Promise.resolve(HOLDS_NOTHING);
    this.#lastRequest += 1;
    const request = this.#lastRequest;
    this.send({ kind: 'inspect', request });
    return new Promise((resolve) => {
      this.#inspections.set(request, resolve);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): void {
    const worker = new Worker(threadFile(), {
      name: 'token-estimator',
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
    });
    this.#worker = worker;
    this.#generation += 1;
    this.#hasAnswered = false;
    worker.on('message', (message: FromThread) => {
      this.#receive(message);
    });
    worker.on('error', (error) => {
      this.#logger.error({ error: error instanceof Error ? error.name : 'unknown' }, 'token-thread-failed');
    });
    worker.once('exit', () => {
      this.#ended();
    });
    // Last, for listening to a thread holds the process again.
    worker.unref();
  }

  #receive(message: FromThread): void {
    this.#hasAnswered = true;
    if (message.kind === 'ready') {
      this.#ready?.resolve();
      return;
    }
    if (message.kind === 'inspected') {
      this.#inspections.get(message.request)?.(message.held);
      this.#inspections.delete(message.request);
      return;
    }
    if (message.fault !== undefined) this.#logger.warn({ fault: message.fault }, 'tokens-not-estimated');
    this.#tell(message.call, message.usage);
  }

  #tell(call: number, usage: Usage | undefined): void {
    const told = this.#counts.get(call);
    this.#counts.delete(call);
    told?.(usage);
  }

  #ended(): void {
    this.#worker = undefined;
    this.#ready?.resolve();
    this.#ready = undefined;
    if (!this.#hasAnswered) this.#restartsAt = Math.max(this.#restartsAt, Date.now() + RESTART_AFTER_MS);
    for (const call of [...this.#counts.keys()]) this.#tell(call, undefined);
    for (const told of this.#inspections.values()) told(HOLDS_NOTHING);
    this.#inspections.clear();
  }
}

const HOLDS_NOTHING: HeldByThread = { calls: 0, bytes: 0 };

/** Beside this file where that is compiled; a test runs this file as it is written, and the thread as it was compiled. */
function threadFile(): URL {
  const beside = new URL('./token-thread.js', import.meta.url);
  return existsSync(beside) ? beside : new URL('../../dist/meter/estimate/token-thread.js', import.meta.url);
}
