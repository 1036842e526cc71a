import { isObject } from '../json.js';
import type { ChatEvent, ChatStreamReader, SseEvent } from '../chat.js';
import { convertOpenAiUsage } from '../../openai-usage.js';
import { readStreamError } from './errors.js';
import { readFinish } from './finish.js';
import { readCreated, textOf } from './read-answer.js';
import { CallReader } from './read-stream-calls.js';
import { plainReasoning, readContentList, readReasoningDetails } from './reasoning.js';
import { parseEvent } from './usage.js';

type JsonObject = Readonly<Record<string, unknown>>;

interface ChoiceState {
  readonly calls: CallReader;
  hasRefusal: boolean;
  /** Its thoughts come as plain text, so that the text in the details is the same once more. */
  hasPlainReasoning: boolean;
  isFinished: boolean;
}

/** https://platform.openai.com/docs/api-reference/chat-streaming, and what others add to it. */
export function createStreamReader(): ChatStreamReader {
  const reader = new StreamReader();
  return { push: (event) => reader.push(event), end: () => reader.isWhole() };
}

class StreamReader {
  private readonly choices = new Map<number, ChoiceState>();
  private hasStarted = false;
  private hasFailed = false;
  private isDone = false;

  push({ event, data }: SseEvent): readonly ChatEvent[] {
    if (this.hasFailed || this.isDone) return [];
    if (data === '[DONE]') {
      this.isDone = true;
      return [];
    }
    const chunk = parseEvent(data);
    if (!isObject(chunk)) return [];
    const error = chunk['error'] ?? (event === 'error' ? chunk : undefined);
    if (error !== undefined) {
      this.hasFailed = true;
      return [{ kind: 'error', error: readStreamError(error) }];
    }
    const events: ChatEvent[] = [];
    this.readChunk(chunk, events);
    return events;
  }

  /** Some leave out `[DONE]`; then every answer that was begun must have said why it ended. */
  isWhole(): boolean {
    if (this.hasFailed) return false;
    if (this.isDone) return true;
    return this.choices.size > 0 && [...this.choices.values()].every((choice) => choice.isFinished);
  }

  private readChunk({ id, model, created, choices, usage }: JsonObject, events: ChatEvent[]): void {
    const hasChoices = Array.isArray(choices) && choices.length > 0;
    // Azure's first chunk has neither an id nor a choice, only what its filters say of the prompt.
    if (!this.hasStarted && (hasChoices || (typeof id === 'string' && id !== ''))) {
      this.hasStarted = true;
      const createdAt = readCreated(created);
      const start = { kind: 'start', id: textOf(id), model: textOf(model) } as const;
      events.push(createdAt === undefined ? start : { ...start, createdAt });
    }
    if (hasChoices) {
      for (const choice of choices as readonly unknown[]) if (isObject(choice)) this.readChoice(choice, events);
    }
    if (usage === undefined || usage === null) return;
    const total = convertOpenAiUsage(usage);
    if (total !== undefined) events.push({ kind: 'usage', usage: total });
  }

  private readChoice({ index, delta, logprobs, finish_reason: finish }: JsonObject, events: ChatEvent[]): void {
    const choice = typeof index === 'number' ? index : 0;
    const state = this.stateOf(choice);
    if (isObject(delta)) readDelta(delta, { choice, state, logprobs, events });
    if (typeof finish !== 'string' || finish === '' || state.isFinished) return;
    state.isFinished = true;
    state.calls.flush(events);
    const reason = readFinish(finish, { hasCalls: state.calls.count > 0, hasRefusal: state.hasRefusal });
    events.push({ kind: 'finish', choice, reason });
  }

  private stateOf(choice: number): ChoiceState {
    const known = this.choices.get(choice);
    if (known !== undefined) return known;
    const calls = new CallReader(choice);
    const state: ChoiceState = { calls, hasRefusal: false, hasPlainReasoning: false, isFinished: false };
    this.choices.set(choice, state);
    return state;
  }
}

interface DeltaPlace {
  readonly choice: number;
  readonly state: ChoiceState;
  readonly logprobs: unknown;
  readonly events: ChatEvent[];
}

function readDelta(delta: JsonObject, { choice, state, logprobs, events }: DeltaPlace): void {
  const { content, refusal, tool_calls: calls } = delta;
  readThoughts(delta, { choice, state, logprobs, events });
  if (typeof content === 'string') {
    if (isObject(logprobs)) events.push({ kind: 'text', choice, text: content, logprobs });
    else if (content !== '') events.push({ kind: 'text', choice, text: content });
  } else if (Array.isArray(content)) {
    for (const { kind, text } of readContentList(content)) events.push({ kind, choice, text });
  }
  if (typeof refusal === 'string' && refusal !== '') {
    state.hasRefusal = true;
    events.push({ kind: 'refusal', choice, text: refusal, ...(isObject(logprobs) ? { logprobs } : {}) });
  }
  if (Array.isArray(calls)) {
    for (const call of calls as readonly unknown[]) if (isObject(call)) state.calls.push(call, events);
  }
}

function readThoughts(delta: JsonObject, { choice, state, events }: DeltaPlace): void {
  const plain = plainReasoning(delta);
  if (plain !== '') {
    state.hasPlainReasoning = true;
    events.push({ kind: 'reasoning', choice, text: plain });
  }
  const details = delta['reasoning_details'];
  if (details === undefined || details === null) return;
  for (const { text, signature, redacted } of readReasoningDetails(details)) {
    if (redacted !== undefined) events.push({ kind: 'reasoning-redacted', choice, data: redacted });
    if (text !== '' && !state.hasPlainReasoning) events.push({ kind: 'reasoning', choice, text });
    if (signature !== undefined) events.push({ kind: 'reasoning-signature', choice, signature });
  }
}
