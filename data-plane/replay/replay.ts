import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Admitted } from '../admit/admit.js';
import type { DataPlaneEnvironment } from '../environment.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { CallLimits } from '../limits/call-limits.js';
import type { Observer } from '../observe.js';
import { AnswerStore, type AnswerClaim, type AnswerQuestion } from './answer-store.js';
import { idempotencyQuestion } from './idempotency.js';
import type { KeptAnswer } from './kept-answer.js';
import { createLocalEntries } from './local-entries.js';
import { RedisEntries } from './redis-entries.js';
import { RecordedCall, type EndedCall, type Keeper } from './recorded-call.js';

export type ReplayEnvironment = Pick<
  DataPlaneEnvironment,
  'REDIS_URL' | 'IDEMPOTENCY_WINDOW_MS' | 'REPLAY_MAX_ANSWER_BYTES' | 'REPLAY_MAX_BYTES'
>;

export interface ReplayOptions {
  readonly environment: ReplayEnvironment;
  readonly limits: CallLimits;
  readonly observer: Observer;
  readonly isDraining: () => boolean;
  readonly logger: Logger;
}

interface ReplayTools extends ReplayOptions {
  readonly store: AnswerStore;
}

/** Answered already, or there is nobody to answer. */
export const ANSWERED = Symbol('answered');

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

export function createReplays(options: ReplayOptions): Replays {
  const { environment, observer, logger } = options;
  const { REDIS_URL: url, REPLAY_MAX_BYTES: maxBytes } = environment;
  // Shared where there is something to share over, else this process's own.
  const entries = url === undefined ? createLocalEntries({ maxBytes }) : new RedisEntries({ url, maxBytes, logger });
  const store = new AnswerStore({ entries, logger, onUnavailable: observer.answersOutOfReach });
  const tools: ReplayTools = { ...options, store };
  return {
    close: () => {
      store.close();
    },
    concerns: ({ account: { apiKey }, request }) =>
      apiKey.idempotency === true && request.headers['idempotency-key'] !== undefined,
    take: async (call) => {
      const question = idempotencyQuestion(call);
      if (question === undefined) return { call, giveUp: () => undefined };
      if (isRefusal(question)) return question;
      const claim = await claimAnswer(call, question, tools);
      if (typeof claim === 'symbol' || isRefusal(claim)) return claim;
      const recorded = new RecordedCall(call, [repeatKeeper(claim, tools)], environment.REPLAY_MAX_ANSWER_BYTES);
      return {
        call: recorded.admitted,
        giveUp: () => {
          recorded.giveUp();
        },
      };
    },
  };
}

/** Until the call is this one's to make, or has its answer. */
async function claimAnswer(
  call: Admitted,
  question: AnswerQuestion,
  options: ReplayTools,
): Promise<AnswerClaim | Refusal | typeof ANSWERED> {
  for (;;) {
    const found = await options.store.find(question);
    if (found.kind === 'claimed') return found.claim;
    if (found.kind === 'mismatch') return refuse('idempotency_mismatch', 'Idempotency-Key');
    const answer = found.kind === 'kept' ? found.answer : await orGone(found.answer, call.request.socket);
    if (answer === GONE) return ANSWERED;
    if (answer !== undefined) return repeatAnswer(call, answer, options);
    if (options.isDraining()) return refuse('not_ready');
  }
}

const GONE = Symbol('the caller is gone');

async function orGone<Value>(value: Promise<Value>, socket: Socket): Promise<Value | typeof GONE> {
  if (socket.destroyed) return GONE;
  const { promise: gone, resolve } = Promise.withResolvers<typeof GONE>();
  const onClose = (): void => {
    resolve(GONE);
  };
  socket.once('close', onClose);
  try {
    return await Promise.race([value, gone]);
  } finally {
    socket.removeListener('close', onClose);
  }
}

/** A repeat is a request, which counts as one; its tokens were counted when the first answer was made. */
function repeatAnswer(call: Admitted, answer: KeptAnswer, options: ReplayOptions): Refusal | typeof ANSWERED {
  const share = options.limits.admit(call, 0);
  if (share !== undefined && isRefusal(share)) return share;
  share?.settle({});
  if (answer.isTooLong) return refuse('idempotency_answer_too_long', 'Idempotency-Key');
  options.observer.answerRepeated('idempotency-key');
  giveAnswer(call, answer, ['idempotent-replayed', 'true']);
  return ANSWERED;
}

export function giveAnswer(
  { response }: Admitted,
  { status, headers, body }: KeptAnswer,
  more: readonly string[],
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, [...headers, ...more]);
  response.end(body);
}

/** Keeps the answer to a call with an idempotency key. What a retry may cure is given to those who wait for it, and not kept. */
function repeatKeeper(claim: AnswerClaim, { environment }: ReplayOptions): Keeper {
  return {
    isAwaited: () => true,
    take: (answer, call) => {
      if (isFinal(answer, call)) claim.keep(answer, environment.IDEMPOTENCY_WINDOW_MS);
      else claim.giveUp(answer);
    },
    giveUp: () => {
      claim.giveUp();
    },
  };
}

/** Which refusals of a provider's a client tries again by itself. */
const RETRIED: ReadonlySet<number> = new Set([408, 409, 425, 429]);

function isFinal({ status }: KeptAnswer, { outcome, isCharged }: EndedCall): boolean {
  if (outcome === 'completed') return isCharged;
  return outcome === 'provider-refused' && status < 500 && !RETRIED.has(status);
}
