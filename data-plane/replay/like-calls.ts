import { parseJson } from '@pingtoken/shared/wire';
import type { Admitted } from '../admit/admit.js';
import { isErrorReport } from '../dialects/error-report.js';
import type { Refusal } from '../http-error.js';
import { OUTPUT_CAP_HEADER } from '../limits/limit-headers.js';
import type { Snapshot } from '../snapshot.js';
import type { AnswerClaim } from './answer-store.js';
import { giveAnswer, GONE, orGone, type ReplayTools } from './give-answer.js';
import type { KeptAnswer } from './kept-answer.js';
import { likeQuestion, type LikeQuestion } from './like-requests.js';
import { RecordedCall, type Keeper } from './recorded-call.js';

/** The call has to be made; its answer goes to the keeper, if there is one. */
export interface LikeClaim {
  readonly kind: 'unanswered';
  readonly keeper?: Keeper;
  readonly maxBytes: number;
}

export type LikeResult =
  LikeClaim | { readonly kind: 'answered' } | { readonly kind: 'refused'; readonly refusal: Refusal };

const MISS: LikeClaim = { kind: 'unanswered', maxBytes: 0 };

/**
 * Gives the call the answer to another one that asked the same, where there is one; where one is being made and the route lets
 * such calls share, waits for it. If none comes of that, the call is made without ado.
 * @param keepers of the call's idempotency key, for whom the answer is theirs too
 */
export async function claimLike(call: Admitted, keepers: readonly Keeper[], tools: ReplayTools): Promise<LikeResult> {
  const question = likeQuestion(call);
  if (question === undefined) return MISS;
  const found = await tools.store.find(question);
  switch (found.kind) {
    case 'mismatch':
      return MISS;
    case 'claimed':
      return claimed(question, found.claim, tools);
    case 'kept':
      if (isInForce(found.answer, tools.snapshot)) return give(call, found.answer, { question, keepers, tools });
      await tools.store.remove(question);
      return MISS;
    case 'pending': {
      if (!question.cache.coalesces) {
        found.leave();
        return MISS;
      }
      const answer = await orGone(found.wait(), call);
      found.leave();
      if (answer === GONE) {
        for (const keeper of keepers) keeper.giveUp();
        return { kind: 'answered' };
      }
      return answer === undefined ? MISS : give(call, answer, { question, keepers, tools, isShared: true });
    }
  }
}

/** What a key brought in is over with the key. */
function isInForce({ keyHash }: KeptAnswer, snapshot: Snapshot): boolean {
  const key = snapshot.findAccount(keyHash)?.apiKey;
  return key?.status === 'active' && (key.expiresAt === null || key.expiresAt > Date.now());
}

interface Giving {
  readonly question: LikeQuestion;
  readonly keepers: readonly Keeper[];
  readonly tools: ReplayTools;
  /** It has been made just now. */
  readonly isShared?: boolean;
}

async function give(
  call: Admitted,
  answer: KeptAnswer,
  { question, keepers, tools, isShared = false }: Giving,
): Promise<LikeResult> {
  const { billed } = answer;
  if (billed === null || billed.countedBy === 'none') return MISS;
  const { usage, serviceTier, countedBy } = billed;
  const { priceShare } = question.cache;
  const repeated = { usage, countedBy, priceShare, ...(serviceTier !== undefined && { serviceTier }) };
  const refusal = await tools.meter.record(call, repeated);
  if (refusal !== undefined) return { kind: 'refused', refusal };
  tools.observer.answerRepeated(isShared ? 'shared-call' : 'cache');
  const recorded = keepers.length === 0 ? undefined : new RecordedCall(call, keepers, answer.body.length);
  recorded?.ended({ outcome: 'completed', isCharged: true, ...billed, serviceTier, routeId: undefined });
  // It is a call of its own, with an id of its own.
  const headers = answer.headers.filter((_part, index) => answer.headers[index - (index % 2)] !== 'x-request-id');
  giveAnswer(recorded?.admitted ?? call, { ...answer, headers }, [
    'x-request-id',
    call.requestId,
    'x-pingtoken-cache',
    'hit',
  ]);
  return { kind: 'answered' };
}

/** Some providers report an error with status 200. Once more it would be one; kept, it would be one for long. */
function saysError({ body }: KeptAnswer): boolean {
  if (body[0] !== OPENING_BRACE) return false;
  try {
    return isErrorReport(parseJson(body.toString()));
  } catch {
    return true;
  }
}

const OPENING_BRACE = 0x7b;

function claimed({ cache, route }: LikeQuestion, claim: AnswerClaim, { environment }: ReplayTools): LikeClaim {
  const maxBytes = Math.min(cache.maxAnswerBytes, environment.REPLAY_MAX_ANSWER_BYTES);
  const keeper: Keeper = {
    isAwaited: () => cache.coalesces && claim.isAwaited(),
    take: (answer, { outcome, isCharged, routeId }) => {
      // Whole, successful, and of the very route whose answers are kept.
      const isPaid = outcome === 'completed' && isCharged && answer.status === 200 && answer.billed !== null;
      const isTooLong = answer.isTooLong || answer.body.length > maxBytes;
      // What one caller's wallet has held short is not the answer of the others.
      const wasHeld = answer.headers.includes(OUTPUT_CAP_HEADER);
      if (!isPaid || routeId !== route.id || isTooLong || wasHeld || saysError(answer)) claim.giveUp();
      else if (cache.ttlSeconds === 0) claim.giveUp(answer);
      else claim.keep(answer, cache.ttlSeconds * 1_000);
    },
    giveUp: () => {
      claim.giveUp();
    },
  };
  return { kind: 'unanswered', keeper, maxBytes };
}
