import { answerText, type ChatAnswer, type TokenCount } from './answer.js';
import type { Faults } from './directives.js';

/** What every chunk of one completion repeats. `created` is in seconds since 1970. */
export interface Identity {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly serviceTier: string;
}

/** One event of a stream: its JSON, the completion tokens that it carries, and whether it tells the usage. */
export interface Chunk {
  readonly json: string;
  readonly tokens: number;
  readonly tellsUsage: boolean;
}

const NO_TOKENS: TokenCount = { prompt: 0, completion: 0, cached: 0, reasoning: 0 };

/** OpenAI's usage object; undefined where the faults forbid to report it. */
export function usageObject(tokens: TokenCount, faults: Faults): object | undefined {
  if (faults.usage === 'none') return undefined;
  const shown = faults.usage === 'zero' ? NO_TOKENS : tokens;
  return {
    prompt_tokens: shown.prompt,
    completion_tokens: shown.completion,
    total_tokens: shown.prompt + shown.completion,
    prompt_tokens_details: { cached_tokens: shown.cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: shown.reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

/** The answer as one `chat.completion` object. */
export function completionObject(identity: Identity, answer: ChatAnswer, faults: Faults): object {
  const text = answerText(answer);
  const message = answer.tool
    ? { role: 'assistant', content: null, refusal: null, tool_calls: [toolCall(answer.tool, text)] }
    : { role: 'assistant', content: text, refusal: null, annotations: [] };
  return {
    ...envelope(identity, 'chat.completion'),
    choices: Array.from({ length: answer.choices }, (_, index) => ({
      index,
      message,
      logprobs: null,
      finish_reason: answer.finishReason,
    })),
    usage: usageObject(answer.tokens, faults),
  };
}

/**
 * The answer as the events of a stream, `[DONE]` not included: for each choice the role, one event a token and the
 * finish reason; then, if `includeUsage`, the usage with no choices. With `includeUsage` every earlier event has
 * `usage: null`; without it, or with the fault `usage=none`, no event has a `usage` at all.
 */
export function* completionChunks(
  identity: Identity,
  answer: ChatAnswer,
  faults: Faults,
  includeUsage: boolean,
): Generator<Chunk> {
  const usage = includeUsage ? usageObject(answer.tokens, faults) : undefined;
  const head = JSON.stringify(envelope(identity, 'chat.completion.chunk')).slice(0, -1);
  const tail = usage ? ',"usage":null}' : '}';
  for (let index = 0; index < answer.choices; index += 1) {
    const chunk = (delta: object, tokens: number, finish: string | null = null): Chunk => {
      const choice = JSON.stringify({ index, delta, logprobs: null, finish_reason: finish });
      return { json: `${head},"choices":[${choice}]${tail}`, tokens, tellsUsage: false };
    };
    // Reasoning is over before the first visible word, so its tokens are spent with the role.
    yield chunk(openingDelta(answer), answer.reasoningTokens);
    for (let at = 0; at < answer.visibleTokens; at += 1) yield chunk(tokenDelta(answer, answer.tokenAt(at)), 1);
    yield chunk({}, 0, answer.finishReason);
  }
  if (usage) yield { json: `${head},"choices":[],"usage":${JSON.stringify(usage)}}`, tokens: 0, tellsUsage: true };
}

function envelope(identity: Identity, object: string): object {
  return {
    id: identity.id,
    object,
    created: identity.created,
    model: identity.model,
    service_tier: identity.serviceTier,
    system_fingerprint: 'fp_pingtoken_sim',
  };
}

function toolCall(tool: { id: string; name: string }, text: string): object {
  return { id: tool.id, type: 'function', function: { name: tool.name, arguments: text } };
}

function openingDelta(answer: ChatAnswer): object {
  if (!answer.tool) return { role: 'assistant', content: '', refusal: null };
  return { role: 'assistant', content: null, tool_calls: [{ index: 0, ...toolCall(answer.tool, '') }] };
}

function tokenDelta(answer: ChatAnswer, text: string): object {
  return answer.tool ? { tool_calls: [{ index: 0, function: { arguments: text } }] } : { content: text };
}
