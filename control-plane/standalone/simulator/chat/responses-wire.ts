import type { Faults } from '../directives.js';
import { namedEvent, type Chunk } from '../payload.js';
import { NO_TOKENS, type TokenCount } from '../tokens.js';
import { partText, type AnswerPart, type ChatAnswer } from './answer.js';

/** The fields of a response that follow from its request alone. */
export type ResponseFrame = Readonly<Record<string, unknown>> & { readonly id: string };

/** OpenAI's usage object of the Responses API; undefined where the faults forbid to report it. */
function responsesUsage(tokens: TokenCount, faults: Faults): object | undefined {
  if (faults.usage === 'none') return undefined;
  const shown = faults.usage === 'zero' ? NO_TOKENS : tokens;
  return {
    input_tokens: shown.prompt,
    input_tokens_details: { cached_tokens: shown.cached },
    output_tokens: shown.completion,
    output_tokens_details: { reasoning_tokens: shown.reasoning },
    total_tokens: shown.prompt + shown.completion,
  };
}

/** The answer as one `response` object. */
export function responseObject(frame: ResponseFrame, answer: ChatAnswer, faults: Faults): object {
  return {
    ...frame,
    ...ending(answer),
    output: outputItems(frame, answer),
    usage: responsesUsage(answer.tokens, faults),
  };
}

interface Place {
  readonly frame: ResponseFrame;
  readonly answer: ChatAnswer;
  readonly part: AnswerPart;
  readonly index: number;
}

/**
 * The answer as the events of a stream: the response, each item of its output with one event a token, and the whole
 * response. https://platform.openai.com/docs/api-reference/responses-streaming
 */
export function* responseEvents(frame: ResponseFrame, answer: ChatAnswer, faults: Faults): Generator<Chunk> {
  let sequence = -1;
  const event = (type: string, fields: object, tokens = 0, tellsUsage = false): Chunk => {
    sequence += 1;
    return namedEvent({ type, sequence_number: sequence, ...fields }, tokens, tellsUsage);
  };
  const open = { ...frame, status: 'in_progress', incomplete_details: null, output: [], usage: null };
  yield event('response.created', { response: open });
  yield event('response.in_progress', { response: open }, answer.hiddenReasoningTokens);
  for (const { type, fields, tokens } of outputEvents(frame, answer)) yield event(type, fields, tokens);
  const type = answer.finish === 'length' || answer.finish === 'refusal' ? 'response.incomplete' : 'response.completed';
  yield event(type, { response: responseObject(frame, answer, faults) }, 0, faults.usage !== 'none');
}

/** The events of the items of an answer, which the Responses API and the Realtime API share. */
export function* outputEvents(frame: ResponseFrame, answer: ChatAnswer): Generator<PartEvent> {
  for (const [index, part] of answer.parts.entries()) {
    const place = { frame, answer, part, index };
    yield { type: 'response.output_item.added', fields: { output_index: index, item: emptyItem(place) } };
    yield* partEvents(place);
    yield { type: 'response.output_item.done', fields: { output_index: index, item: outputItem(place) } };
  }
}

/** The items of an answer. */
export function outputItems(frame: ResponseFrame, answer: ChatAnswer): object[] {
  return answer.parts.map((part, index) => outputItem({ frame, answer, part, index }));
}

interface PartEvent {
  readonly type: string;
  readonly fields: object;
  readonly tokens?: number;
}

function* partEvents(place: Place): Generator<PartEvent> {
  const { part, index } = place;
  const where = { item_id: itemId(place), output_index: index };
  const whole = partText(part);
  if (part.kind === 'call') {
    const name = 'response.function_call_arguments';
    yield* deltas(`${name}.delta`, part, where);
    yield { type: `${name}.done`, fields: { ...where, name: part.name, arguments: whole } };
    return;
  }
  const inside = part.kind === 'reasoning' ? { summary_index: 0 } : { content_index: 0 };
  const frame = part.kind === 'reasoning' ? 'response.reasoning_summary_part' : 'response.content_part';
  const name = {
    reasoning: 'response.reasoning_summary_text',
    text: 'response.output_text',
    refusal: 'response.refusal',
  }[part.kind];
  const spot = { ...where, ...inside };
  yield { type: `${frame}.added`, fields: { ...spot, part: contentPart(part, '') } };
  yield* deltas(`${name}.delta`, part, { ...spot, ...(part.kind === 'text' && { logprobs: [] }) });
  const said = part.kind === 'refusal' ? { refusal: whole } : { text: whole };
  yield { type: `${name}.done`, fields: { ...spot, ...said, ...(part.kind === 'text' && { logprobs: [] }) } };
  yield { type: `${frame}.done`, fields: { ...spot, part: contentPart(part, whole) } };
}

function* deltas(type: string, part: AnswerPart, where: object): Generator<PartEvent> {
  for (let at = 0; at < part.tokens; at += 1) yield { type, fields: { ...where, delta: part.tokenAt(at) }, tokens: 1 };
}

function ending({ finish }: ChatAnswer): object {
  if (finish === 'length') return { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } };
  if (finish === 'refusal') return { status: 'incomplete', incomplete_details: { reason: 'content_filter' } };
  return { status: 'completed', incomplete_details: null };
}

function itemId({ frame, part, index }: Place): string {
  const prefix = part.kind === 'call' ? 'fc' : part.kind === 'reasoning' ? 'rs' : 'msg';
  return `${prefix}_${frame.id.replace(/^resp_/, '')}_${index}`;
}

function outputItem(place: Place): object {
  return itemObject(place, partText(place.part), 'completed');
}

function emptyItem(place: Place): object {
  return itemObject(place, undefined, 'in_progress');
}

/** `text` is undefined where the item has only begun. */
function itemObject(place: Place, text: string | undefined, status: string): object {
  const { part, answer } = place;
  const id = itemId(place);
  if (part.kind === 'call') {
    return { id, type: 'function_call', call_id: `call_${part.id}`, name: part.name, arguments: text ?? '', status };
  }
  const content = text === undefined ? [] : [contentPart(part, text)];
  if (part.kind === 'reasoning') {
    return { id, type: 'reasoning', summary: content, encrypted_content: text === undefined ? null : answer.signature };
  }
  return { id, type: 'message', role: 'assistant', status, content };
}

function contentPart({ kind }: AnswerPart, text: string): object {
  if (kind === 'reasoning') return { type: 'summary_text', text };
  return kind === 'refusal'
    ? { type: 'refusal', refusal: text }
    : { type: 'output_text', text, annotations: [], logprobs: [] };
}

/** https://platform.openai.com/docs/api-reference/responses-streaming/error */
export function streamError(): { event: string; json: string } {
  const message = 'Simulated error inside the stream.';
  const error = { type: 'error', code: 'server_error', message, param: null, sequence_number: 0 };
  return { event: 'error', json: JSON.stringify(error) };
}
