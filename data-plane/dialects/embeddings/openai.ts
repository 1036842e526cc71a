import { endianness } from 'node:os';
import type { UnreadableRequest } from '../chat/chat.js';
import { Faults, Fields } from '../chat/openai/fields.js';
import { isObject } from '../chat/json.js';
import { END_USER_FIELDS } from '../end-user.js';
import { convertOpenAiUsage } from '../openai-usage.js';
import {
  isVector,
  promptTokensOf,
  type EmbeddingsAnswer,
  type EmbeddingsDialect,
  type EmbeddingsRequest,
} from './embeddings.js';

/** https://platform.openai.com/docs/api-reference/embeddings */
export const openAiEmbeddings: EmbeddingsDialect = {
  readRequest,
  writeRequest: ({ texts, dimensions }, upstreamModel) => ({
    model: upstreamModel,
    input: texts,
    ...(dimensions !== undefined && { dimensions }),
  }),
  requestPath: () => '/embeddings',
  readAnswer,
  writeAnswer,
};

function readRequest(body: unknown): EmbeddingsRequest | UnreadableRequest {
  const faults = new Faults();
  if (!isObject(body)) return { unreadable: { field: '', message: 'The request body must be a JSON object.' } };
  const fields = new Fields(body, '', faults);
  fields.requiredString('model');
  const dimensions = fields.integer('dimensions', 1);
  const encoding = fields.oneOf('encoding_format', ['float', 'base64']);
  const texts = readInput(fields);
  // The other dialect has no place for it: what is not said needs no pseudonym.
  fields.passOver(...END_USER_FIELDS.openai);
  fields.finish();
  if (faults.first !== undefined) return { unreadable: faults.first };
  return {
    texts,
    ...(dimensions !== undefined && { dimensions }),
    encoding: encoding === 'base64' ? 'base64' : 'numbers',
    isSingle: false,
    unsupported: faults.inexpressible.map(({ field }) => field),
  };
}

/** Numbers of tokens mean something to one vendor's tokenizer only. */
function readInput(fields: Fields): readonly string[] {
  const input = fields.any('input');
  if (typeof input === 'string') return [input];
  const items: readonly unknown[] = Array.isArray(input) ? input : [];
  if (items.length > 0 && items.every((item) => typeof item === 'string')) return items;
  const isTokens = items.length > 0 && items.every((item) => typeof item === 'number' || Array.isArray(item));
  fields.refuse(
    'input',
    isTokens
      ? 'Tokens in "input" cannot be carried over to the provider that serves this model: give texts.'
      : '"input" must be a text or a list of texts.',
  );
  return [];
}

function readAnswer(body: unknown, { texts }: EmbeddingsRequest): EmbeddingsAnswer | undefined {
  if (!isObject(body) || !Array.isArray(body['data']) || body['data'].length !== texts.length) return undefined;
  const vectors: (readonly number[])[] = [];
  for (const [at, item] of (body['data'] as readonly unknown[]).entries()) {
    const { index = at, embedding } = isObject(item) ? item : {};
    if (typeof index !== 'number' || !isVector(embedding)) return undefined;
    vectors[index] = embedding;
  }
  // Each place once: with as many items as texts, one that is missing is one that is there twice.
  if (Object.keys(vectors).length !== texts.length || vectors.length !== texts.length) return undefined;
  return { vectors, usage: convertOpenAiUsage(body['usage']) };
}

function writeAnswer({ vectors, usage }: EmbeddingsAnswer, { encoding }: EmbeddingsRequest, model: string): object {
  const tokens = usage === undefined ? undefined : promptTokensOf(usage);
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: encoding === 'base64' ? toBase64(vector) : vector,
    })),
    model,
    ...(tokens !== undefined && { usage: { prompt_tokens: tokens, total_tokens: tokens } }),
  };
}

/** 32-bit floats, the lowest byte first, whatever the machine's own order is. All at once: answers hold 300,000 of them. */
function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.from(Float32Array.from(vector).buffer);
  return (endianness() === 'LE' ? bytes : bytes.swap32()).toString('base64');
}
