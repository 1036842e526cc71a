import type { Usage } from '@pingtoken/shared/rate-card';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { ChatEvent, ChatStreamWriter, FinishReason, Json } from '../chat.js';
import { stringifyExactly } from '../json.js';
import { writeAnthropicError } from './errors.js';
import { writeStop } from './stop-reason.js';
import { writeAnthropicUsage } from './usage.js';
import { messageHead, writeToolUse } from './write-answer.js';

interface StreamState {
  readonly model: string;
  hasStarted: boolean;
  hasClosed: boolean;
  /** What the open block holds; undefined between blocks. */
  open: 'text' | 'thinking' | 'tool' | undefined;
  /** Blocks begun so far. */
  count: number;
  /** The block of each call, by its number. */
  readonly callBlocks: Map<number, number>;
  refusal: string;
  finish: { readonly reason: FinishReason; readonly stopSequence?: string } | undefined;
  usage: Usage | undefined;
}

/**
 * Writes the vendor's events: https://platform.claude.com/docs/en/build-with-claude/streaming
 * `message_start`, then block after block, each begun and ended, then `message_delta` with the reason and the use of the whole,
 * and `message_stop`. Usage may be known last of all, so the two closing events wait for the end. The vendor has one answer a
 * call: what belongs to another choice has no place.
 */
export function createAnthropicStreamWriter(call: { readonly model: string }): ChatStreamWriter {
  const state: StreamState = {
    model: call.model,
    hasStarted: false,
    hasClosed: false,
    open: undefined,
    count: 0,
    callBlocks: new Map(),
    refusal: '',
    finish: undefined,
    usage: undefined,
  };
  return {
    push(event) {
      if (state.hasClosed || ('choice' in event && event.choice !== 0)) return '';
      return writeEvent(event, state);
    },
    end: () => writeEnd(state),
  };
}

function writeEvent(event: ChatEvent, state: StreamState): string {
  switch (event.kind) {
    case 'start':
      return writeStart(event.id, state);
    case 'text':
      return event.text === '' ? '' : into('text', state) + delta(state, { type: 'text_delta', text: event.text });
    case 'refusal':
      state.refusal += event.text;
      return '';
    case 'reasoning': {
      const begun = into('thinking', state);
      return event.text === '' ? begun : begun + delta(state, { type: 'thinking_delta', thinking: event.text });
    }
    case 'reasoning-signature':
      // Whatever is thought next is signed on its own.
      return (
        into('thinking', state) + delta(state, { type: 'signature_delta', signature: event.signature }) + close(state)
      );
    case 'reasoning-redacted':
      return begin(state, { type: 'redacted_thinking', data: event.data }, 'thinking') + close(state);
    case 'tool-call':
      return writeCall(event, state);
    case 'tool-arguments':
      return writeArguments(event, state);
    case 'finish':
      state.finish = { reason: event.reason, ...('stopSequence' in event ? { stopSequence: event.stopSequence } : {}) };
      return close(state);
    case 'usage':
      state.usage = event.usage;
      return '';
    case 'error': {
      state.hasClosed = true;
      const { status } = ERROR_CODES[event.error.code];
      return sse('error', writeAnthropicError({ ...event.error, status, param: null }));
    }
  }
}

function writeStart(id: string, state: StreamState): string {
  if (state.hasStarted) return '';
  state.hasStarted = true;
  const message = {
    ...messageHead(id, state.model),
    content: [],
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    usage: writeAnthropicUsage(state.usage),
  };
  return sse('message_start', { type: 'message_start', message });
}

const EMPTY_BLOCKS = {
  text: { type: 'text', text: '' },
  thinking: { type: 'thinking', thinking: '', signature: '' },
} as const;

/** @returns nothing where the block of that kind is open already */
function into(kind: keyof typeof EMPTY_BLOCKS, state: StreamState): string {
  return state.open === kind ? '' : begin(state, EMPTY_BLOCKS[kind], kind);
}

function begin(state: StreamState, block: Json, kind: NonNullable<StreamState['open']>): string {
  const before = writeStart('', state) + close(state);
  const index = state.count;
  state.count += 1;
  state.open = kind;
  return before + sse('content_block_start', { type: 'content_block_start', index, content_block: block });
}

function close(state: StreamState): string {
  if (state.open === undefined) return '';
  state.open = undefined;
  return sse('content_block_stop', { type: 'content_block_stop', index: state.count - 1 });
}

function delta(state: StreamState, change: Json): string {
  return sse('content_block_delta', { type: 'content_block_delta', index: state.count - 1, delta: change });
}

function writeCall(event: Extract<ChatEvent, { kind: 'tool-call' }>, state: StreamState): string {
  const begun = begin(state, writeToolUse(event, {}), 'tool');
  state.callBlocks.set(event.index, state.count - 1);
  return begun;
}

/** To the call's own block by its number, even where another one has begun since: clients put pieces together by it. */
function writeArguments(event: Extract<ChatEvent, { kind: 'tool-arguments' }>, state: StreamState): string {
  const index = state.callBlocks.get(event.index);
  if (index === undefined || event.json === '') return '';
  const change = { type: 'input_json_delta', partial_json: event.json };
  return sse('content_block_delta', { type: 'content_block_delta', index, delta: change });
}

function writeEnd(state: StreamState): string {
  if (state.hasClosed) return '';
  const before = writeStart('', state) + close(state);
  state.hasClosed = true;
  const finish = state.finish?.reason ?? (state.callBlocks.size > 0 ? 'tool-calls' : 'stop');
  const stop = writeStop({ finish, stopSequence: state.finish?.stopSequence, refusal: state.refusal });
  const messageDelta = { type: 'message_delta', delta: stop, usage: writeAnthropicUsage(state.usage) };
  return before + sse('message_delta', messageDelta) + sse('message_stop', { type: 'message_stop' });
}

function sse(event: string, data: Json): string {
  return `event: ${event}\ndata: ${stringifyExactly(data)}\n\n`;
}
