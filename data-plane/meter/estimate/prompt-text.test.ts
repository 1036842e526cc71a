import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { readPrompt } from './prompt-text.js';

function inputOf(dialect: Dialect, request: object): { readonly input: number; readonly audio: number } {
  const { text, inputTokens, audioTokens } = readPrompt(Buffer.from(JSON.stringify(request)), dialect);
  const work = text.count(countTokens, () => false);
  for (;;) {
    const step = work.next();
    if (step.done === true) return { input: step.value + inputTokens, audio: audioTokens };
  }
}

const sum = (...texts: readonly string[]): number => texts.reduce((total, text) => total + countTokens(text), 0);
const DATA = 'iVBORw0KGgoAAAANSUhEUgAABAAAAAQA'.repeat(500);
const SCHEMA = { type: 'object', properties: { city: { type: 'string', description: 'Where it is.' } } };
const LONG = 'You are a helpful assistant who answers in verse. '.repeat(100);

describe('a prompt', () => {
  it('of chat completions counts texts, messages, tools and schemas, and nothing else', () => {
    const tools = [{ type: 'function', function: { name: 'weather', description: 'Tells it.', parameters: SCHEMA } }];
    const { input } = inputOf('openai', {
      model: 'not-counted',
      user: 'not counted',
      metadata: { note: 'not counted' },
      messages: [
        { role: 'system', content: LONG },
        { role: 'user', content: [{ type: 'text', text: 'What is the weather?' }] },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } }],
        },
        { role: 'tool', tool_call_id: 'call_1', content: 'Sunny.' },
      ],
      tools,
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: SCHEMA } },
      stop: ['not counted'],
    });
    expect(input).toBe(
      4 * 4 +
        3 +
        sum(
          LONG,
          'What is the weather?',
          'weather',
          '{"city":"Bern"}',
          'Sunny.',
          JSON.stringify(tools),
          JSON.stringify({ name: 'answer', schema: SCHEMA }),
        ),
    );
  });

  it('of responses counts instructions, items and what tools returned', () => {
    const { input } = inputOf('openai', {
      instructions: LONG,
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'What is the weather?' }] },
        { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: DATA },
        { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{}' },
        { type: 'function_call_output', call_id: 'call_1', output: 'Sunny.' },
      ],
      previous_response_id: 'resp_1',
    });
    expect(input).toBe(4 + 3 + sum(LONG, 'What is the weather?', 'weather', '{}', 'Sunny.'));
    expect(inputOf('openai', { input: 'Hello there' }).input).toBe(sum('Hello there'));
  });

  it('of completions and embeddings may be texts or numbers of tokens', () => {
    expect(inputOf('openai', { prompt: ['one text', 'another'] }).input).toBe(sum('one text', 'another'));
    expect(inputOf('openai', { input: [[1, 2, 3], [4]] }).input).toBe(4);
    expect(inputOf('openai', { input: [15, 16, 17] }).input).toBe(3);
  });

  it('of messages counts system, blocks, tool calls as JSON and tools', () => {
    const tools = [{ name: 'weather', description: 'Tells it.', input_schema: SCHEMA }];
    const { input } = inputOf('anthropic', {
      system: [{ type: 'text', text: LONG, cache_control: { type: 'ephemeral', ttl: '1h' } }],
      tools,
      messages: [
        { role: 'user', content: 'What is the weather?' },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'I ask.', signature: DATA },
            { type: 'redacted_thinking', data: DATA },
            { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Bern' } },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: 'Sunny.' }] },
            { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'A page.' }, title: 'Notes' },
          ],
        },
      ],
    });
    expect(input).toBe(
      3 * 4 +
        3 +
        sum(
          LONG,
          'What is the weather?',
          'I ask.',
          'weather',
          '{"city":"Bern"}',
          'Sunny.',
          'A page.',
          'Notes',
          JSON.stringify(tools),
        ),
    );
  });

  it('of generateContent counts parts, calls and answers of functions as JSON, in either spelling', () => {
    const tools = [{ functionDeclarations: [{ name: 'weather', parameters: SCHEMA }] }];
    const contents = [
      { role: 'user', parts: [{ text: 'What is the weather?' }] },
      {
        role: 'model',
        parts: [{ functionCall: { name: 'weather', args: { city: 'Bern' } }, thoughtSignature: DATA }],
      },
      { role: 'user', parts: [{ functionResponse: { name: 'weather', response: { sky: 'blue' } } }] },
    ];
    const expected =
      3 * 4 +
      3 +
      sum(
        LONG,
        'What is the weather?',
        'weather',
        '{"city":"Bern"}',
        'weather',
        '{"sky":"blue"}',
        JSON.stringify(tools),
      );
    const parts = [{ text: LONG }];
    expect(inputOf('gemini', { systemInstruction: { parts }, contents, tools }).input).toBe(expected);
    expect(inputOf('gemini', { system_instruction: { parts }, contents, tools }).input).toBe(expected);
  });

  it.each([
    ['openai', { type: 'image_url', image_url: { url: `data:image/png;base64,${DATA}` } }, 765, 0],
    ['openai', { type: 'image_url', image_url: { url: 'https://example.test/a.png', detail: 'low' } }, 85, 0],
    ['openai', { type: 'input_image', image_url: 'https://example.test/a.png', detail: 'low' }, 85, 0],
    ['openai', { type: 'input_audio', input_audio: { data: 'A'.repeat(64_000), format: 'wav' } }, 0, 10],
    ['openai', { type: 'input_audio', input_audio: { data: 'A'.repeat(64_000), format: 'mp3' } }, 0, 30],
    ['openai', { type: 'file', file: { file_data: DATA, filename: 'a.pdf' } }, 1500, 0],
    ['anthropic', { type: 'image', source: { type: 'base64', media_type: 'image/png', data: DATA } }, 1600, 0],
    ['anthropic', { type: 'document', source: { type: 'base64', data: DATA } }, 1500, 0],
    ['gemini', { inlineData: { mimeType: 'image/png', data: DATA } }, 258, 0],
    ['gemini', { inline_data: { mime_type: 'audio/mp3', data: 'A'.repeat(64_000) } }, 0, 96],
    ['gemini', { fileData: { mimeType: 'application/pdf', fileUri: 'https://example.test/f' } }, 258, 0],
  ] as const)('of %s counts media by a flat rule: %j', (dialect, part, input, audio) => {
    const request =
      dialect === 'gemini'
        ? { contents: [{ role: 'user', parts: [part] }] }
        : { messages: [{ role: 'user', content: [part] }] };
    expect(inputOf(dialect, request)).toEqual({ input: input + 4 + 3, audio });
  });

  it('of more values than are parsed is counted by its length', () => {
    const body = Buffer.from(`{"messages":[${'{"a":[]},'.repeat(400_000)}{}]}`);
    expect(readPrompt(body, 'openai').inputTokens).toBe(Math.ceil(body.length / 4));
  });

  it('that is nested to exhaust a stack is not followed', () => {
    const body = `{"messages":${'['.repeat(150)}"deep"${']'.repeat(150)}}`;
    expect(readPrompt(Buffer.from(body), 'openai').inputTokens).toBe(0);
  });
});
