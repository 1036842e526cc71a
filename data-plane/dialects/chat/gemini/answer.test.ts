import { describe, expect, it } from 'vitest';
import type { ChatAnswer } from '../chat.js';
import { parseJsonExactly } from '../json.js';
import { geminiChat } from './gemini.js';

const candidate = (fields: Record<string, unknown>, parts: unknown[] = [{ text: 'Hi' }]) => ({
  candidates: [{ content: { parts, role: 'model' }, ...fields }],
  modelVersion: 'gemini-3-pro',
  responseId: 'abc',
});

describe('an answer of Gemini’s', () => {
  // https://ai.google.dev/gemini-api/docs/thinking, https://ai.google.dev/gemini-api/docs/function-calling
  it('is read with its thoughts, signatures and parallel calls; calls without an id are given one', () => {
    const parts = [
      { text: 'The user greets.', thought: true },
      { text: 'Hello', thoughtSignature: 'c2ln' },
      { functionCall: { name: 'weather', args: { id: 1 } }, thoughtSignature: 'c2lnMg==' },
      { functionCall: { id: 'own', name: 'clock' } },
    ];
    const usageMetadata = { promptTokenCount: 5, candidatesTokenCount: 3, thoughtsTokenCount: 2 };
    const body = { ...candidate({ finishReason: 'STOP' }, parts), usageMetadata, createTime: '2026-01-02T03:04:05.6Z' };
    expect(geminiChat.readAnswer(body)).toEqual({
      id: 'abc',
      model: 'gemini-3-pro',
      createdAt: 1_767_323_045,
      choices: [
        {
          content: [
            { kind: 'reasoning', text: 'The user greets.' },
            { kind: 'text', text: 'Hello' },
            { kind: 'reasoning', text: '', signature: 'c2ln' },
            {
              kind: 'tool-call',
              id: 'call_abc_0_0',
              name: 'weather',
              argumentsJson: '{"id":1}',
              signature: 'c2lnMg==',
            },
            { kind: 'tool-call', id: 'own', name: 'clock', argumentsJson: '{}' },
          ],
          finish: 'tool-calls',
        },
      ],
      usage: { input: 5, output: 3, reasoning: 2, request: 1 },
    });
  });

  // https://ai.google.dev/api/generate-content#FinishReason
  it.each([
    ['STOP', 'stop'],
    ['MAX_TOKENS', 'length'],
    ['SAFETY', 'content-filter'],
    ['RECITATION', 'content-filter'],
    ['MALFORMED_FUNCTION_CALL', 'content-filter'],
    ['A_REASON_OF_TOMORROW', 'content-filter'],
  ])('that ended for %s is never taken for a whole one unless it is', (finishReason, finish) => {
    expect(geminiChat.readAnswer(candidate({ finishReason }))?.choices[0]?.finish).toBe(finish);
  });

  it('to a prompt that was blocked is an empty one, withheld by a filter', () => {
    const answer = geminiChat.readAnswer({
      promptFeedback: { blockReason: 'SAFETY' },
      usageMetadata: { promptTokenCount: 4 },
    });
    expect(answer?.choices).toEqual([{ content: [], finish: 'content-filter' }]);
    expect(answer?.usage).toEqual({ input: 4, output: 0, request: 1 });
  });

  it('keeps a picture that the model drew', () => {
    const body = candidate({ finishReason: 'STOP' }, [{ inlineData: { mimeType: 'image/png', data: 'AAAA' } }]);
    expect(geminiChat.readAnswer(body)?.choices[0]?.content).toEqual([
      { kind: 'text', text: '![image/png](data:image/png;base64,AAAA)' },
    ]);
  });

  // https://ai.google.dev/api/generate-content#LogprobsResult
  it('has its log probabilities read in OpenAI’s shape, and written in Google’s again', () => {
    const logprobsResult = {
      topCandidates: [
        {
          candidates: [
            { token: 'é', logProbability: -0.5 },
            { token: 'e', logProbability: -1 },
          ],
        },
      ],
      chosenCandidates: [{ token: 'é', logProbability: -0.5 }],
    };
    const answer = geminiChat.readAnswer(candidate({ finishReason: 'STOP', logprobsResult }));
    expect(answer?.choices[0]?.logprobs).toEqual({
      content: [
        {
          token: 'é',
          logprob: -0.5,
          bytes: [195, 169],
          top_logprobs: [
            { token: 'é', logprob: -0.5, bytes: [195, 169] },
            { token: 'e', logprob: -1, bytes: [101] },
          ],
        },
      ],
      refusal: null,
    });
    expect(answer && geminiChat.writeAnswer(answer, 'alias')).toMatchObject({
      candidates: [{ avgLogprobs: -0.5, logprobsResult }],
    });
  });

  it.each([null, [], 'text', {}, { error: { code: 500 } }, parseJsonExactly('1.0')])('is none: %j', (body) => {
    expect(geminiChat.readAnswer(body)).toBeUndefined();
  });

  it.each([
    { candidates: [null, 7, {}, { content: null }, { content: { parts: [null, 7, {}, { functionCall: {} }] } }] },
    { candidates: [{ index: 'x', finishReason: 7, logprobsResult: { chosenCandidates: [null] } }], usageMetadata: [] },
  ])('is read as far as it is one, however odd: %j', (body) => {
    expect(geminiChat.readAnswer(body)).toBeDefined();
  });
});

describe('an answer to a Gemini client', () => {
  const answer: ChatAnswer = {
    id: 'abc',
    model: 'provider-model',
    choices: [
      {
        content: [
          { kind: 'refusal', text: 'I will not.' },
          { kind: 'tool-call', id: 'a', name: 'f', argumentsJson: '{"a":' },
        ],
        finish: 'tool-calls',
      },
      { content: [], finish: 'length' },
    ],
    usage: { input: 1, output: 2, cacheRead: 3, cacheWrite5m: 4, reasoning: 5, audioInput: 6, request: 1 },
  };

  it('bears the caller’s name of the model, and says of a call that is no JSON what Google says', () => {
    expect(geminiChat.writeAnswer(answer, 'alias')).toEqual({
      candidates: [
        {
          content: { parts: [{ text: 'I will not.' }], role: 'model' },
          finishReason: 'MALFORMED_FUNCTION_CALL',
          finishMessage: 'Malformed function call: f({"a":)',
          index: 0,
        },
        { content: { parts: [{ text: '' }], role: 'model' }, finishReason: 'MAX_TOKENS', index: 1 },
      ],
      usageMetadata: {
        promptTokenCount: 14,
        cachedContentTokenCount: 3,
        candidatesTokenCount: 2,
        thoughtsTokenCount: 5,
        totalTokenCount: 21,
        promptTokensDetails: [
          { modality: 'TEXT', tokenCount: 8 },
          { modality: 'AUDIO', tokenCount: 6 },
        ],
      },
      modelVersion: 'alias',
      responseId: 'abc',
    });
  });
});
