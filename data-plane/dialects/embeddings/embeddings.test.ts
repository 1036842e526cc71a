import { describe, expect, it } from 'vitest';
import type { EmbeddingsRequest } from './embeddings.js';
import { convertGeminiEmbeddingUsage, geminiEmbeddings } from './gemini.js';
import { openAiEmbeddings } from './openai.js';

const TWO: EmbeddingsRequest = { texts: ['a', 'b'], encoding: 'numbers', isSingle: false, unsupported: [] };
const item = (index: number, embedding: unknown = [0.5]) => ({ object: 'embedding', index, embedding });

describe('an answer of OpenAI’s', () => {
  it('is read in the order of its indexes, whatever order it comes in', () => {
    const data = [item(1, [0.25]), item(0)];
    const usage = { prompt_tokens: 3, total_tokens: 3 };
    expect(openAiEmbeddings.readAnswer({ data, usage }, TWO)).toEqual({
      vectors: [[0.5], [0.25]],
      usage: { input: 3, output: 0, request: 1 },
    });
    expect(openAiEmbeddings.readAnswer({ data }, TWO)?.usage).toBeUndefined();
  });

  it.each([
    [{}],
    [{ data: [item(0)] }],
    [{ data: [item(0), item(0)] }],
    [{ data: [item(0), item(2)] }],
    [{ data: [item(0), item(-1)] }],
    [{ data: [item(0), item(0.5)] }],
    [{ data: [item(0), item(1, 'AAAA')] }],
    [{ data: [item(0), item(1, [])] }],
    [{ data: [item(0), null] }],
  ])('is none where a text has no vector: %j', (body) => {
    expect(openAiEmbeddings.readAnswer(body, TWO)).toBeUndefined();
  });
});

describe('an answer of Gemini’s', () => {
  it.each([[{}], [{ embeddings: [{ values: [1] }] }], [{ embeddings: [{ values: [1] }, { values: ['1'] }] }], [null]])(
    'is none where a text has no vector: %j',
    (body) => {
      expect(geminiEmbeddings.readAnswer(body, TWO)).toBeUndefined();
    },
  );

  it('reports text, sound and pictures apart, and older models nothing', () => {
    const details = [
      { modality: 'TEXT', tokenCount: 2 },
      { modality: 'IMAGE', tokenCount: 258 },
      { modality: 'AUDIO', tokenCount: 32 },
      { modality: 'VIDEO', tokenCount: 8 },
    ];
    expect(convertGeminiEmbeddingUsage({ promptTokenCount: 300, promptTokenDetails: details })).toEqual({
      ...{ input: 10, audioInput: 32, imageInput: 258, output: 0, request: 1 },
    });
    // The sum holds, whatever the details say.
    expect(convertGeminiEmbeddingUsage({ promptTokenCount: 40, promptTokenDetails: details })).toEqual({
      ...{ input: 0, audioInput: 32, imageInput: 8, output: 0, request: 1 },
    });
    expect(convertGeminiEmbeddingUsage({ promptTokenCount: 0 })).toEqual({ input: 0, output: 0, request: 1 });
    for (const none of [undefined, {}, { promptTokenCount: -1 }, { promptTokenCount: '3' }]) {
      expect(convertGeminiEmbeddingUsage(none)).toBeUndefined();
    }
  });
});

describe('vectors in base64', () => {
  it('are 32-bit floats, the lowest byte first', () => {
    const request: EmbeddingsRequest = { ...TWO, texts: ['a'], encoding: 'base64' };
    const answer = { vectors: [[1, -0.5, 0.1]], usage: undefined };
    expect(openAiEmbeddings.writeAnswer(answer, request, 'm')).toEqual({
      object: 'list',
      data: [{ object: 'embedding', index: 0, embedding: 'AACAPwAAAL/NzMw9' }],
      model: 'm',
    });
  });
});
