import type { Faults } from '../directives.js';
import { namedEvent, type Chunk } from '../payload.js';
import { NO_TOKENS, type TokenCount } from '../tokens.js';
import { callInput, partText, type AnswerPart, type ChatAnswer } from './answer.js';

/** Anthropic's usage object: what was read from or written to the cache is not part of `input_tokens`. */
function anthropicUsage(tokens: TokenCount, faults: Faults): object | undefined {
  if (faults.usage === 'none') return undefined;
  const shown = faults.usage === 'zero' ? NO_TOKENS : tokens;
  return {
    input_tokens: shown.prompt - shown.cached - shown.cacheWrite,
    cache_creation_input_tokens: shown.cacheWrite,
    cache_read_input_tokens: shown.cached,
    cache_creation: { ephemeral_5m_input_tokens: shown.cacheWrite, ephemeral_1h_input_tokens: 0 },
    output_tokens: shown.completion,
    output_tokens_details: { thinking_tokens: shown.reasoning },
    server_tool_use: null,
    service_tier: 'standard',
  };
}

interface Identity {
  readonly id: string;
  readonly model: string;
}

/** The answer as one `message` object. */
export function messageObject(identity: Identity, answer: ChatAnswer, faults: Faults): object {
  const content = answer.parts.map((part) => wholeBlock(part, answer.signature));
  const usage = anthropicUsage(answer.tokens, faults);
  return { ...envelope(identity), content, ...ending(answer), usage };
}

/**
 * The answer as the events of a stream: the start of the message, a ping, every block with one event a token, and the end
 * with the whole usage. https://docs.anthropic.com/en/docs/build-with-claude/streaming
 */
export function* messageEvents(identity: Identity, answer: ChatAnswer, faults: Faults): Generator<Chunk> {
  const atStart = { ...answer.tokens, completion: Math.min(1, answer.tokens.completion), reasoning: 0 };
  const open = { stop_reason: null, stop_sequence: null, stop_details: null };
  const message = { ...envelope(identity), content: [], ...open, usage: anthropicUsage(atStart, faults) };
  yield namedEvent({ type: 'message_start', message }, answer.hiddenReasoningTokens);
  yield namedEvent({ type: 'ping' });
  for (const [index, part] of answer.parts.entries()) {
    yield namedEvent({ type: 'content_block_start', index, content_block: emptyBlock(part) });
    const delta = (value: object, tokens: number): Chunk =>
      namedEvent({ type: 'content_block_delta', index, delta: value }, tokens);
    for (let at = 0; at < part.tokens; at += 1) yield delta(tokenDelta(part, part.tokenAt(at)), 1);
    if (part.kind === 'reasoning') yield delta({ type: 'signature_delta', signature: answer.signature }, 0);
    yield namedEvent({ type: 'content_block_stop', index });
  }
  const usage = anthropicUsage(answer.tokens, faults);
  const end = { type: 'message_delta', delta: ending(answer), usage };
  yield namedEvent(end, 0, usage !== undefined);
  yield namedEvent({ type: 'message_stop' });
}

function envelope({ id, model }: Identity): object {
  return { id, type: 'message', role: 'assistant', model, container: null };
}

const STOP_REASONS = { stop: 'end_turn', length: 'max_tokens', tools: 'tool_use', refusal: 'refusal' } as const;

function ending({ finish, stopSequence }: ChatAnswer): object {
  const refused = { type: 'refusal', category: null, explanation: 'The simulator was asked to refuse.' };
  return {
    stop_reason: stopSequence === undefined ? STOP_REASONS[finish] : 'stop_sequence',
    stop_sequence: stopSequence ?? null,
    stop_details: finish === 'refusal' ? refused : null,
  };
}

function wholeBlock(part: AnswerPart, signature: string): object {
  const text = partText(part);
  switch (part.kind) {
    case 'call':
      return { type: 'tool_use', id: `toolu_${part.id}`, name: part.name, input: callInput(part) };
    case 'reasoning':
      return { type: 'thinking', thinking: text, signature };
    case 'text':
    case 'refusal':
      return { type: 'text', text, citations: null };
  }
}

function emptyBlock(part: AnswerPart): object {
  switch (part.kind) {
    case 'call':
      return { type: 'tool_use', id: `toolu_${part.id}`, name: part.name, input: {} };
    case 'reasoning':
      return { type: 'thinking', thinking: '', signature: '' };
    case 'text':
    case 'refusal':
      return { type: 'text', text: '', citations: null };
  }
}

function tokenDelta({ kind }: AnswerPart, text: string): object {
  switch (kind) {
    case 'call':
      return { type: 'input_json_delta', partial_json: text };
    case 'reasoning':
      return { type: 'thinking_delta', thinking: text };
    case 'text':
    case 'refusal':
      return { type: 'text_delta', text };
  }
}
