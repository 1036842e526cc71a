import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readUsage, type ReportingOperation } from './read-usage.js';

/** Each after the page that its reader names. */
const REPORTS: readonly (readonly [string, ReportingOperation, unknown, object])[] = [
  [
    'a completion',
    'completions',
    {
      object: 'text_completion',
      choices: [{ text: 'Hi', index: 0 }],
      usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 },
    },
    { input: 5, output: 7, request: 1 },
  ],
  [
    'embeddings',
    'embeddings',
    { object: 'list', data: [{ embedding: [0.5], index: 0 }], usage: { prompt_tokens: 8, total_tokens: 8 } },
    { input: 8, output: 0, request: 1 },
  ],
  [
    'a response with cached, written and reasoning tokens, and searches',
    'responses',
    {
      object: 'response',
      status: 'completed',
      output: [
        { type: 'reasoning', summary: [] },
        { type: 'web_search_call', status: 'completed', action: { type: 'search', query: 'news' } },
        { type: 'web_search_call', status: 'completed', action: { type: 'open_page', url: 'https://example.test' } },
        { type: 'web_search_call', status: 'failed', action: { type: 'search', query: 'news' } },
        { type: 'web_search_call', status: 'completed' },
      ],
      usage: {
        input_tokens: 100,
        input_tokens_details: { cached_tokens: 60, cache_write_tokens: 10 },
        output_tokens: 50,
        output_tokens_details: { reasoning_tokens: 20 },
        total_tokens: 150,
      },
    },
    { input: 30, cacheRead: 60, cacheWrite5m: 10, output: 30, reasoning: 20, webSearch: 2, request: 1 },
  ],
  [
    'the last event of a response that was cut by its limit',
    'responses',
    {
      type: 'response.incomplete',
      response: { output: [], usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 } },
    },
    { input: 3, output: 4, request: 1 },
  ],
  [
    'a response that used nothing',
    'responses',
    { type: 'response.failed', response: { usage: { input_tokens: 0, output_tokens: 0 } } },
    { input: 0, output: 0, request: 1 },
  ],
  [
    'pictures of a model that is priced by tokens',
    'images',
    {
      created: 1,
      data: [{ b64_json: 'iVBO' }],
      usage: {
        input_tokens: 50,
        input_tokens_details: { text_tokens: 10, image_tokens: 40 },
        output_tokens: 4160,
        total_tokens: 4210,
      },
    },
    { input: 10, imageInput: 40, output: 0, imageOutput: 4160, request: 1 },
  ],
  [
    'pictures of a model that is priced by the piece',
    'images',
    { created: 1, data: [{ url: 'https://example.test/1' }, { url: 'https://example.test/2' }] },
    { image: 2, request: 1 },
  ],
  [
    'a streamed picture',
    'images',
    {
      type: 'image_generation.completed',
      b64_json: 'iVBO',
      usage: { input_tokens: 10, output_tokens: 272, total_tokens: 282 },
    },
    { input: 10, output: 0, imageOutput: 272, request: 1 },
  ],
  [
    'a picture with words of the model beside it',
    'images',
    {
      data: [{ b64_json: 'iVBO' }],
      usage: { input_tokens: 10, output_tokens: 300, output_tokens_details: { text_tokens: 28, image_tokens: 272 } },
    },
    { input: 10, output: 28, imageOutput: 272, request: 1 },
  ],
  [
    'streamed speech',
    'speech',
    { type: 'speech.audio.done', usage: { input_tokens: 14, output_tokens: 101, total_tokens: 115 } },
    { input: 14, audioOutput: 101, request: 1 },
  ],
  [
    'a transcription that is counted in tokens',
    'transcriptions',
    {
      text: 'Hello.',
      usage: {
        type: 'tokens',
        input_tokens: 14,
        input_token_details: { text_tokens: 0, audio_tokens: 14 },
        output_tokens: 45,
        total_tokens: 59,
      },
    },
    { input: 0, audioInput: 14, output: 45, request: 1 },
  ],
  [
    'a streamed transcription',
    'transcriptions',
    {
      type: 'transcript.text.done',
      text: 'Hello.',
      usage: {
        type: 'tokens',
        input_tokens: 14,
        input_token_details: { text_tokens: 4, audio_tokens: 10 },
        output_tokens: 5,
      },
    },
    { input: 4, audioInput: 10, output: 5, request: 1 },
  ],
  [
    'a transcription that is counted in seconds',
    'transcriptions',
    { text: 'Hello.', usage: { type: 'duration', seconds: 2.1 } },
    { audioSeconds: 3, request: 1 },
  ],
  [
    'a verbose transcription, by its duration',
    'translations',
    { task: 'translate', duration: 8.47, text: 'Hello.' },
    { audioSeconds: 9, request: 1 },
  ],
  [
    'a verbose transcription of older days',
    'transcriptions',
    { duration: '8.470000267028809', text: 'Hello.' },
    { audioSeconds: 9, request: 1 },
  ],
  [
    'a moderation that is counted in tokens',
    'moderations',
    { id: 'mod-1', results: [{ categories: {} }], usage: { prompt_tokens: 7, total_tokens: 7 } },
    { input: 7, output: 0, request: 1 },
  ],
  [
    'a ranking that is counted in search units',
    'rerank',
    {
      results: [{ index: 0, relevance_score: 0.9 }],
      meta: { billed_units: { search_units: 3 } },
    },
    { request: 3 },
  ],
  [
    'a ranking that is counted in tokens',
    'rerank',
    { object: 'list', data: [{ index: 0, relevance_score: 0.9 }], usage: { total_tokens: 26 } },
    { input: 26, request: 1 },
  ],
];

const NO_REPORTS: readonly (readonly [string, ReportingOperation, unknown])[] = [
  ['a chunk before the last', 'completions', { choices: [{ text: 'Hi' }], usage: null }],
  ['a response that goes on', 'responses', { type: 'response.in_progress', response: { usage: null } }],
  ['a delta of a response', 'responses', { type: 'response.output_text.delta', delta: 'Hi' }],
  ['a response in the background', 'responses', { object: 'response', status: 'queued', usage: null }],
  ['an image that is half done', 'images', { type: 'image_generation.partial_image', b64_json: 'iVBO' }],
  ['a piece of speech', 'speech', { type: 'speech.audio.delta', audio: 'AAAA' }],
  ['a piece of a transcription', 'transcriptions', { type: 'transcript.text.delta', delta: 'He' }],
  ['the end of speech without a report', 'speech', { type: 'speech.audio.done' }],
  ['sound', 'speech', undefined],
  ['subtitles', 'translations', undefined],
  ['a translation', 'translations', { text: 'Hello.' }],
  ['a transcription of no length', 'transcriptions', { text: 'Hello.', duration: 'long' }],
  ['a moderation', 'moderations', { id: 'modr-1', results: [{ flagged: false }] }],
  ['a ranking that reports nothing', 'rerank', { results: [] }],
  ['the last event of a picture without a report', 'images', { type: 'image_edit.completed', b64_json: 'iVBO' }],
  ['a JSON answer that is none of ours', 'transcriptions', {}],
];

const OPERATIONS: readonly ReportingOperation[] = [
  'chat-completions',
  'completions',
  'embeddings',
  'responses',
  'images',
  'speech',
  'transcriptions',
  'translations',
  'moderations',
  'rerank',
];

describe('what an operation reports', () => {
  it.each(REPORTS)('becomes disjoint counts: %s', (_name, operation, value, usage) => {
    expect(readUsage(operation, value)).toEqual(usage);
  });

  it.each(NO_REPORTS)('is nothing yet in %s', (_name, operation, value) => {
    expect(readUsage(operation, value)).toBeUndefined();
  });

  it.each(OPERATIONS)('is nothing in an error, or in what is no answer: %s', (operation) => {
    for (const value of [
      { error: { message: 'No.' } },
      { type: 'error', error: { message: 'No.' }, data: [], results: [], text: '' },
      null,
      'text',
      7,
      [],
      { usage: 'x' },
    ]) {
      expect(readUsage(operation, value)).toBeUndefined();
    }
  });

  it.each(OPERATIONS)('is never a count that is no count: %s', (operation) => {
    const usage = { input_tokens: -1, output_tokens: 1.5, prompt_tokens: '7', total_tokens: 1e300, seconds: -1 };
    const meta = { billed_units: { search_units: -1 } };
    const value = { type: undefined, object: 'x', data: [], results: [], text: '', usage, meta };
    for (const count of Object.values(readUsage(operation, value) ?? {})) {
      expect(Number.isSafeInteger(count) && count >= 0).toBe(true);
    }
  });
});

const RECORDINGS = new URL('../../../../shared/provider-recordings/', import.meta.url).pathname;

describe.skipIf(!existsSync(RECORDINGS))('a recorded answer', () => {
  const parse = (text: string): unknown => JSON.parse(text) as unknown;
  const read = (file: string): string => readFileSync(`${RECORDINGS}${file}`, 'utf8');

  it.each([
    ['completions', 'openai/openai-completion-text.json'],
    ['embeddings', 'openai/openai-embedding.json'],
    ['responses', 'openai/openai-web-search-tool.1.json'],
    ['responses', 'openai/openai-custom-tool.1.json'],
    ['images', 'openai/openai-image.json'],
    ['transcriptions', 'openai/openai-transcription.json'],
    ['rerank', 'cohere/cohere-reranking.1.json'],
  ] as const)('of %s reports something: %s', (operation, file) => {
    expect(readUsage(operation, parse(read(file)))?.request).toBe(1);
  });

  it('reports the same as a stream as it does as a body', () => {
    const body = readUsage('responses', parse(read('openai/openai-custom-tool.1.json')));
    const events = read('openai/openai-custom-tool.1.chunks.txt').split('\n').filter(Boolean);
    const reports = events.map((event) => readUsage('responses', parse(event))).filter((usage) => usage !== undefined);
    expect(reports).toEqual([body]);
  });
});
