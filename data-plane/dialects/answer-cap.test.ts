import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRefusal } from '../http-error.js';
import { readAnthropicBody } from './anthropic-request.js';
import { answerCapOf, insertAnswerCap, leavesAnswerUncapped, type CapPlace } from './answer-cap.js';
import { readGeminiBody } from './gemini-request.js';
import { readOpenAiRequest } from './openai-request.js';

const CHAT: CapPlace = { dialect: 'openai', operation: 'chat-completions' };
const TEXT: CapPlace = { dialect: 'openai', operation: 'completions' };
const RESPONSES: CapPlace = { dialect: 'openai', operation: 'responses' };
const ANTHROPIC: CapPlace = { dialect: 'anthropic', operation: 'chat-completions' };
const GEMINI: CapPlace = { dialect: 'gemini', operation: 'chat-completions' };

const insert = (text: string, place: CapPlace, upstreamModel = 'gpt-5'): string =>
  insertAnswerCap(Buffer.from(text), { ...place, upstreamModel }, 9).toString();

describe('a cap is put in, in the field of the dialect, and every other byte stays', () => {
  it.each([
    [
      CHAT,
      '{ "model" : "m", "seed": 12345678901234567890 }',
      '{"max_completion_tokens":9, "model" : "m", "seed": 12345678901234567890 }',
    ],
    [TEXT, '{"model":"m"}', '{"max_tokens":9,"model":"m"}'],
    [RESPONSES, '{"model":"m"}', '{"max_output_tokens":9,"model":"m"}'],
    [ANTHROPIC, ' {"model":"m"}', ' {"max_tokens":9,"model":"m"}'],
    [CHAT, '{"model":"m","max_completion_tokens": null}', '{"model":"m","max_completion_tokens": 9}'],
    [CHAT, '{"model":"m","m\\u0061x_completion_tokens":null}', '{"model":"m","m\\u0061x_completion_tokens":9}'],
    [GEMINI, '{}', '{"generationConfig":{"maxOutputTokens":9}}'],
    [GEMINI, '{"contents":[]}', '{"generationConfig":{"maxOutputTokens":9},"contents":[]}'],
    [GEMINI, '{"generationConfig":{ }}', '{"generationConfig":{"maxOutputTokens":9 }}'],
    [GEMINI, '{"generationConfig":null}', '{"generationConfig":{"maxOutputTokens":9}}'],
    [GEMINI, '{"generation_config":{"topK":1}}', '{"generation_config":{"maxOutputTokens":9,"topK":1}}'],
    [GEMINI, '{"generation_config":{"max_output_tokens":null}}', '{"generation_config":{"max_output_tokens":9}}'],
  ])('%o %s', (place, text, expected) => {
    expect(insert(text, place)).toBe(expected);
  });

  it('by the name that the model knows', () => {
    expect(insert('{"model":"m"}', CHAT, 'deepseek-chat')).toBe('{"max_tokens":9,"model":"m"}');
  });

  it('of whatever request that names none', () => {
    const places = fc.constantFrom(CHAT, TEXT, RESPONSES, ANTHROPIC, GEMINI);
    fc.assert(
      fc.property(places, fc.dictionary(fc.string(), fc.jsonValue()), (place, written) => {
        // As JSON has it: without what only a program can tell apart.
        const fields = JSON.parse(JSON.stringify(written)) as Record<string, unknown>;
        fc.pre(leavesAnswerUncapped(fields, place));
        const capped = JSON.parse(insert(JSON.stringify(fields), place)) as Record<string, unknown>;
        expect(answerCapOf(capped, place)).toBe(9);
        const added = Object.keys(capped).filter((name) => !Object.hasOwn(fields, name));
        expect(added.length).toBeLessThanOrEqual(1);
        for (const [name, value] of Object.entries(fields)) if (value !== null) expect(capped[name]).toEqual(value);
      }),
      { numRuns: 200 },
    );
  });
});

describe('what a caller has said', () => {
  it('is not changed, whether or not it is a cap', () => {
    for (const value of [0, -1, '9', 1.5, {}, 7]) {
      expect(leavesAnswerUncapped({ max_tokens: value }, CHAT)).toBe(false);
      expect(leavesAnswerUncapped({ generationConfig: { maxOutputTokens: value } }, GEMINI)).toBe(false);
    }
    expect(leavesAnswerUncapped({ generationConfig: 7 }, GEMINI)).toBe(false);
    expect(leavesAnswerUncapped({}, { dialect: 'openai', operation: 'embeddings' })).toBe(false);
  });

  it('is a cap only in a field that the dialect has, and above zero', () => {
    expect(answerCapOf({ max_output_tokens: 1 }, CHAT)).toBeUndefined();
    expect(answerCapOf({ max_tokens: 1 }, RESPONSES)).toBeUndefined();
    expect(answerCapOf({ max_completion_tokens: 1 }, ANTHROPIC)).toBeUndefined();
    expect(answerCapOf({ max_tokens: 1 }, GEMINI)).toBeUndefined();
    expect(answerCapOf({ max_tokens: 0 }, CHAT)).toBeUndefined();
  });

  it('in two fields counts by the larger: a provider may know only that one', () => {
    expect(answerCapOf({ max_tokens: 50, max_completion_tokens: 1 }, CHAT)).toBe(50);
    expect(answerCapOf({ generationConfig: { maxOutputTokens: 1, max_output_tokens: 60 } }, GEMINI)).toBe(60);
  });

  it('twice, in another case, is refused', () => {
    const bytes = Buffer.from('{"model":"m","max_tokens":1,"MAX_TOKENS":99}');
    for (const read of [readOpenAiRequest(bytes, 'chat-completions'), readAnthropicBody(bytes)]) {
      expect(isRefusal(read) && [read.refused, read.param]).toEqual(['duplicate_field', 'max_tokens']);
    }
  });

  it('twice in a config of Gemini is refused', () => {
    const bytes = Buffer.from('{"generationConfig":{"maxOutputTokens":1,"maxOutput\\u0054okens":99}}');
    const read = readGeminiBody(bytes, { model: 'm', streamed: false });
    expect(isRefusal(read) && [read.refused, read.param]).toEqual(['duplicate_field', 'generationConfig']);
  });
});
