import { setTimeout as sleep } from 'node:timers/promises';

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
}

/** A mix of calls: plain and streamed, quick and slow, good and failing, stayed for and left, chat and embeddings. */
export function startLoad({ callers, seed, ...target }: LoadOptions): Load {
  const calls: SeenCall[] = [];
  let stopped = false;
  const caller = async (index: number): Promise<void> => {
    const random = createRandom(seed * 1_000 + index);
    for (let n = 0; !stopped; n += 1) {
      const call = await makeCall(target, draw(random, `${index}.${n}`));
      calls.push(call);
      await sleep(call.result === 'unanswered' ? 50 : 4 + 8 * random());
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

interface DrawnCall {
  readonly path: '/chat/completions' | '/embeddings';
  readonly body: Record<string, unknown>;
  /** The caller hangs up after so many bytes of the answer. */
  readonly leavesAfter: number | undefined;
}

/** Name, share of calls, whether streamed, directives for the simulator. */
const KINDS = [
  ['plain', 30, false, ''],
  ['streamed', 25, true, ''],
  ['streamed, usage asked for', 12, true, ''],
  ['slow', 8, false, 'delay=150'],
  ['slowly streamed', 8, true, 'chunk-delay=8 tokens=25'],
  ['reasoning and cached', 5, true, 'reasoning=7 tokens=30 cached=5'],
  ['failing', 2, false, 'status=500'],
  ['dying', 2, true, 'die-after=3'],
  ['left', 3, true, 'chunk-delay=5 tokens=60'],
  ['embeddings', 5, false, ''],
] as const;

function draw(random: () => number, name: string): DrawnCall {
  let left = random() * KINDS.reduce((sum, [, share]) => sum + share, 0);
  const found = KINDS.find(([, share]) => (left -= share) < 0) ?? KINDS[0];
  const [kind, , stream, directives] = found;
  const text = `call ${name} ${'word '.repeat(Math.floor(random() * 30))}${directives && `[[sim ${directives}]]`}`;
  if (kind === 'embeddings') {
    return { path: '/embeddings', body: { model: 'pingtoken-sim-embedding', input: text }, leavesAfter: undefined };
  }
  const model = random() < 0.8 ? 'pingtoken-sim-small' : 'pingtoken-sim-large';
  const body = {
    model,
    messages: [{ role: 'user', content: text }],
    ...(stream && { stream }),
    ...(kind === 'streamed, usage asked for' && { stream_options: { include_usage: true } }),
  };
  return { path: '/chat/completions', body, leavesAfter: kind === 'left' ? 300 + 3_000 * random() : undefined };
}

async function makeCall(
  { gatewayUrl, apiKey }: Pick<LoadOptions, 'gatewayUrl' | 'apiKey'>,
  { path, body, leavesAfter }: DrawnCall,
): Promise<SeenCall> {
  const leaving = new AbortController();
  let requestId: string | null = null;
  let status: number | null = null;
  const seen = (result: SeenCall['result']): SeenCall => ({ requestId, result, status, endedAt: Date.now() });
  try {
    const response = await fetch(gatewayUrl + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.any([leaving.signal, AbortSignal.timeout(30_000)]),
    });
    requestId = response.headers.get('x-request-id');
    status = response.status;
    const text = await readAnswer(response, leavesAfter, leaving);
    if (status !== 200) return seen('refused');
    const isWhole = body['stream'] === true ? text.endsWith('data: [DONE]\n\n') : text.endsWith('}');
    return seen(isWhole ? 'complete' : 'cut');
  } catch {
    if (leaving.signal.aborted) return seen('left');
    return seen(requestId === null ? 'unanswered' : 'cut');
  }
}

async function readAnswer(
  response: Response,
  leavesAfter: number | undefined,
  leaving: AbortController,
): Promise<string> {
  let text = '';
  if (response.body === null) return text;
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (leavesAfter !== undefined && text.length > leavesAfter) leaving.abort();
  }
  return text;
}
