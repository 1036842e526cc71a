import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import type { Usage } from '@pingtoken/shared/rate-card';
import { HeldCalls } from './held-calls.js';
import type { CountMessage, FromThread, ToThread } from './messages.js';
import type { CountTokens } from './text-tally.js';

/**
 * The thread that counts. Calls that are to be counted take turns, a small piece each, so that a huge prompt does not hold
 * up the others.
 */

/** Between two looks at what has come in. */
const TURN_MS = 10;

/** Words whose tokens are remembered: enough for a language, and small, for a word may be a piece of text of its own. */
const REMEMBERED_WORDS = 10_000;

/** No text of a caller's is a control token, whatever it looks like. */
const NO_CONTROL_TOKENS = { disallowedSpecial: new Set<string>() };

interface Job {
  readonly call: number;
  readonly work: Generator<void, Usage | undefined>;
}

const held = new HeldCalls();
const jobs: Job[] = [];
let isCounting = false;
let tokenizer: Promise<CountTokens> | undefined;

/** The table of the tokenizer takes tens of megabytes: it is loaded when something is counted for the first time. */
async function loadTokenizer(): Promise<CountTokens> {
  const { countTokens, setMergeCacheSize } = await import('gpt-tokenizer/encoding/o200k_base');
  setMergeCacheSize(REMEMBERED_WORDS);
  countTokens('The first call prepares what the others use.');
  return (text) => countTokens(text, NO_CONTROL_TOKENS);
}

function tell(message: FromThread): void {
  parentPort?.postMessage(message);
}

function receive(message: ToThread): void {
  switch (message.kind) {
    case 'delivered':
      held.deliver(message.call, message.dialect, message.bytes);
      break;
    case 'prompt':
      held.addPrompt(message.call, message.dialect, message.bytes);
      break;
    case 'count':
      void startJob(message);
      break;
    case 'prepare':
      void prepare();
      break;
    case 'discard':
      held.discard(message.call);
      break;
    case 'inspect':
      tell({ kind: 'inspected', request: message.request, held: held.inspect() });
      break;
  }
}

async function prepare(): Promise<void> {
  await (tokenizer ??= loadTokenizer());
  tell({ kind: 'ready' });
}

/** A tokenizer that cannot be loaded ends the thread, and with it every call that waits. */
async function startJob(message: CountMessage): Promise<void> {
  tokenizer ??= loadTokenizer();
  jobs.push({ call: message.call, work: held.count(message, await tokenizer) });
  if (!isCounting) await countAll();
}

async function countAll(): Promise<void> {
  isCounting = true;
  while (jobs.length > 0) {
    const turnEnds = performance.now() + TURN_MS;
    for (let job = jobs.shift(); job !== undefined; job = performance.now() < turnEnds ? jobs.shift() : undefined) {
      if (!isOver(job)) jobs.push(job);
    }
    await nextTurn();
  }
  isCounting = false;
}

/** Does one piece of a call's work. */
function isOver({ call, work }: Job): boolean {
  // Discarded meanwhile, for nobody waits for it any more.
  if (!held.has(call)) return true;
  try {
    const step = work.next();
    if (step.done !== true) return false;
    tell({ kind: 'counted', call, usage: step.value });
  } catch (error) {
    tell({ kind: 'counted', call, usage: undefined, fault: error instanceof Error ? error.name : 'unknown' });
  }
  held.discard(call);
  return true;
}

parentPort?.on('message', receive);
