import type { AssistantPart, ChatAnswer, Json, ToolCallPart } from '../chat.js';
import { writeStop } from './stop-reason.js';
import { writeAnthropicUsage } from './usage.js';
import { parseArguments } from './write-content.js';

/** A message as the vendor answers with it; it has one answer a call: https://platform.claude.com/docs/en/api/messages#response */
export function writeAnthropicAnswer(answer: ChatAnswer, model: string): Json {
  const choice = answer.choices[0];
  const content = choice?.content ?? [];
  const refusal = content.map((part) => (part.kind === 'refusal' ? part.text : '')).join('');
  return {
    ...messageHead(answer.id, model),
    content: content.flatMap(writeBlock),
    ...writeStop({ finish: choice?.finish ?? 'stop', stopSequence: choice?.stopSequence, refusal }),
    usage: writeAnthropicUsage(answer.usage),
  };
}

/** What every message says of itself, in a stream's first event too. */
export function messageHead(id: string, model: string): Readonly<Record<string, unknown>> {
  return { id, type: 'message', role: 'assistant', model, container: null };
}

function writeBlock(part: AssistantPart): readonly Json[] {
  switch (part.kind) {
    case 'text':
      return part.text === '' ? [] : [{ type: 'text', text: part.text }];
    case 'refusal':
      return [];
    case 'reasoning':
      return part.redacted === undefined
        ? [{ type: 'thinking', thinking: part.text, signature: part.signature ?? '' }]
        : [{ type: 'redacted_thinking', data: part.redacted }];
    case 'tool-call':
      return [writeToolUse(part, parseArguments(part.argumentsJson))];
  }
}

/**
 * Another vendor's signature of a call has to come back with it, and the vendor's own calls have none: it stands in a field of
 * ours, which clients give back with the block that they were given.
 */
export function writeToolUse(call: Pick<ToolCallPart, 'id' | 'name' | 'signature'>, input: Json): Json {
  const { id, name, signature } = call;
  return { type: 'tool_use', id, name, input, ...(signature === undefined ? {} : { signature }) };
}
