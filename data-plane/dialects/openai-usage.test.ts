import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { convertOpenAiUsage } from './openai-usage.js';

describe('a usage report', () => {
  it('becomes disjoint counts', () => {
    const usage = convertOpenAiUsage({
      prompt_tokens: 100,
      completion_tokens: 50,
      total_tokens: 150,
      prompt_tokens_details: { cached_tokens: 30, audio_tokens: 5 },
      completion_tokens_details: { reasoning_tokens: 20, audio_tokens: 7, accepted_prediction_tokens: 0 },
    });
    expect(usage).toEqual({
      input: 65,
      cacheRead: 30,
      audioInput: 5,
      output: 23,
      reasoning: 20,
      audioOutput: 7,
      request: 1,
    });
  });

  it('counts what was written to a cache apart, as a part of the prompt', () => {
    const details = { cached_tokens: 30, cache_write_tokens: 60 };
    expect(convertOpenAiUsage({ prompt_tokens: 100, completion_tokens: 1, prompt_tokens_details: details })).toEqual({
      input: 10,
      cacheRead: 30,
      cacheWrite5m: 60,
      output: 1,
      request: 1,
    });
  });

  it('counts reasoning that the total shows to stand beside the completion', () => {
    const report = { prompt_tokens: 12, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 228 } };
    expect(convertOpenAiUsage({ ...report, total_tokens: 241 })).toMatchObject({ output: 1, reasoning: 228 });
    expect(convertOpenAiUsage({ ...report, total_tokens: 13 })).toMatchObject({ output: 0, reasoning: 1 });
  });

  it('of zero is a report of zero, not the lack of one', () => {
    expect(convertOpenAiUsage({ prompt_tokens: 0, completion_tokens: 0 })).toEqual({ input: 0, output: 0, request: 1 });
  });

  it('of embeddings has no completion', () => {
    expect(convertOpenAiUsage({ prompt_tokens: 8, total_tokens: 8 })).toEqual({ input: 8, output: 0, request: 1 });
  });

  it.each([
    null,
    undefined,
    'x',
    {},
    { prompt_tokens: -1 },
    { prompt_tokens: 1.5 },
    { prompt_tokens: '7' },
    { prompt_tokens: 1e300 },
  ])('that is none counts nothing: %j', (value) => {
    expect(convertOpenAiUsage(value)).toBeUndefined();
  });

  it('never counts a token twice or loses one, whatever the details claim', () => {
    const count = fc.oneof(fc.nat(1000), fc.constantFrom(null, undefined, -5, 2.5, 'x', Number.MAX_SAFE_INTEGER));
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.nat(1000),
        count,
        count,
        count,
        count,
        count,
        (prompt, completion, cached, written, audioIn, reasoning, audioOut) => {
          const usage = convertOpenAiUsage({
            prompt_tokens: prompt,
            completion_tokens: completion,
            prompt_tokens_details: { cached_tokens: cached, cache_write_tokens: written, audio_tokens: audioIn },
            completion_tokens_details: { reasoning_tokens: reasoning, audio_tokens: audioOut },
          });
          const { input = 0, cacheRead = 0, cacheWrite5m = 0, audioInput = 0 } = usage ?? {};
          expect(input + cacheRead + cacheWrite5m + audioInput).toBe(prompt);
          expect((usage?.output ?? 0) + (usage?.reasoning ?? 0) + (usage?.audioOutput ?? 0)).toBe(completion);
          for (const value of Object.values(usage ?? {})) expect(value).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});
