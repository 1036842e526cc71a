import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { UnreadableRequest } from './chat/chat.js';
import { isObject } from './chat/json.js';
import { geminiPath, modelResource } from './gemini-act.js';

/**
 * How many tokens a prompt has, in the two dialects that have a call for it. OpenAI's chat has none: there a prompt is
 * counted by us.
 * https://platform.claude.com/docs/en/api/messages/count_tokens, https://ai.google.dev/api/tokens
 */
export interface CountDialect {
  /** @returns the request that is to be counted, as one for an answer */
  readRequest(body: unknown): { readonly whole: Json } | UnreadableRequest;
  /** @param body a request for an answer, in this dialect */
  writeRequest(body: Json, upstreamModel: string): Json;
  requestPath(upstreamModel: string): string;
  /** @returns undefined when the body is no answer of this vendor's */
  readAnswer(body: unknown): number | undefined;
  writeAnswer(tokens: number): Json;
}

type Json = Readonly<Record<string, unknown>>;

export const COUNT_DIALECTS = {
  openai: undefined,
  anthropic: {
    // An answer needs a limit, and a count knows none.
    readRequest: (body) => (isObject(body) ? { whole: { max_tokens: 1, ...body } } : NO_OBJECT),
    writeRequest: (body) => Object.fromEntries(Object.entries(body).filter(([name]) => COUNTED.has(name))),
    requestPath: () => '/messages/count_tokens',
    readAnswer: (body) => countOf(body, 'input_tokens'),
    writeAnswer: (tokens) => ({ input_tokens: tokens }),
  },
  gemini: {
    readRequest: readGeminiCount,
    writeRequest: (body, upstreamModel) => ({
      generateContentRequest: { model: modelResource(upstreamModel), ...body },
    }),
    requestPath: (upstreamModel) => geminiPath(upstreamModel, 'countTokens'),
    readAnswer: (body) => countOf(body, 'totalTokens'),
    writeAnswer: (tokens) => ({ totalTokens: tokens }),
  },
} as const satisfies Readonly<Record<Dialect, CountDialect | undefined>>;

/** Fields of a message request that the vendor counts; it refuses the others there. */
const COUNTED: ReadonlySet<string> = new Set([
  ...['model', 'messages', 'system', 'tools', 'tool_choice', 'thinking', 'output_config', 'cache_control'],
]);

const NO_OBJECT: UnreadableRequest = { unreadable: { field: '', message: 'The request body must be a JSON object.' } };

/** Contents alone, or a whole request for content; never both. */
function readGeminiCount(body: unknown): { readonly whole: Json } | UnreadableRequest {
  if (!isObject(body)) return NO_OBJECT;
  const { generateContentRequest: camel, generate_content_request: snake, ...others } = body;
  const whole = camel ?? snake;
  if (whole === undefined || whole === null) return { whole: others };
  const [other] = Object.entries(others).find(([, value]) => value !== null) ?? [];
  if (other !== undefined) {
    const message = `The field "${other}" cannot stand beside "generateContentRequest".`;
    return { unreadable: { field: other, message } };
  }
  if (isObject(whole)) return { whole };
  const field = 'generateContentRequest';
  return { unreadable: { field, message: `The field "${field}" must be an object.` } };
}

function countOf(body: unknown, name: string): number | undefined {
  const count = isObject(body) ? body[name] : undefined;
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : undefined;
}
