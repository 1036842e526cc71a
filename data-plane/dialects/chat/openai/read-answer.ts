import { isObject, plainNumber, stringifyExactly } from '../json.js';
import type { AssistantPart, ChatAnswer, ChatChoice, ToolCallPart } from '../chat.js';
import { readFinish } from './finish.js';
import { readContentList, readReasoning } from './reasoning.js';
import { readThoughtSignature } from './thought-signature.js';
import { readUsage } from './usage.js';

/** https://platform.openai.com/docs/api-reference/chat/object, and what others add to it. */
export function readAnswer(body: unknown): ChatAnswer | undefined {
  if (!isObject(body) || !Array.isArray(body['choices'])) return undefined;
  const createdAt = readCreated(body['created']);
  const choices = (body['choices'] as readonly unknown[]).filter(isObject);
  return {
    id: textOf(body['id']),
    model: textOf(body['model']),
    ...(createdAt === undefined ? {} : { createdAt }),
    choices: choices.toSorted((one, other) => indexOf(one) - indexOf(other)).map(readChoice),
    usage: readUsage(body),
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function readCreated(value: unknown): number | undefined {
  const seconds = plainNumber(value);
  return typeof seconds === 'number' && seconds > 0 ? Math.floor(seconds) : undefined;
}

function indexOf({ index }: JsonObject): number {
  return typeof index === 'number' ? index : 0;
}

function readChoice(choice: JsonObject): ChatChoice {
  const content = isObject(choice['message']) ? readMessage(choice['message']) : [];
  const hasCalls = content.some((part) => part.kind === 'tool-call');
  const hasRefusal = content.some((part) => part.kind === 'refusal');
  const logprobs = choice['logprobs'];
  return {
    content,
    finish: readFinish(choice['finish_reason'], { hasCalls, hasRefusal }),
    ...(isObject(logprobs) ? { logprobs } : {}),
  };
}

function readMessage(message: JsonObject): AssistantPart[] {
  const { content, refusal, tool_calls: calls } = message;
  const parts: AssistantPart[] = readReasoning(message);
  if (Array.isArray(content)) parts.push(...readContentList(content));
  if (typeof content === 'string' && content !== '') parts.push({ kind: 'text', text: content });
  if (typeof refusal === 'string' && refusal !== '') parts.push({ kind: 'refusal', text: refusal });
  if (Array.isArray(calls)) parts.push(...(calls as readonly unknown[]).flatMap(readToolCall));
  return parts;
}

function readToolCall(call: unknown, index: number): ToolCallPart[] {
  const details = isObject(call) ? call['function'] : undefined;
  if (!isObject(call) || !isObject(details)) return [];
  const signature = readThoughtSignature(call['extra_content']);
  return [
    {
      kind: 'tool-call',
      // Every dialect but Gemini's finds the result by the id; some who speak this one leave it out.
      id: textOf(call['id']) || madeUpCallId(index),
      name: textOf(details['name']),
      argumentsJson: readArguments(details['arguments']) || '{}',
      ...(signature === undefined ? {} : { signature }),
    },
  ];
}

export function madeUpCallId(index: number): string {
  return `call_${index}`;
}

/** JSON text, as documented, or the object itself, as some have it. */
export function readArguments(value: unknown): string {
  if (typeof value === 'string') return value;
  return isObject(value) ? stringifyExactly(value) : '';
}
