import type { Prepared } from '../forward/prepared-call.js';
import type { CallPrice } from './call-price.js';
import type { Fields } from './request-reach.js';

/**
 * Tokens that an answer is left at least, beside what the caller lets the model think: less is of no use to anybody, and the
 * call is refused.
 */
export const LEAST_ANSWER = 256;

/** How little a call can be held to. */
export interface AnswerRoom {
  /** Tokens. */
  readonly leastAnswer: number;
  /** What the call costs at most then; units. */
  readonly least: bigint;
}

/** @returns undefined where the call cannot be made cheaper by a cap, or where its caller has said how long the answer may be */
export function answerRoomOf(call: Prepared, price: CallPrice): AnswerRoom | undefined {
  const { facts } = call;
  const isOneRequest = call.task.kind === 'metered' && call.session === undefined && call.outgoing !== undefined;
  if (facts === undefined || !isOneRequest || !facts.isUncapped()) return undefined;
  const leastAnswer = LEAST_ANSWER + thoughtOf(facts.fields());
  if (leastAnswer >= price.longestAnswer) return undefined;
  const least = price.atMost(leastAnswer);
  return least < price.atMost() ? { leastAnswer, least } : undefined;
}

/** The longest answer that an amount pays for: between the least one, which it does, and the model's longest. */
export function answerFor(amount: bigint, { leastAnswer }: AnswerRoom, price: CallPrice): number {
  let [pays, tooLong] = [leastAnswer, price.longestAnswer + 1];
  while (tooLong - pays > 1) {
    const between = Math.floor((pays + tooLong) / 2);
    if (price.atMost(between) <= amount) pays = between;
    else tooLong = between;
  }
  return pays;
}

/** Tokens of thought that the caller has stated; they count as answer, and a cap below them is refused by their vendors. */
function thoughtOf(fields: Fields): number {
  const { thinking, generationConfig, generation_config } = fields;
  const budgets = [memberOf(thinking, 'budget_tokens')];
  for (const config of [generationConfig, generation_config]) {
    const thought = memberOf(config, 'thinkingConfig') ?? memberOf(config, 'thinking_config');
    budgets.push(memberOf(thought, 'thinkingBudget'), memberOf(thought, 'thinking_budget'));
  }
  return Math.max(0, ...budgets.filter((budget): budget is number => Number.isSafeInteger(budget)));
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value ? (value as Fields)[name] : undefined;
}
