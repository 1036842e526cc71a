import type { Admitted } from '../admit/admit.js';
import type { EndedCall } from '../call-watch.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { AnswerClaim, AnswerQuestion } from './answer-store.js';
import { ANSWERED, giveAnswer, GONE, orGone, type ReplayTools } from './give-answer.js';
import type { KeptAnswer } from './kept-answer.js';
import type { Keeper } from './recorded-call.js';

/** Of calls with an idempotency key: until the call is this one's to make, or has its answer. */
export async function claimRepeat(
  call: Admitted,
  question: AnswerQuestion,
  tools: ReplayTools,
): Promise<Keeper | Refusal | typeof ANSWERED> {
  for (;;) {
    const found = await tools.store.find(question);
    if (found.kind === 'claimed') return repeatKeeper(found.claim, tools.environment.IDEMPOTENCY_WINDOW_MS);
    if (found.kind === 'mismatch') return refuse('idempotency_mismatch', 'Idempotency-Key');
    const answer = found.kind === 'kept' ? found.answer : await orGone(found.wait(), call);
    if (found.kind === 'pending') found.leave();
    if (answer === GONE) return ANSWERED;
    if (answer !== undefined) return repeatAnswer(call, answer, tools);
    if (tools.isDraining()) return refuse('not_ready');
  }
}

/** A repeat is a request, which counts as one; its tokens were counted when the first answer was made. */
async function repeatAnswer(
  call: Admitted,
  answer: KeptAnswer,
  tools: ReplayTools,
): Promise<Refusal | typeof ANSWERED> {
  const share = await tools.limits.admit(call, 0);
  if (share !== undefined && isRefusal(share)) return share;
  share?.settle({});
  if (answer.isTooLong) return refuse('idempotency_answer_too_long', 'Idempotency-Key');
  tools.observer.answerRepeated('idempotency-key');
  giveAnswer(call, answer, ['idempotent-replayed', 'true']);
  return ANSWERED;
}

/** What a retry may cure is given to those who wait for it, and not kept. */
function repeatKeeper(claim: AnswerClaim, windowMs: number): Keeper {
  return {
    isAwaited: () => true,
    take: (answer, call) => {
      if (isFinal(answer, call)) claim.keep(answer, windowMs);
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
