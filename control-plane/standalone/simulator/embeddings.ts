import { z } from 'zod';
import { promptTokens } from './tokens.js';
import { hash, mix } from './words.js';

const tokenArray = z.array(z.int().min(0)).min(1);

/** An embeddings request: one text, texts, one token array, or token arrays; at most 2048 inputs, 3072 dimensions. */
export const embeddingsRequestSchema = z.object({
  model: z.string().min(1),
  input: z.union([
    z.string().min(1),
    z.array(z.string().min(1)).min(1).max(2048),
    tokenArray,
    z.array(tokenArray).min(1).max(2048),
  ]),
  dimensions: z.int().min(1).max(3072).nullish(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
});

export type EmbeddingsRequest = z.infer<typeof embeddingsRequestSchema>;

const DEFAULT_DIMENSIONS = 256;

/** The inputs one by one: a text, or the numbers of its tokens. */
export function embeddingInputs(input: EmbeddingsRequest['input']): (string | number[])[] {
  if (typeof input === 'string') return [input];
  const tokens = z.array(z.number()).safeParse(input);
  return tokens.success ? [tokens.data] : (input as (string | number[])[]);
}

/** One token for every four UTF-8 bytes of an input, rounded up, at least 1; a token array counts its length. */
export function embeddingTokens(inputs: readonly (string | number[])[]): number {
  return inputs.reduce((sum, input) => sum + (typeof input === 'string' ? promptTokens([input]) : input.length), 0);
}

/**
 * The answer to an embeddings request, `usage` left out. Vectors follow from the input alone, have length 1, and
 * are the same 32-bit floats in both encodings: a JSON array, or base64 of their little-endian bytes.
 */
export function embeddingsObject(request: EmbeddingsRequest, inputs: readonly (string | number[])[]): object {
  const dimensions = request.dimensions ?? DEFAULT_DIMENSIONS;
  const base64 = request.encoding_format === 'base64';
  return {
    object: 'list',
    data: inputs.map((input, index) => {
      const vector = embeddingVector(typeof input === 'string' ? input : input.join(' '), dimensions);
      return { object: 'embedding', index, embedding: base64 ? toBase64(vector) : Array.from(vector) };
    }),
    model: request.model,
  };
}

/** The vector of a text. */
export function embeddingVector(text: string, dimensions = DEFAULT_DIMENSIONS): Float32Array {
  const seed = hash([text]);
  const vector = new Float32Array(dimensions);
  for (let index = 0; index < dimensions; index += 1) vector[index] = mix(seed + index) / 0x8000_0000 - 1;
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, index) => bytes.writeFloatLE(value, index * 4));
  return bytes.toString('base64');
}
