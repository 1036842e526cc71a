import { setTimeout as sleep } from 'node:timers/promises';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import { countWords, drawMixedCall, type DrawCall, type DrawnCall } from './load-calls.js';

/** Numbers in [0, 1), the same for the same seed (Mulberry32): a failure can be played again. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** What a caller saw of one call. */
export interface SeenCall {
  /** Null where no answer came. */
  readonly requestId: string | null;
  /**
   * `complete`: the whole answer came. `refused`: an error did, with its status. `left`: the caller hung up. `cut`: the
   * connection broke within the answer. `unanswered`: it broke, or could not be made, before one.
   */
  readonly result: 'complete' | 'refused' | 'left' | 'cut' | 'unanswered';
  readonly status: number | null;
  /** Why money was not reserved for it; null where it was, or something else went wrong. */
  readonly shortage: 'insufficient_funds' | 'budget_reserved' | 'budget_unavailable' | null;
  /** Words of a streamed answer that came, whatever became of the rest; 0 of any other. */
  readonly wordsSeen: number;
  /** Milliseconds since 1970, at its end. */
  readonly endedAt: number;
}

export interface Load {
  readonly calls: readonly SeenCall[];
  /** Lets the calls under way end, and starts no more. */
  stop(): Promise<void>;
}

export interface LoadOptions {
  /** With `/v1`. */
  readonly gatewayUrl: string;
  readonly apiKey: string;
  readonly seed: number;
  /** How many callers, each making one call after the other. */
  readonly callers: number;
  /** Default: `drawMixedCall`. */
  readonly draw?: DrawCall;
  /** How long a caller waits that was refused. Default: as one that was answered. */
  readonly refusedPauseMs?: number;
}

/** Calls of a mix, drawn with the seed. */
export function startLoad(options: LoadOptions): Load {
  const { callers, seed, draw = drawMixedCall, refusedPauseMs = 0, ...target } = options;
  const calls: SeenCall[] = [];
  let stopped = false;
  const caller = async (index: number): Promise<void> => {
    const random = createRandom(seed * 1_000 + index);
    for (let n = 0; !stopped; n += 1) {
      const call = await makeCall(target, draw(random, `${index}.${n}`));
      calls.push(call);
      const pauseMs = { unanswered: 50, refused: refusedPauseMs }[call.result as string] ?? 0;
      await sleep(Math.max(pauseMs, 4 + 8 * random()));
    }
  };
  const running = Promise.all(Array.from({ length: callers }, (_, index) => caller(index)));
  return {
    calls,
    stop: async () => {
      stopped = true;
      await running;
    },
  };
}

async function makeCall(
  { gatewayUrl, apiKey }: Pick<LoadOptions, 'gatewayUrl' | 'apiKey'>,
  { path, headers, body, leavesAfter, isWhole }: DrawnCall,
): Promise<SeenCall> {
  const leaving = new AbortController();
  const answer = { text: '' };
  let requestId: string | null = null;
  let status: number | null = null;
  const seen = (result: SeenCall['result']): SeenCall => {
    const wordsSeen = status === 200 ? countWords(answer.text) : 0;
    const shortage = result === 'refused' ? shortageOf(answer.text) : null;
    return { requestId, result, status, shortage, wordsSeen, endedAt: Date.now() };
  };
  try {
    const response = await fetch(new URL(path, gatewayUrl), {
      method: 'POST',
      headers: { ...headers, authorization: `Bearer ${apiKey}` },
      body,
      signal: AbortSignal.any([leaving.signal, AbortSignal.timeout(30_000)]),
    });
    requestId = response.headers.get('x-request-id');
    status = response.status;
    await readAnswer(response, answer, leavesAfter, leaving);
    if (status !== 200) return seen('refused');
    return seen(isWhole(answer.text) ? 'complete' : 'cut');
  } catch {
    if (leaving.signal.aborted) return seen('left');
    return seen(requestId === null ? 'unanswered' : 'cut');
  }
}

/** Each dialect has its own place for the code, if any; all have the message. */
function shortageOf(text: string): SeenCall['shortage'] {
  const codes = ['insufficient_funds', 'budget_reserved', 'budget_unavailable'] as const;
  return codes.find((code) => text.includes(ERROR_CODES[code].message)) ?? null;
}

async function readAnswer(
  response: Response,
  answer: { text: string },
  leavesAfter: number | undefined,
  leaving: AbortController,
): Promise<void> {
  if (response.body === null) return;
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    answer.text += piece;
    if (leavesAfter !== undefined && answer.text.length > leavesAfter) leaving.abort();
  }
}
