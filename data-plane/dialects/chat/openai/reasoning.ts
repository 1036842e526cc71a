import { isObject } from '../json.js';
import type { ReasoningPart, TextPart } from '../chat.js';

/*
 * OpenAI's own models do not show what they thought; those who took over its dialect do, each in a field of its own:
 * `reasoning_content` (https://api-docs.deepseek.com/guides/thinking_mode, https://docs.x.ai/docs/guides/reasoning),
 * `reasoning` (https://console.groq.com/docs/reasoning), `reasoning_details` where signatures must come back
 * (https://openrouter.ai/docs/use-cases/reasoning-tokens), and parts of `content` (https://docs.mistral.ai/capabilities/reasoning).
 */

interface WithReasoning {
  readonly reasoning_content?: unknown;
  readonly reasoning?: unknown;
  readonly reasoning_details?: unknown;
}

/** What a message says that its model thought. The details say the same as the plain text, and more; they win. */
export function readReasoning(message: WithReasoning): ReasoningPart[] {
  const parts = readReasoningDetails(message.reasoning_details);
  if (parts.length > 0) return parts;
  const text = plainReasoning(message);
  return text === '' ? [] : [{ kind: 'reasoning', text }];
}

/** @returns the plain text of a message's or a delta's reasoning, or '' */
export function plainReasoning({ reasoning_content: content, reasoning }: WithReasoning): string {
  if (typeof content === 'string' && content !== '') return content;
  return typeof reasoning === 'string' ? reasoning : '';
}

export function readReasoningDetails(details: unknown): ReasoningPart[] {
  if (!Array.isArray(details)) return [];
  const parts: ReasoningPart[] = [];
  for (const detail of details as readonly unknown[]) {
    if (!isObject(detail)) continue;
    const { type, text, summary, signature, data } = detail;
    if (type === 'reasoning.encrypted' && typeof data === 'string' && data !== '') {
      parts.push({ kind: 'reasoning', text: '', redacted: data });
      continue;
    }
    const words = typeof text === 'string' ? text : typeof summary === 'string' ? summary : '';
    const isSigned = typeof signature === 'string' && signature !== '';
    if (isSigned) parts.push({ kind: 'reasoning', text: words, signature });
    else if (words !== '') parts.push({ kind: 'reasoning', text: words });
  }
  return parts;
}

/**
 * The fields of an answer's message: the text for everybody who shows it, and the details only where there is something that
 * must come back unaltered.
 */
export function writeReasoning(parts: readonly ReasoningPart[]): Readonly<Record<string, unknown>> {
  if (parts.length === 0) return {};
  const text = parts.map((part) => part.text).join('');
  const needsDetails = parts.length > 1 || parts.some((part) => isBoundToVendor(part));
  return {
    ...(text === '' ? {} : { reasoning_content: text }),
    ...(needsDetails ? { reasoning_details: parts.map(writeReasoningDetail) } : {}),
  };
}

export function writeReasoningDetail(part: ReasoningPart, index: number): Readonly<Record<string, unknown>> {
  if (part.redacted !== undefined) return { type: 'reasoning.encrypted', data: part.redacted, index };
  const { text, signature } = part;
  return { type: 'reasoning.text', text, ...(signature === undefined ? {} : { signature }), index };
}

/** Signed or encrypted reasoning proves something to the vendor that made it and says nothing to another. */
export function isBoundToVendor({ signature, redacted }: ReasoningPart): boolean {
  return redacted !== undefined || (signature !== undefined && signature !== '');
}

/** Mistral's content as a list: `{type: 'thinking', thinking: [{type: 'text', text}]}` among `{type: 'text', text}`. */
export function readContentList(content: readonly unknown[]): (TextPart | ReasoningPart)[] {
  const parts: (TextPart | ReasoningPart)[] = [];
  for (const item of content) {
    if (!isObject(item)) continue;
    const { type, text, thinking } = item;
    if (type === 'text' && typeof text === 'string' && text !== '') parts.push({ kind: 'text', text });
    if (type !== 'thinking') continue;
    const thought = thinkingText(thinking);
    if (thought !== '') parts.push({ kind: 'reasoning', text: thought });
  }
  return parts;
}

function thinkingText(thinking: unknown): string {
  if (typeof thinking === 'string') return thinking;
  if (!Array.isArray(thinking)) return '';
  return (thinking as readonly unknown[])
    .map((piece) => (isObject(piece) && typeof piece['text'] === 'string' ? piece['text'] : ''))
    .join('');
}
