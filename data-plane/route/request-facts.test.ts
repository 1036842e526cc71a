import { describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { RequestLook } from './request-facts.js';

function look(
  body: unknown,
  { dialect = 'openai', headers = {} }: { readonly dialect?: Dialect; readonly headers?: Record<string, string> } = {},
): RequestLook {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return new RequestLook({
    ...{ operation: 'chat-completions', admittedAt: 0, dialect, model: 'm', streamed: false },
    ...{ request: { headers }, body: Buffer.from(text) },
  });
}

const PICTURE = 'data:image/png;base64,AAAA';

describe('what a request needs', () => {
  it('is read in OpenAI’s dialect', () => {
    const content = [
      { type: 'text', text: 'x' },
      { type: 'image_url', image_url: { url: PICTURE } },
      { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
    ];
    const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
    const response_format = { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'object' } } };
    const request = {
      model: 'm',
      messages: [{ role: 'user', content }],
      tools,
      response_format,
      reasoning_effort: 'low',
    };
    expect(look(request).needs().toSorted()).toEqual(['audio-input', 'json-schema', 'reasoning', 'tools', 'vision']);
  });

  it('is read in the others’', () => {
    const source = { type: 'base64', media_type: 'application/pdf', data: 'AAAA' };
    const anthropic = {
      ...{ model: 'm', max_tokens: 9, tools: [{ name: 'f', input_schema: { type: 'object' } }] },
      messages: [{ role: 'user', content: [{ type: 'document', source }] }],
    };
    expect(look(anthropic, { dialect: 'anthropic' }).needs().toSorted()).toEqual(['pdf', 'tools']);
    const gemini = { contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: 'AAAA' } }] }] };
    expect(look(gemini, { dialect: 'gemini' }).needs()).toEqual(['vision']);
  });

  it('is nothing where only its text speaks of it, or where it cannot be read', () => {
    const messages = [{ role: 'user', content: 'an "image_url" and "tools": []' }];
    expect(look({ model: 'm', messages }).needs()).toEqual([]);
    for (const odd of ['', '[]', '7', '{"messages":7}', '{"messages":[{"role":"user","content":[{"type":"x"}]}]}']) {
      expect(look(odd).needs()).toEqual([]);
    }
  });
});

describe('what a call sticks by', () => {
  it('is its session, then its cache key, then its user', () => {
    const body = { prompt_cache_key: 'k', user: 'u' };
    expect(look(body, { headers: { 'x-pingtoken-session': 's' } }).stickyKey()).toBe('session s');
    expect(look(body).stickyKey()).toBe('cache k');
    expect(look({ user: 'u' }).stickyKey()).toBe('user u');
    expect(look({ metadata: { user_id: 'u' } }, { dialect: 'anthropic' }).stickyKey()).toBe('user u');
  });

  it('is nothing odd', () => {
    for (const body of [{}, { user: 7 }, { user: '' }, { user: 'x'.repeat(513) }, { metadata: 'x' }, '[', '"x"']) {
      expect(look(body).stickyKey()).toBeUndefined();
    }
  });
});

it('the cap of the answer stands where the vendors put it', () => {
  expect(look({ max_tokens: 5 }).answerCap()).toBe(5);
  expect(look({ max_completion_tokens: 6, max_tokens: 5 }).answerCap()).toBe(6);
  expect(look({ generationConfig: { maxOutputTokens: 7 } }, { dialect: 'gemini' }).answerCap()).toBe(7);
  for (const body of [{}, { max_tokens: '5' }, { max_tokens: -1 }, { generationConfig: 7 }]) {
    expect(look(body).answerCap()).toBeUndefined();
  }
});
