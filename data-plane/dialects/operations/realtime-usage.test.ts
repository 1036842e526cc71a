import { expect, it } from 'vitest';
import { readRealtimeUsage } from './realtime-usage.js';

/** After https://platform.openai.com/docs/api-reference/realtime-server-events/response/done */
const report = (change: object = {}) => ({
  status: 'completed',
  usage: {
    total_tokens: 253,
    input_tokens: 132,
    output_tokens: 121,
    input_token_details: {
      text_tokens: 109,
      audio_tokens: 13,
      image_tokens: 10,
      cached_tokens: 64,
      cached_tokens_details: { text_tokens: 60, audio_tokens: 4, image_tokens: 0 },
    },
    output_token_details: { text_tokens: 30, audio_tokens: 91 },
    ...change,
  },
});

it('counts text, sound and pictures apart, and nothing twice', () => {
  expect(readRealtimeUsage(report())).toEqual({
    input: 49,
    cacheRead: 64,
    audioInput: 9,
    imageInput: 10,
    output: 30,
    audioOutput: 91,
    request: 1,
  });
});

it.each([
  ['no details', { input_token_details: undefined, output_token_details: null }, { input: 132, output: 121 }],
  [
    'no word of what the cache held',
    { input_token_details: { audio_tokens: 100, cached_tokens: 64 }, output_token_details: {} },
    { input: 0, cacheRead: 64, audioInput: 68, output: 121 },
  ],
  [
    'details that are more than the whole',
    { input_token_details: { audio_tokens: 900, cached_tokens: 900 }, output_token_details: { audio_tokens: 900 } },
    { input: 0, cacheRead: 132, output: 0, audioOutput: 121 },
  ],
  ['zeros', { input_tokens: 0, output_tokens: 0 }, { input: 0, output: 0 }],
])('a report with %s', (_name, change, wanted) => {
  expect(readRealtimeUsage(report(change))).toEqual({ ...wanted, request: 1 });
});

it.each([{}, { usage: null }, { usage: { input_tokens: -1, output_tokens: 1 } }, { usage: { input_tokens: 1 } }, null])(
  '%j reports nothing',
  (response) => {
    expect(readRealtimeUsage(response)).toBeUndefined();
  },
);
