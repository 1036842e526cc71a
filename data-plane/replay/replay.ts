import type { Admitted } from '../admit/admit.js';
import { isRefusal, type Refusal } from '../http-error.js';
import { createRepeatMeter } from '../meter/repeat-meter.js';
import { AnswerStore } from './answer-store.js';
import { ANSWERED, type ReplayOptions, type ReplayTools } from './give-answer.js';
import { idempotencyQuestion, isInference } from './idempotency.js';
import { claimLike, type LikeClaim } from './like-calls.js';
import { createLocalEntries } from './local-entries.js';
import { RecordedCall, type Keeper } from './recorded-call.js';
import { RedisEntries } from './redis-entries.js';
import { claimRepeat } from './repeated-calls.js';

export { ANSWERED } from './give-answer.js';

/** A call that has to be made. */
export interface Unanswered {
  readonly call: Admitted;
  /** It has not gone out. */
  giveUp(): void;
}

export interface Replays {
  /** Whether there is anything to do for a call: for nearly every one there is not. */
  concerns(call: Admitted): boolean;
  /** Gives an answer that is there already, waits for one that is being made, or lets the call be made and keeps its answer. */
  take(call: Admitted): Promise<Unanswered | Refusal | typeof ANSWERED>;
  close(): void;
}

const CACHE_HEADER = 'x-pingtoken-cache';

/** Where answers are given again: to who repeats a call by its idempotency key, and to who asks the same as another one. */
export function createReplays(options: ReplayOptions): Replays {
  const { environment, observer, logger } = options;
  const { REDIS_URL: url, REPLAY_MAX_BYTES: maxBytes, REPLAY_MAX_ANSWER_BYTES: longest } = environment;
  // Shared where there is something to share over, else this process's own.
  const entries = url === undefined ? createLocalEntries({ maxBytes }) : new RedisEntries({ url, maxBytes, logger });
  const store = new AnswerStore({ entries, logger, onUnavailable: observer.answersOutOfReach });
  const tools: ReplayTools = { ...options, store, meter: createRepeatMeter(options) };
  return {
    close: () => {
      store.close();
    },
    concerns: ({ account: { apiKey }, request }) =>
      apiKey.cache === true || (apiKey.idempotency === true && request.headers['idempotency-key'] !== undefined),
    take: async (call) => {
      const repeat = await claimOfKey(call, tools);
      if (repeat === ANSWERED || isRefusal(repeat)) return repeat;
      const keepers = repeat.keeper === undefined ? [] : [repeat.keeper];
      const like = await claimLike(call, keepers, tools);
      if (like.kind === 'answered') return ANSWERED;
      if (like.kind === 'refused') {
        repeat.keeper?.giveUp();
        return like.refusal;
      }
      if (call.account.apiKey.cache === true && isInference(call)) call.response.setHeader(CACHE_HEADER, 'miss');
      return record(call, { keepers, like, longest });
    },
  };
}

async function claimOfKey(
  call: Admitted,
  tools: ReplayTools,
): Promise<{ readonly keeper?: Keeper } | Refusal | typeof ANSWERED> {
  const question = idempotencyQuestion(call);
  if (question === undefined) return {};
  if (isRefusal(question)) return question;
  const keeper = await claimRepeat(call, question, tools);
  return keeper === ANSWERED || isRefusal(keeper) ? keeper : { keeper };
}

interface Recorders {
  /** Of the idempotency key. */
  readonly keepers: readonly Keeper[];
  readonly like: LikeClaim;
  readonly longest: number;
}

function record(call: Admitted, { keepers, like, longest }: Recorders): Unanswered {
  const all = like.keeper === undefined ? keepers : [...keepers, like.keeper];
  if (all.length === 0) return { call, giveUp: () => undefined };
  const maxBytes = keepers.length > 0 ? longest : Math.min(longest, like.maxBytes);
  const recorded = new RecordedCall(call, all, maxBytes);
  return {
    call: recorded.admitted,
    giveUp: () => {
      recorded.giveUp();
    },
  };
}
