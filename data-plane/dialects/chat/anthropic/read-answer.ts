import type { AssistantPart, ChatAnswer, Json } from '../chat.js';
import { isObject, stringifyExactly } from '../json.js';
import { readStopReason } from './stop-reason.js';
import { convertAnthropicUsage } from './usage.js';

/**
 * A message as the vendor answers with it: https://platform.claude.com/docs/en/api/messages#response
 * Blocks of tools that the provider runs itself are passed over, for no request of another dialect asks for any.
 */
export function readAnthropicAnswer(body: Json): ChatAnswer | undefined {
  if (!isObject(body) || body['type'] !== 'message' || !Array.isArray(body['content'])) return undefined;
  const content = (body['content'] as readonly unknown[]).flatMap(readBlock);
  const explanation = readExplanation(body['stop_details']);
  if (explanation !== undefined) content.push({ kind: 'refusal', text: explanation });
  const stopSequence = body['stop_sequence'];
  return {
    id: textOf(body['id']),
    model: textOf(body['model']),
    choices: [
      {
        content,
        finish: readStopReason(body['stop_reason']),
        ...(typeof stopSequence === 'string' ? { stopSequence } : {}),
      },
    ],
    usage: convertAnthropicUsage(body['usage']),
  };
}

/** What the vendor says of a refusal is what other dialects have the model say. */
export function readExplanation(details: unknown): string | undefined {
  const explanation = isObject(details) ? details['explanation'] : undefined;
  return typeof explanation === 'string' && explanation !== '' ? explanation : undefined;
}

function readBlock(block: unknown): readonly AssistantPart[] {
  if (!isObject(block)) return [];
  switch (block['type']) {
    case 'text':
      return [{ kind: 'text', text: textOf(block['text']) }];
    case 'thinking': {
      const signature = textOf(block['signature']);
      return [{ kind: 'reasoning', text: textOf(block['thinking']), ...(signature === '' ? {} : { signature }) }];
    }
    case 'redacted_thinking':
      return [{ kind: 'reasoning', text: '', redacted: textOf(block['data']) }];
    case 'tool_use':
      return [
        {
          kind: 'tool-call',
          id: textOf(block['id']),
          name: textOf(block['name']),
          argumentsJson: stringifyExactly(block['input'] ?? {}),
          ...readCallSignature(block),
        },
      ];
    default:
      return [];
  }
}

/** Ours: see `writeToolUse` of write-answer.ts. */
export function readCallSignature(block: Readonly<Record<string, unknown>>): { readonly signature?: string } {
  const signature = block['signature'];
  return typeof signature === 'string' ? { signature } : {};
}

/** @returns the text, or an empty one where there is none */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
