import type { Usage } from '@pingtoken/shared/rate-card';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { ChatEvent, ChatStreamWriter } from '../chat.js';
import { stringifyExactly } from '../json.js';
import { writeError } from './errors.js';
import { writeFinishReason, writeMalformedCalls } from './finish-reasons.js';
import { writeLogprobs } from './logprobs.js';
import { readArguments, writeCall, writeModelPart, type ModelPart } from './parts.js';
import { writeUsage } from './usage.js';

/**
 * Writes the events of `streamGenerateContent?alt=sse`. What ends an answer and what was used are said together there, in
 * the last event, and so wait until the stream has ended.
 * https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
 */
export function createStreamWriter(call: { readonly model: string; readonly wantsUsage: boolean }): ChatStreamWriter {
  const choices = new Map<number, ChoiceWriter>();
  let responseId = '';
  let usage: Usage | undefined;

  const writeChunk = (fields: Record<string, unknown>): string =>
    writeEvent({ ...fields, modelVersion: call.model, responseId });

  function pushPart(event: PartEvent): string {
    const index = event.choice;
    let choice = choices.get(index);
    if (choice === undefined) {
      choice = createChoiceWriter();
      choices.set(index, choice);
    }
    const said = choice.push(event);
    const logprobs = 'logprobs' in event ? writeLogprobs(event.logprobs) : {};
    if (said.length === 0 && !('logprobsResult' in logprobs)) return '';
    const parts = said.length === 0 ? [{ text: '' }] : said;
    return writeChunk({ candidates: [{ content: { parts, role: 'model' }, index, ...logprobs }] });
  }

  return {
    push(event) {
      if (event.kind === 'error') {
        const { status } = ERROR_CODES[event.error.code];
        return writeEvent(writeError({ ...event.error, status, param: null }));
      }
      if (event.kind === 'usage') usage = event.usage;
      else if (event.kind === 'start') responseId = event.id;
      else return pushPart(event);
      return '';
    },
    end() {
      const candidates = [...choices].map(([index, choice]) => ({
        content: { parts: [{ text: '' }], role: 'model' },
        ...choice.end(),
        index,
      }));
      const usageMetadata = usage !== undefined && call.wantsUsage ? { usageMetadata: writeUsage(usage) } : {};
      return writeChunk({ candidates, ...usageMetadata });
    },
  };
}

type PartEvent = Exclude<ChatEvent, { readonly kind: 'start' | 'usage' | 'error' }>;

/** Writes one candidate. A call goes out whole, and so waits until something else comes. */
interface ChoiceWriter {
  /** @returns what can be said now */
  push(event: PartEvent): ModelPart[];
  /** @returns the fields that say why the candidate ended */
  end(): Record<string, unknown>;
}

/** A call as far as it has come. */
interface OpenCall {
  readonly id: string;
  readonly name: string;
  readonly signature: string | undefined;
  json: string;
}

function createChoiceWriter(): ChoiceWriter {
  const calls = new Map<number, OpenCall>();
  const malformed: OpenCall[] = [];
  let finishReason: string | undefined;

  /** The calls that wait, and a part behind them. */
  function release(part?: ModelPart): ModelPart[] {
    const parts: ModelPart[] = [];
    for (const open of calls.values()) {
      const written = writeOpenCall(open);
      if (written === undefined) malformed.push(open);
      else parts.push(written);
    }
    calls.clear();
    if (part !== undefined) parts.push(part);
    return parts;
  }

  return {
    push(event) {
      switch (event.kind) {
        case 'text':
        case 'refusal':
        case 'reasoning':
          return event.text === '' ? [] : release(writeModelPart({ kind: event.kind, text: event.text }));
        case 'reasoning-signature':
          return release(writeModelPart({ kind: 'reasoning', text: '', signature: event.signature }));
        case 'reasoning-redacted':
          return release(writeModelPart({ kind: 'reasoning', text: '', redacted: event.data }));
        case 'tool-call':
          calls.set(event.index, { id: event.id, name: event.name, signature: event.signature, json: '' });
          return [];
        case 'tool-arguments': {
          const open = calls.get(event.index);
          if (open !== undefined) open.json += event.json;
          return [];
        }
        case 'finish':
          finishReason = writeFinishReason(event.reason);
          return release();
      }
    },
    end() {
      if (malformed.length > 0) return writeMalformedCalls(malformed);
      return finishReason === undefined ? {} : { finishReason };
    },
  };
}

/** @returns undefined when its arguments are no JSON object */
function writeOpenCall({ id, name, signature, json }: OpenCall): ModelPart | undefined {
  const args = readArguments(json);
  const call = { kind: 'tool-call', id, name, argumentsJson: json } as const;
  return args && writeCall(signature === undefined ? call : { ...call, signature }, args);
}

/** Google ends its lines as HTTP does. */
function writeEvent(value: unknown): string {
  return `data: ${stringifyExactly(value)}\r\n\r\n`;
}
