import type { ChatEvent, ChatStreamReader } from '../chat.js';
import { isObject, parseJsonExactly, stringifyExactly } from '../json.js';
import { readAnthropicErrorEvent } from './errors.js';
import { readCallSignature, readExplanation, textOf } from './read-answer.js';
import { readStopReason } from './stop-reason.js';
import { convertAnthropicUsage, countsAnswer, mergeUsageReports, parseEvent, usageReportOf } from './usage.js';

type Fields = Readonly<Record<string, unknown>>;

/** A block that has begun; those of kinds that are passed over are not kept, and so are their pieces not. */
type OpenBlock =
  | { readonly kind: 'text' }
  | { readonly kind: 'thinking'; hasText: boolean }
  | { readonly kind: 'tool'; readonly call: number; hasArguments: boolean };

interface StreamState {
  readonly blocks: Map<unknown, OpenBlock>;
  calls: number;
  usageReport: unknown;
  hasFinished: boolean;
  hasFailed: boolean;
}

/**
 * Reads the vendor's events: https://platform.claude.com/docs/en/build-with-claude/streaming
 * Those that it does not know, pings among them, say nothing: the vendor adds kinds as it likes.
 */
export function createAnthropicStreamReader(): ChatStreamReader {
  const state: StreamState = {
    blocks: new Map(),
    calls: 0,
    usageReport: undefined,
    hasFinished: false,
    hasFailed: false,
  };
  return {
    push({ data }) {
      if (state.hasFailed) return [];
      const event = parseEvent(data);
      return event === undefined ? [] : readEvent(event, data, state);
    },
    end: () => state.hasFinished && !state.hasFailed,
  };
}

function readEvent(event: Fields, data: string, state: StreamState): readonly ChatEvent[] {
  switch (event['type']) {
    case 'content_block_delta':
      return isObject(event['delta']) ? readDelta(event['delta'], state.blocks.get(event['index'])) : [];
    case 'content_block_start':
      return isObject(event['content_block'])
        ? readBlockStart(event['content_block'], event['index'], data, state)
        : [];
    case 'content_block_stop':
      return readBlockStop(event['index'], state);
    case 'message_start':
      return readMessageStart(event, state);
    case 'message_delta':
      return readMessageDelta(event, state);
    case 'message_stop':
      state.hasFinished = true;
      return [];
    case 'error':
      state.hasFailed = true;
      return [{ kind: 'error', error: readAnthropicErrorEvent(event) }];
    default:
      return [];
  }
}

function readMessageStart(event: Fields, state: StreamState): readonly ChatEvent[] {
  const message = isObject(event['message']) ? event['message'] : {};
  return [{ kind: 'start', id: textOf(message['id']), model: textOf(message['model']) }, ...readUsage(event, state)];
}

function readMessageDelta(event: Fields, state: StreamState): readonly ChatEvent[] {
  const delta = isObject(event['delta']) ? event['delta'] : {};
  const usage = readUsage(event, state);
  if (typeof delta['stop_reason'] !== 'string' || state.hasFinished) return usage;
  state.hasFinished = true;
  const explanation = readExplanation(delta['stop_details']);
  const stopSequence = delta['stop_sequence'];
  const refusal: ChatEvent[] = explanation === undefined ? [] : [{ kind: 'refusal', choice: 0, text: explanation }];
  const finish: ChatEvent = {
    kind: 'finish',
    choice: 0,
    reason: readStopReason(delta['stop_reason']),
    ...(typeof stopSequence === 'string' ? { stopSequence } : {}),
  };
  return [...refusal, finish, ...usage];
}

function readUsage(event: Fields, state: StreamState): readonly ChatEvent[] {
  const report = usageReportOf(event);
  if (report === undefined) return [];
  state.usageReport = mergeUsageReports(state.usageReport, report);
  const usage = convertAnthropicUsage(state.usageReport);
  if (usage === undefined) return [];
  return [countsAnswer(event) ? { kind: 'usage', usage } : { kind: 'usage', usage, ofPromptOnly: true }];
}

function readBlockStart(block: Fields, index: unknown, data: string, state: StreamState): readonly ChatEvent[] {
  switch (block['type']) {
    case 'text': {
      state.blocks.set(index, { kind: 'text' });
      const text = textOf(block['text']);
      return text === '' ? [] : [{ kind: 'text', choice: 0, text }];
    }
    case 'thinking': {
      const text = textOf(block['thinking']);
      const open: OpenBlock = { kind: 'thinking', hasText: text !== '' };
      state.blocks.set(index, open);
      const signature = textOf(block['signature']);
      const begun: ChatEvent[] = text === '' ? [] : [{ kind: 'reasoning', choice: 0, text }];
      return signature === '' ? begun : [...begun, ...signed(open, signature)];
    }
    case 'redacted_thinking':
      return [{ kind: 'reasoning-redacted', choice: 0, data: textOf(block['data']) }];
    case 'tool_use': {
      const call = state.calls;
      state.calls += 1;
      const given = givenArguments(block['input'], data);
      state.blocks.set(index, { kind: 'tool', call, hasArguments: given !== undefined });
      const { id, name } = block;
      const start: ChatEvent = {
        kind: 'tool-call',
        choice: 0,
        index: call,
        id: textOf(id),
        name: textOf(name),
        ...readCallSignature(block),
      };
      return given === undefined ? [start] : [start, { kind: 'tool-arguments', choice: 0, index: call, json: given }];
    }
    default:
      return [];
  }
}

/** The vendor begins with an empty object and sends the arguments after it; imitations may give them whole at once. */
function givenArguments(input: unknown, data: string): string | undefined {
  if (!isObject(input) || Object.keys(input).length === 0) return undefined;
  const exact = parseJsonExactly(data);
  const block = isObject(exact) ? exact['content_block'] : undefined;
  return stringifyExactly(isObject(block) ? block['input'] : input);
}

function readDelta(delta: Fields, block: OpenBlock | undefined): readonly ChatEvent[] {
  switch (block?.kind) {
    case 'text': {
      const text = textOf(delta['text']);
      return text === '' ? [] : [{ kind: 'text', choice: 0, text }];
    }
    case 'tool': {
      const json = textOf(delta['partial_json']);
      if (json === '') return [];
      block.hasArguments = true;
      return [{ kind: 'tool-arguments', choice: 0, index: block.call, json }];
    }
    case 'thinking': {
      const signature = textOf(delta['signature']);
      if (signature !== '') return signed(block, signature);
      const text = textOf(delta['thinking']);
      if (text === '') return [];
      block.hasText = true;
      return [{ kind: 'reasoning', choice: 0, text }];
    }
    case undefined:
      return [];
  }
}

/** A signature belongs to the reasoning before it: thoughts that are not shown are begun for it, with no text. */
function signed(block: Extract<OpenBlock, { kind: 'thinking' }>, signature: string): readonly ChatEvent[] {
  const begun: ChatEvent[] = block.hasText ? [] : [{ kind: 'reasoning', choice: 0, text: '' }];
  block.hasText = true;
  return [...begun, { kind: 'reasoning-signature', choice: 0, signature }];
}

/** A call without arguments sends no piece of them, and others read an empty text as no JSON. */
function readBlockStop(index: unknown, state: StreamState): readonly ChatEvent[] {
  const block = state.blocks.get(index);
  state.blocks.delete(index);
  if (block?.kind !== 'tool' || block.hasArguments) return [];
  return [{ kind: 'tool-arguments', choice: 0, index: block.call, json: '{}' }];
}
