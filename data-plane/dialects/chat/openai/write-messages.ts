import type {
  AssistantMessage,
  ChatFeature,
  ChatRequest,
  MediaPart,
  TextPart,
  ToolCallPart,
  ToolResultPart,
  UserMessage,
} from '../chat.js';
import { isBoundToVendor } from './reasoning.js';
import { writeMedia } from './write-media.js';

type Message = Readonly<Record<string, unknown>>;

/**
 * Several texts become one string, paragraph by paragraph: that is the one form of `content` that every provider of this
 * dialect takes. Cache marks need no place, for OpenAI's models cache by themselves.
 */
export function writeMessages(
  { system, messages }: Pick<ChatRequest, 'system' | 'messages'>,
  unsupported: Set<ChatFeature>,
): Message[] {
  const written: Message[] = [];
  if (system.length > 0) written.push({ role: 'system', content: joinTexts(system) });
  for (const message of messages) {
    if (message.role === 'assistant') written.push(writeAssistant(message));
    else written.push(...writeUser(message, unsupported));
  }
  return written;
}

function joinTexts(parts: readonly TextPart[]): string {
  return parts.map((part) => part.text).join('\n\n');
}

/** Tool results have messages of their own, which must follow the calls; whatever else the turn holds comes behind them. */
function writeUser({ content }: UserMessage, unsupported: Set<ChatFeature>): Message[] {
  const results = content.filter((part) => part.kind === 'tool-result');
  const rest = content.filter((part) => part.kind !== 'tool-result');
  const messages = results.map((result) => writeToolResult(result, unsupported));
  if (rest.length > 0 || results.length === 0) messages.push({ role: 'user', content: writeParts(rest, unsupported) });
  return messages;
}

function writeToolResult({ callId, content, isError }: ToolResultPart, unsupported: Set<ChatFeature>): Message {
  if (content.some((part) => part.kind === 'media')) unsupported.add('toolResult.media');
  const text = joinTexts(content.filter((part) => part.kind === 'text'));
  // There is no flag for it, so the model is told in words.
  const told = isError === true && !/^\W*error/i.test(text) ? `Error: ${text}` : text;
  return { role: 'tool', tool_call_id: callId, content: told };
}

function writeParts(parts: readonly (TextPart | MediaPart)[], unsupported: Set<ChatFeature>): unknown {
  const texts = parts.filter((part) => part.kind === 'text');
  if (texts.length === parts.length) return joinTexts(texts);
  return parts.flatMap((part) => {
    if (part.kind === 'text') return [{ type: 'text', text: part.text }];
    const media = writeMedia(part);
    if (typeof media !== 'string') return [media];
    unsupported.add(media);
    return [];
  });
}

/**
 * Pieces of an answer were one text when the model said them. What it thought goes back only with its tool calls, where
 * DeepSeek demands it (https://api-docs.deepseek.com/guides/thinking_mode), and only if it is nobody's sealed proof: OpenAI
 * refuses fields that it does not know, and its models, which show no thoughts, get none.
 */
function writeAssistant({ content }: AssistantMessage): Message {
  const text = content.map((part) => (part.kind === 'text' ? part.text : '')).join('');
  const refusal = content.map((part) => (part.kind === 'refusal' ? part.text : '')).join('');
  const calls = content.filter((part) => part.kind === 'tool-call');
  const thoughts = content.filter((part) => part.kind === 'reasoning' && !isBoundToVendor(part));
  const reasoning = calls.length > 0 ? thoughts.map((part) => ('text' in part ? part.text : '')).join('') : '';
  return {
    role: 'assistant',
    content: text === '' && (calls.length > 0 || refusal !== '') ? null : text,
    ...(refusal === '' ? {} : { refusal }),
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(writeToolCall) }),
  };
}

function writeToolCall({ id, name, argumentsJson }: ToolCallPart): Message {
  return { id, type: 'function', function: { name, arguments: argumentsJson } };
}
