import { z } from 'zod';

const part = z.object({ type: z.string(), text: z.string().optional() });
const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(part)]).nullish(),
});

/** The fields of a chat request that the simulator minds; others are accepted and ignored. */
export const chatRequestSchema = z.object({
  model: z.string().min(1),
  messages: z.array(message).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  n: z.int().min(1).max(8).nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  service_tier: z.string().max(100).nullish(),
  tools: z.array(z.object({ type: z.string(), function: z.object({ name: z.string().min(1) }).optional() })).nullish(),
});

export type ChatRequest = z.infer<typeof chatRequestSchema>;

/**
 * The token rule for prompts: one token for every four UTF-8 bytes, rounded up, at least 1. The bytes are those of
 * all text in all messages, directives included; roles, tools, images and audio count nothing.
 */
export function promptTokens(texts: Iterable<string>): number {
  let bytes = 0;
  for (const text of texts) bytes += Buffer.byteLength(text);
  return Math.max(1, Math.ceil(bytes / 4));
}

/** The text of every message, in order; the text parts of a multi-part content are joined without a separator. */
export function messageTexts(request: ChatRequest): string[] {
  return request.messages.map(({ content }) => {
    if (typeof content === 'string') return content;
    return (content ?? []).map((each) => each.text ?? '').join('');
  });
}

/** The text of the last user message, or '' where there is none. */
export function lastUserText(request: ChatRequest, texts: readonly string[]): string {
  return texts[request.messages.findLastIndex(({ role }) => role === 'user')] ?? '';
}
