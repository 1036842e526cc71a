import { parseJson } from '@pingtoken/shared/wire';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { Usage } from '@pingtoken/shared/rate-card';
import type { ChatUsageReader } from '../dialects/chat/chat.js';
import { CHAT_DIALECTS } from '../dialects/chat/chat-dialects.js';
import { convertGeminiEmbeddingUsage } from '../dialects/embeddings/gemini.js';
import { readUsage, type ReportingOperation } from '../dialects/operations/read-usage.js';
import type { Prepared } from '../forward/prepared-call.js';

/** How the usage of an answer that is relayed as it comes is read from it. */
export interface UsageReader {
  /** Whether a body of that content type may report usage. What is no JSON may be a text that the caller has shaped. */
  readsBody(contentType: string | undefined): boolean;
  /** The top-level members of a body that tell what was used; the others pass unread. */
  readonly members: ReadonlySet<string>;
  /** @param body the members that were kept */
  readBody(body: Readonly<Record<string, unknown>>): Usage | undefined;
  /** Bytes without which an event of a stream reports no usage. */
  readonly eventMark: string;
  /** Bytes without which an event names no service tier. */
  readonly tierMark: string;
  /** Longest event that is looked into. */
  readonly maxEventBytes: number;
  readStream(): ChatUsageReader;
}

/** The one place that chooses. @returns undefined for a call that is passed through: it costs its request, whatever it says */
export function usageReaderOf({ task, operation }: Prepared): UsageReader | undefined {
  if (task.kind === 'passthrough' || operation === 'passthrough') return undefined;
  const isVectors = operation === 'embeddings' && task.request.dialect === 'gemini';
  const reader = isVectors ? GEMINI_VECTORS : OPERATION_READERS[operation];
  return reader ?? CHAT_READERS[task.request.dialect];
}

const MEBIBYTE = 1024 * 1024;
const MAX_EVENT_BYTES = 4 * MEBIBYTE;
/** An event may be a whole picture, in base64. */
const MAX_PICTURE_EVENT_BYTES = 48 * MEBIBYTE;

const CHAT_READERS: Readonly<Record<Dialect, UsageReader>> = {
  openai: chatReader('openai'),
  anthropic: chatReader('anthropic'),
  gemini: chatReader('gemini'),
};

function chatReader(dialect: Dialect): UsageReader {
  const { usageMark, readUsage: readChatUsage, createUsageReader } = CHAT_DIALECTS[dialect];
  return {
    readsBody: () => true,
    members: new Set([usageMark.slice(1, -1), 'service_tier']),
    readBody: (body) => readChatUsage(body),
    eventMark: usageMark,
    tierMark: dialect === 'gemini' ? '"serviceTier"' : '"service_tier"',
    maxEventBytes: MAX_EVENT_BYTES,
    readStream: () => createUsageReader(),
  };
}

/** Sound and pictures have prices of their own there. */
const GEMINI_VECTORS: UsageReader = {
  ...CHAT_READERS.gemini,
  readBody: ({ usageMetadata }) => convertGeminiEmbeddingUsage(usageMetadata),
};

/** What counts tokens uses none, whatever it says. */
const FREE: UsageReader = {
  readsBody: () => true,
  members: new Set(),
  readBody: () => ({}),
  eventMark: '"usage"',
  tierMark: '"service_tier"',
  maxEventBytes: MAX_EVENT_BYTES,
  readStream: () => ({ push: () => ({}) }),
};

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;
const ALWAYS_READ = ['usage', 'error', 'type', 'service_tier'];

/** Operations whose answers have no dialect but OpenAI's; completions and embeddings report as chat does there. */
const OPERATION_READERS: Readonly<Partial<Record<string, UsageReader>>> = {
  'count-tokens': FREE,
  responses: operationReader('responses', 'output'),
  images: operationReader('images', 'data'),
  speech: operationReader('speech'),
  transcriptions: operationReader('transcriptions', 'text', 'duration'),
  translations: operationReader('translations', 'text', 'duration'),
  moderations: operationReader('moderations', 'results'),
  rerank: operationReader('rerank', 'results', 'data', 'meta'),
};

function operationReader(operation: ReportingOperation, ...members: readonly string[]): UsageReader {
  return {
    readsBody: (contentType = '') => JSON_TYPE.test(contentType),
    members: new Set([...ALWAYS_READ, ...members]),
    readBody: (body) => readUsage(operation, body),
    eventMark: '"usage"',
    tierMark: '"service_tier"',
    maxEventBytes: operation === 'images' ? MAX_PICTURE_EVENT_BYTES : MAX_EVENT_BYTES,
    readStream: () => ({ push: ({ data }) => readUsage(operation, parse(data)) }),
  };
}

function parse(data: string): unknown {
  try {
    return parseJson(data);
  } catch {
    return null;
  }
}
