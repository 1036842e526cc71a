import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { geminiChat } from './gemini.js';
import { convertGeminiUsage } from './usage.js';

// https://ai.google.dev/api/generate-content#UsageMetadata
describe('a usage report of Gemini’s', () => {
  it('becomes disjoint counts', () => {
    const usage = convertGeminiUsage({
      promptTokenCount: 100,
      cachedContentTokenCount: 30,
      toolUsePromptTokenCount: 10,
      candidatesTokenCount: 50,
      thoughtsTokenCount: 20,
      totalTokenCount: 180,
      promptTokensDetails: [
        { modality: 'TEXT', tokenCount: 80 },
        { modality: 'AUDIO', tokenCount: 20 },
      ],
      cacheTokensDetails: [{ modality: 'AUDIO', tokenCount: 15 }],
      candidatesTokensDetails: [{ modality: 'AUDIO', tokenCount: 7 }],
    });
    expect(usage).toEqual({
      input: 75,
      cacheRead: 30,
      audioInput: 5,
      output: 43,
      reasoning: 20,
      audioOutput: 7,
      request: 1,
    });
  });

  it('leaves out counts of zero, and of zero alone is a report of zero', () => {
    expect(convertGeminiUsage({ promptTokenCount: 9, totalTokenCount: 9 })).toEqual({
      input: 9,
      output: 0,
      request: 1,
    });
    expect(convertGeminiUsage({ promptTokenCount: 0, candidatesTokenCount: 0 })).toEqual({
      input: 0,
      output: 0,
      request: 1,
    });
  });

  it.each([null, undefined, 'x', {}, { promptTokenCount: -1 }, { promptTokenCount: 1.5 }, { promptTokenCount: '7' }])(
    'that is none counts nothing: %j',
    (value) => {
      expect(convertGeminiUsage(value)).toBeUndefined();
    },
  );

  it('never counts a token twice or loses one, whatever the details claim', () => {
    const count = fc.oneof(fc.nat(1000), fc.constantFrom(null, undefined, -5, 2.5, 'x', Number.MAX_SAFE_INTEGER));
    const details = count.map((tokenCount) => [{ modality: 'AUDIO', tokenCount }, null, { modality: 'TEXT' }]);
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.nat(1000),
        fc.nat(1000),
        count,
        details,
        (prompt, candidates, toolUse, cached, audio) => {
          const usage = convertGeminiUsage({
            promptTokenCount: prompt,
            candidatesTokenCount: candidates,
            toolUsePromptTokenCount: toolUse,
            cachedContentTokenCount: cached,
            promptTokensDetails: audio,
            cacheTokensDetails: audio.slice(1),
            toolUsePromptTokensDetails: audio,
            candidatesTokensDetails: audio,
          });
          expect((usage?.input ?? 0) + (usage?.cacheRead ?? 0) + (usage?.audioInput ?? 0)).toBe(prompt + toolUse);
          expect((usage?.output ?? 0) + (usage?.audioOutput ?? 0)).toBe(candidates);
          for (const value of Object.values(usage ?? {})) expect(value).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});

describe('the usage of an answer that is relayed as it is', () => {
  const event = (value: unknown) => ({
    event: undefined,
    data: typeof value === 'string' ? value : JSON.stringify(value),
  });

  it('is the last total that its stream reports', () => {
    const reader = geminiChat.createUsageReader();
    expect(reader.push(event({ candidates: [] }))).toBeUndefined();
    expect(reader.push(event({ usageMetadata: { promptTokenCount: 9 } }))).toEqual({ input: 9, output: 0, request: 1 });
    expect(reader.push(event('"usageMetadata" is no JSON'))).toEqual({ input: 9, output: 0, request: 1 });
    const total = { input: 9, output: 4, request: 1 };
    expect(reader.push(event({ usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 4 } }))).toEqual(total);
    expect(reader.push(event('[DONE]'))).toEqual(total);
  });

  it('is found in an answer that is streamed as one list too', () => {
    const list = [
      { usageMetadata: { promptTokenCount: 9 } },
      { usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 4 } },
    ];
    expect(geminiChat.readUsage(list)).toEqual({ input: 9, output: 4, request: 1 });
  });

  // https://ai.google.dev/gemini-api/docs/google-search#pricing
  it.each([
    ['gemini-3-pro-preview', 2],
    ['gemini-2.5-flash', 1],
  ])('counts searches as Google bills them: %s', (modelVersion, webSearch) => {
    const answer = {
      candidates: [{ groundingMetadata: { webSearchQueries: ['a', 'b', ''] } }],
      usageMetadata: { promptTokenCount: 9 },
      modelVersion,
    };
    expect(geminiChat.readUsage(answer)).toEqual({ input: 9, output: 0, request: 1, webSearch });
  });
});
