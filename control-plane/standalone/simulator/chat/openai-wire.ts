import type { Faults } from '../directives.js';
import type { Chunk } from '../payload.js';
import { NO_TOKENS, type TokenCount } from '../tokens.js';
import { callsOf, partText, textOf, type AnswerPart, type ChatAnswer, type ToolCallPart } from './answer.js';

/** What every chunk of one completion repeats. `created` is in seconds since 1970. */
export interface Identity {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly serviceTier: string;
}

/** OpenAI's usage object; undefined where the faults forbid to report it. */
export function usageObject(tokens: TokenCount, faults: Faults): object | undefined {
  if (faults.usage === 'none') return undefined;
  const shown = faults.usage === 'zero' ? NO_TOKENS : tokens;
  return {
    prompt_tokens: shown.prompt,
    completion_tokens: shown.completion,
    total_tokens: shown.prompt + shown.completion,
    prompt_tokens_details: {
      cached_tokens: shown.cached,
      audio_tokens: 0,
      ...(shown.cacheWrite > 0 && { cache_write_tokens: shown.cacheWrite }),
    },
    completion_tokens_details: {
      reasoning_tokens: shown.reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

const FINISH = { stop: 'stop', length: 'length', tools: 'tool_calls', refusal: 'content_filter' } as const;

/** The answer as one `chat.completion` object. */
export function completionObject(identity: Identity, answer: ChatAnswer, faults: Faults): object {
  const reasoning = textOf(answer, 'reasoning');
  const message = { ...messageOf(answer), ...(reasoning !== '' && { reasoning_content: reasoning }) };
  return {
    ...envelope(identity, 'chat.completion'),
    choices: Array.from({ length: answer.choices }, (_, index) => ({
      index,
      message,
      logprobs: null,
      finish_reason: FINISH[answer.finish],
    })),
    usage: usageObject(answer.tokens, faults),
  };
}

/**
 * The answer as the events of a stream, `[DONE]` not included: for each choice the role, one event a token and the
 * finish reason; then, if `includeUsage`, the usage with no choices. With `includeUsage` every earlier event has
 * `usage: null`; without it, or with the fault `usage=none`, no event has a `usage` at all. A call that is not
 * the first of its choice begins with an event of its own.
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
    // Hidden reasoning is over before the first visible word, so its tokens are spent with the role.
    yield chunk(openingDelta(answer), answer.hiddenReasoningTokens);
    let calls = 0;
    for (const part of answer.parts) {
      const isFirst = part === answer.parts[0];
      if (part.kind === 'call' && !isFirst) yield chunk({ tool_calls: [{ index: calls, ...toolCall(part, '') }] }, 0);
      for (let at = 0; at < part.tokens; at += 1) yield chunk(tokenDelta(part, calls, part.tokenAt(at)), 1);
      if (part.kind === 'call') calls += 1;
    }
    yield chunk({}, 0, FINISH[answer.finish]);
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

function messageOf(answer: ChatAnswer): object {
  const calls = callsOf(answer);
  if (calls.length > 0) {
    const toolCalls = calls.map((call) => toolCall(call, partText(call)));
    return { role: 'assistant', content: null, refusal: null, tool_calls: toolCalls };
  }
  const refusal = textOf(answer, 'refusal');
  if (refusal !== '') return { role: 'assistant', content: null, refusal };
  return { role: 'assistant', content: textOf(answer, 'text'), refusal: null, annotations: [] };
}

function toolCall({ id, name }: ToolCallPart, text: string): object {
  return { id: `call_${id}`, type: 'function', function: { name, arguments: text } };
}

function openingDelta(answer: ChatAnswer): object {
  const [first] = answer.parts;
  if (first?.kind !== 'call') return { role: 'assistant', content: '', refusal: null };
  return { role: 'assistant', content: null, tool_calls: [{ index: 0, ...toolCall(first, '') }] };
}

function tokenDelta({ kind }: AnswerPart, call: number, text: string): object {
  switch (kind) {
    case 'call':
      return { tool_calls: [{ index: call, function: { arguments: text } }] };
    case 'reasoning':
      return { reasoning_content: text };
    case 'refusal':
      return { refusal: text };
    case 'text':
      return { content: text };
  }
}
