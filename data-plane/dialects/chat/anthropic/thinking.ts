import type { ChatFeature, ChatRequest, ReasoningWish } from '../chat.js';
import { defined } from './fields.js';
import type { ModelTraits } from './model-traits.js';

type Effort = Exclude<NonNullable<ReasoningWish['effort']>, 'none'>;

/** The least that the vendor takes: https://platform.claude.com/docs/en/build-with-claude/extended-thinking */
const MINIMUM_BUDGET_TOKENS = 1024;

/**
 * What an effort is worth to a model that wants a number, and, read backwards, which effort a number asks for: the smallest
 * that is worth it. The vendors publish no such scale; this one follows what Google states for its own models
 * (https://ai.google.dev/gemini-api/docs/openai#thinking), spread over the efforts that it puts together.
 */
const BUDGETS: readonly (readonly [Effort, number])[] = [
  ['minimal', MINIMUM_BUDGET_TOKENS],
  ['low', 2048],
  ['medium', 8192],
  ['high', 16_384],
  ['xhigh', 24_576],
  ['max', 32_768],
];

export function budgetOfEffort(effort: Effort): number {
  return BUDGETS.find(([name]) => name === effort)?.[1] ?? MINIMUM_BUDGET_TOKENS;
}

export function effortOfBudget(tokens: number): Effort {
  return BUDGETS.find(([, budget]) => budget >= tokens)?.[0] ?? 'max';
}

export interface WrittenThinking {
  readonly thinking?: Readonly<Record<string, unknown>>;
  readonly effort?: string;
  /** Room for thoughts in an answer whose length the caller left open. */
  readonly reserveTokens: number;
}

/** @param unsupported is told of a wish that this model, or the rest of this request, leaves no place for */
export function writeThinking(
  request: ChatRequest,
  traits: ModelTraits,
  unsupported: Set<ChatFeature>,
): WrittenThinking {
  const wish = request.reasoning;
  if (wish === undefined) return { reserveTokens: 0 };
  if (wish.effort === 'none' || wish.budgetTokens === 0) {
    return traits.thinking === 'none' ? { reserveTokens: 0 } : { thinking: { type: 'disabled' }, reserveTokens: 0 };
  }
  if (traits.thinking === 'none') {
    // Not to be shown what there is not is no wish.
    if (Object.keys(wish).some((name) => name !== 'isVisible')) unsupported.add('reasoning');
    return { reserveTokens: 0 };
  }
  const display = wish.isVisible === undefined ? undefined : wish.isVisible ? 'summarized' : 'omitted';
  return traits.thinking === 'adaptive'
    ? writeAdaptive({ request, wish, display, unsupported })
    : writeBudget({ request, wish, display, unsupported });
}

interface Wish {
  readonly request: ChatRequest;
  readonly wish: ReasoningWish;
  readonly display: string | undefined;
  readonly unsupported: Set<ChatFeature>;
}

function writeAdaptive({ request, wish, display, unsupported }: Wish): WrittenThinking {
  const wished = wish.effort ?? (wish.budgetTokens === undefined ? undefined : effortOfBudget(wish.budgetTokens));
  const effort = wished === 'minimal' ? 'low' : wished === 'none' ? undefined : wished;
  const reserveTokens = budgetOfEffort(effort ?? 'high');
  // "tool_choice options that force tool use return an error while thinking is on"; an effort holds without it too.
  // https://platform.claude.com/docs/en/build-with-claude/thinking-tool-workflows
  if (forcesTool(request)) {
    if (effort === undefined) unsupported.add('reasoning');
    return defined({ effort, reserveTokens });
  }
  return defined({ thinking: defined({ type: 'adaptive', display }), effort, reserveTokens });
}

function writeBudget({ request, wish, display, unsupported }: Wish): WrittenThinking {
  const isOnlyHidden = wish.isVisible === false && Object.keys(wish).length === 1;
  if (isOnlyHidden || continuesUnsignedTurn(request)) return { reserveTokens: 0 };
  const wished = wish.budgetTokens ?? budgetOfEffort(effortOf(wish));
  const budget = Math.max(wished, MINIMUM_BUDGET_TOKENS);
  const maxTokens = request.maxOutputTokens ?? Infinity;
  if (forcesTool(request) || maxTokens <= MINIMUM_BUDGET_TOKENS) {
    unsupported.add('reasoning');
    return { reserveTokens: 0 };
  }
  // A budget is part of the answer's length; where the length is shorter, it is the limit that binds.
  const thinking = defined({ type: 'enabled', budget_tokens: Math.min(budget, maxTokens - 1), display });
  const hasBoth = wish.budgetTokens !== undefined && wish.effort !== undefined;
  return defined({ thinking, effort: hasBoth ? vendorEffort(wish) : undefined, reserveTokens: budget });
}

function effortOf(wish: ReasoningWish): Effort {
  return wish.effort === undefined || wish.effort === 'none' ? 'medium' : wish.effort;
}

function vendorEffort(wish: ReasoningWish): string {
  const effort = effortOf(wish);
  return effort === 'minimal' ? 'low' : effort;
}

function forcesTool({ toolChoice, tools }: ChatRequest): boolean {
  return tools.length > 0 && (toolChoice?.kind === 'required' || toolChoice?.kind === 'tool');
}

/**
 * With a budget, a turn that waits for the results of its calls must begin with its signed thoughts, and those of a caller
 * whose dialect has no place for them are gone. It goes on without thinking, as the vendor itself has it where thinking is
 * switched on in mid-turn. https://platform.claude.com/docs/en/build-with-claude/extended-thinking#toggling-thinking-modes-in-conversations
 */
function continuesUnsignedTurn({ messages }: ChatRequest): boolean {
  const turn = messages.findLast(({ role }) => role === 'assistant');
  const isAwaited = messages.at(-1)?.content.some(({ kind }) => kind === 'tool-result') === true;
  if (!isAwaited || turn?.role !== 'assistant') return false;
  const first = turn.content[0];
  const isSigned = first?.kind === 'reasoning' && (first.signature !== undefined || first.redacted !== undefined);
  return !isSigned;
}
