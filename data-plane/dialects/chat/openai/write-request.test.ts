import { describe, expect, it } from 'vitest';
import type { ChatRequest, MediaPart } from '../chat.js';
import { openAiChat } from './openai.js';

const PLAIN: ChatRequest = {
  model: 'alias',
  streamed: false,
  wantsStreamUsage: false,
  system: [],
  messages: [{ role: 'user', content: [{ kind: 'text', text: 'Hello' }] }],
  tools: [],
};

function write(more: Partial<ChatRequest>, model = 'gpt-5'): Readonly<Record<string, unknown>> {
  return openAiChat.writeRequest({ ...PLAIN, ...more }, model).body as Readonly<Record<string, unknown>>;
}

function unsupported(more: Partial<ChatRequest>): readonly string[] {
  return openAiChat.writeRequest({ ...PLAIN, ...more }, 'gpt-5').unsupported;
}

function media(mediaType: string | undefined, source: MediaPart['source'], more: Partial<MediaPart> = {}): MediaPart {
  return { kind: 'media', mediaType, source, ...more };
}

describe('a request for a provider', () => {
  it('says nothing that was not asked', () => {
    const { body, unsupported: missing } = openAiChat.writeRequest(PLAIN, 'gpt-5');
    expect(body).toEqual({ model: 'gpt-5', messages: [{ role: 'user', content: 'Hello' }] });
    expect(missing).toEqual([]);
  });

  it('for a stream always asks for its usage', () => {
    expect(write({ streamed: true })).toMatchObject({ stream: true, stream_options: { include_usage: true } });
  });

  it.each([
    ['gpt-5-mini', 'max_completion_tokens'],
    ['o3', 'max_completion_tokens'],
    ['ft:gpt-4.1:team', 'max_completion_tokens'],
    ['gpt-oss-120b', 'max_tokens'],
    ['openai/gpt-oss-120b', 'max_tokens'],
    ['deepseek-chat', 'max_tokens'],
    ['mistral-small-latest', 'max_tokens'],
  ])('limits the output of %s by %s', (model, name) => {
    const body = write({ maxOutputTokens: 9 }, model);
    expect(Object.keys(body).filter((key) => key.startsWith('max_'))).toEqual([name]);
  });

  it.each([
    [{ effort: 'xhigh', budgetTokens: 5 }, 'xhigh'],
    [{ budgetTokens: 0 }, 'none'],
    [{ budgetTokens: 1024 }, 'low'],
    [{ budgetTokens: 1025 }, 'medium'],
    [{ budgetTokens: 8193 }, 'high'],
    [{ budgetTokens: -1 }, undefined],
    [{ isAdaptive: true, isVisible: true }, undefined],
  ] as const)('turns the wish to reason %j into the effort %s', (reasoning, effort) => {
    expect(write({ reasoning })['reasoning_effort']).toBe(effort);
  });

  it('names what the vendor has no place for, and only that', () => {
    expect(unsupported({ topK: 3 })).toEqual(['topK']);
    expect(unsupported({ stop: ['1', '2', '3', '4'] })).toEqual([]);
    expect(unsupported({ stop: ['1', '2', '3', '4', '5'] })).toEqual(['stop']);
    expect(unsupported({ serviceTier: 'standard_only' })).toEqual([]);
    expect(unsupported({ serviceTier: 'batch' })).toEqual(['serviceTier']);
  });

  it('says how tools may be called only where there are some', () => {
    const wish = { toolChoice: { kind: 'auto' }, parallelToolCalls: false } as const;
    expect(write(wish)).not.toHaveProperty('tool_choice');
    expect(write(wish)).not.toHaveProperty('parallel_tool_calls');
    expect(write({ ...wish, tools: [{ name: 'f' }] })).toMatchObject({
      tool_choice: 'auto',
      parallel_tool_calls: false,
      tools: [{ type: 'function', function: { name: 'f' } }],
    });
  });

  it('puts tool results behind the calls, and the rest of the turn behind them; an error is told in words', () => {
    const result = { kind: 'tool-result', callId: 'c', toolName: 'f', isError: true } as const;
    const { messages } = write({
      messages: [
        {
          role: 'user',
          content: [
            { kind: 'text', text: 'so' },
            { ...result, content: [{ kind: 'text', text: 'not found' }] },
          ],
        },
      ],
    });
    expect(messages).toEqual([
      { role: 'tool', tool_call_id: 'c', content: 'Error: not found' },
      { role: 'user', content: 'so' },
    ]);
  });

  it('gives thoughts back with the tool calls they led to, and never the proofs of another vendor', () => {
    const call = { kind: 'tool-call', id: 'c', name: 'f', argumentsJson: '{}', signature: 'g' } as const;
    const thought = { kind: 'reasoning', text: 'hm' } as const;
    const text = { kind: 'text', text: 'well' } as const;
    const written = (content: ChatRequest['messages'][number]['content']): unknown =>
      write({ messages: [{ role: 'assistant', content }] as ChatRequest['messages'] })['messages'];
    expect(written([thought, call])).toEqual([
      {
        role: 'assistant',
        content: null,
        reasoning_content: 'hm',
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
    ]);
    expect(written([thought, text])).toEqual([{ role: 'assistant', content: 'well' }]);
    expect(JSON.stringify(written([{ ...thought, signature: 's' }, call]))).not.toContain('hm');
  });

  it.each([
    [media('image/png', { kind: 'base64', data: 'AA' }), { url: 'data:image/png;base64,AA' }],
    [media(undefined, { kind: 'url', url: 'https://x/y' }, { detail: 'low' }), { url: 'https://x/y', detail: 'low' }],
  ])('carries an image as data or by its URL', (part, image) => {
    const content = [{ type: 'image_url', image_url: image }];
    expect(write({ messages: [{ role: 'user', content: [part] }] })['messages']).toEqual([{ role: 'user', content }]);
  });

  it.each([
    [media('audio/x-wav', { kind: 'base64', data: 'AA' }), { data: 'AA', format: 'wav' }, 'input_audio'],
    [
      media('application/pdf', { kind: 'base64', data: 'AA' }),
      { filename: 'document.pdf', file_data: 'data:application/pdf;base64,AA' },
      'file',
    ],
  ])('carries sounds and documents as data', (part, inner, type) => {
    const content = [{ type, [type]: inner }];
    expect(write({ messages: [{ role: 'user', content: [part] }] })['messages']).toEqual([{ role: 'user', content }]);
  });

  it('names media that it cannot say', () => {
    const turn = (part: MediaPart): readonly string[] => unsupported({ messages: [{ role: 'user', content: [part] }] });
    expect(turn(media('video/mp4', { kind: 'base64', data: 'AA' }))).toEqual(['media']);
    expect(turn(media('audio/flac', { kind: 'base64', data: 'AA' }))).toEqual(['media']);
    expect(turn(media('application/pdf', { kind: 'url', url: 'https://x/y' }))).toEqual(['media.url']);
    const image = media('image/png', { kind: 'base64', data: 'AA' });
    const result = { kind: 'tool-result', callId: 'c', toolName: 'f', content: [image] } as const;
    expect(unsupported({ messages: [{ role: 'user', content: [result] }] })).toEqual(['toolResult.media']);
  });
});
