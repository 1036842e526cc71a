import { parseJson } from '@pingtoken/shared/wire';
import { chatCall, drawMixedCall, textOf, type DrawCall, type DrawnCall } from './load-calls.js';
import { startLoad, type Load, type SeenCall } from './load.js';

/** Whose calls a chaos round makes, how many callers at once, and what they say. */
const CALLERS = [
  { who: 'roomy', callers: 8, draw: drawMixedCall },
  { who: 'tight', callers: 2, draw: drawCappedCall },
  { who: 'limited', callers: 2, draw: drawCappedCall },
] as const satisfies readonly { who: string; callers: number; draw: DrawCall }[];

/**
 * `roomy` has more money than it can spend. `tight` is prepaid, and `limited` has a hard budget, of little more than what
 * their calls hold at once: they are refused most of the time.
 */
export type ChaosTenantName = (typeof CALLERS)[number]['who'];

const MOST_TOKENS = 60;

/** Plain and streamed, stayed for and left, with a cap, so that what is reserved is a few times what is spent. */
function drawCappedCall(random: () => number, name: string): DrawnCall {
  const kind = random();
  const say = (directives: string): string => textOf(random, name, directives);
  const drawn =
    kind < 0.5
      ? chatCall('pingtoken-sim-small', say('tokens=20'), false)
      : chatCall('pingtoken-sim-small', say('chunk-delay=5 tokens=40'), true, kind < 0.7);
  if (typeof drawn.body !== 'string') throw new Error('a chat call is JSON');
  const body = { ...(parseJson(drawn.body) as object), max_tokens: MOST_TOKENS };
  const leavesAfter = kind < 0.95 ? undefined : 300 + 1_000 * random();
  return { ...drawn, body: JSON.stringify(body), leavesAfter };
}

export interface ChaosLoad {
  readonly of: (who: ChaosTenantName) => readonly SeenCall[];
  /** Lets the calls under way end, and starts no more. */
  stop(): Promise<void>;
}

export function startChaosLoad(options: {
  readonly gatewayUrl: string;
  readonly keyOf: (who: ChaosTenantName) => string;
  readonly seed: number;
}): ChaosLoad {
  const { gatewayUrl, keyOf, seed } = options;
  const loads = new Map<ChaosTenantName, Load>();
  for (const [index, { who, callers, draw }] of CALLERS.entries()) {
    const apiKey = keyOf(who);
    loads.set(who, startLoad({ gatewayUrl, apiKey, seed: seed * 10 + index, callers, draw, refusedPauseMs: 40 }));
  }
  return {
    of: (who) => loads.get(who)?.calls ?? [],
    stop: async () => {
      await Promise.all([...loads.values()].map((load) => load.stop()));
    },
  };
}
