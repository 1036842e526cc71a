import type { AssistantPart, ChatAnswer, ChatChoice, ToolCallPart } from '../chat.js';
import { writeFinish } from './finish.js';
import { writeReasoning } from './reasoning.js';
import { writeThoughtSignature } from './thought-signature.js';
import { writeUsage } from './usage.js';

type JsonObject = Readonly<Record<string, unknown>>;

/** https://platform.openai.com/docs/api-reference/chat/object */
export function writeAnswer(answer: ChatAnswer, model: string): JsonObject {
  return {
    id: answer.id,
    object: 'chat.completion',
    created: answer.createdAt ?? secondsNow(),
    model,
    choices: answer.choices.map(writeChoice),
    ...(answer.usage === undefined ? {} : { usage: writeUsage(answer.usage) }),
  };
}

/** Anthropic's and Gemini's answers have no date, and OpenAI's must have one. */
export function secondsNow(): number {
  return Math.floor(Date.now() / 1000);
}

function writeChoice({ content, finish, logprobs }: ChatChoice, index: number): JsonObject {
  const hasRefusal = content.some((part) => part.kind === 'refusal');
  return {
    index,
    message: writeMessage(content),
    logprobs: logprobs ?? null,
    finish_reason: writeFinish(finish, hasRefusal),
  };
}

function writeMessage(content: readonly AssistantPart[]): JsonObject {
  const calls = content.filter((part) => part.kind === 'tool-call');
  return {
    role: 'assistant',
    content: joinOrNull(content, 'text'),
    refusal: joinOrNull(content, 'refusal'),
    ...writeReasoning(content.filter((part) => part.kind === 'reasoning')),
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(writeToolCall) }),
  };
}

function joinOrNull(content: readonly AssistantPart[], kind: 'text' | 'refusal'): string | null {
  const texts = content.flatMap((part) => (part.kind === kind ? [part.text] : []));
  return texts.length === 0 ? null : texts.join('');
}

function writeToolCall({ id, name, argumentsJson, signature }: ToolCallPart): JsonObject {
  return {
    id,
    type: 'function',
    function: { name, arguments: argumentsJson },
    ...writeThoughtSignature(signature),
  };
}
