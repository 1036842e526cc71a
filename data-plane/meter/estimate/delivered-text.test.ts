import { existsSync, readFileSync, readdirSync } from 'node:fs';
import fc from 'fast-check';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { DeliveredText } from './delivered-text.js';
import type { TextTally } from './text-tally.js';

const TEXT = 'Grüße aus Zürich 🙂: the weather is 21 °C, and 天气很好. ';
const THOUGHT = 'Let me think about the wéather first. ';
const ARGUMENTS = '{"city":"Zürich","days":3}';

interface Counted {
  readonly output: number;
  readonly reasoning: number;
  readonly images: number;
  readonly isAnswer: boolean;
}

function total(tally: TextTally): number {
  const work = tally.count(countTokens, () => false);
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

function read(dialect: Dialect, bytes: Buffer, sizes: readonly number[] = [bytes.length]): Counted {
  const text = new DeliveredText(dialect);
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    text.push(bytes.subarray(at, at + size));
    at += size;
  }
  text.end();
  return {
    output: total(text.output),
    reasoning: total(text.reasoning),
    images: text.images,
    isAnswer: text.isAnswer,
  };
}

function stream(events: readonly object[], lineEnd = '\n'): Buffer {
  const blocks = events.map(
    (event) => `: ping${lineEnd}event: e${lineEnd}data: ${JSON.stringify(event)}${lineEnd}${lineEnd}`,
  );
  return Buffer.from(`${blocks.join('')}data: [DONE]${lineEnd}${lineEnd}`);
}

/** Pieces as a model gives them, cut inside words. */
function pieces(text: string): string[] {
  return text.match(/[^]{1,7}/gu) ?? [];
}

const chat = (delta: object): object => ({ choices: [{ index: 0, delta }], usage: null });

const STREAMS: readonly { readonly name: string; readonly dialect: Dialect; readonly events: readonly object[] }[] = [
  {
    name: 'chat completions',
    dialect: 'openai',
    events: [
      chat({ role: 'assistant', content: '' }),
      ...pieces(THOUGHT).map((reasoning_content) => chat({ content: null, reasoning_content })),
      ...pieces(TEXT).map((content) => chat({ content })),
      chat({
        tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } }],
      }),
      ...pieces(ARGUMENTS).map((text) => chat({ tool_calls: [{ index: 0, function: { arguments: text } }] })),
      chat({}),
    ],
  },
  {
    name: 'responses',
    dialect: 'openai',
    events: [
      { type: 'response.created', response: { instructions: 'not counted', output: [] } },
      ...pieces(THOUGHT).map((delta) => ({ type: 'response.reasoning_summary_text.delta', output_index: 0, delta })),
      ...pieces(TEXT).map((delta) => ({ type: 'response.output_text.delta', output_index: 1, delta })),
      { type: 'response.output_text.done', output_index: 1, text: TEXT },
      { type: 'response.output_item.added', output_index: 2, item: { type: 'function_call', name: 'weather' } },
      ...pieces(ARGUMENTS).map((delta) => ({
        type: 'response.function_call_arguments.delta',
        output_index: 2,
        delta,
      })),
      { type: 'response.output_item.done', output_index: 2, item: { name: 'weather', arguments: ARGUMENTS } },
    ],
  },
  {
    name: 'messages',
    dialect: 'anthropic',
    events: [
      { type: 'message_start', message: { role: 'assistant', content: [], usage: { input_tokens: 3 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } },
      ...pieces(THOUGHT).map((thinking) => ({
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'thinking_delta', thinking },
      })),
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'c2VhbGVk'.repeat(99) } },
      { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
      { type: 'ping' },
      ...pieces(TEXT).map((text) => ({
        type: 'content_block_delta',
        index: 1,
        delta: { type: 'text_delta', text },
      })),
      {
        type: 'content_block_start',
        index: 2,
        content_block: { type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} },
      },
      ...pieces(ARGUMENTS).map((partial_json) => ({
        type: 'content_block_delta',
        index: 2,
        delta: { type: 'input_json_delta', partial_json },
      })),
    ],
  },
  {
    name: 'generateContent',
    dialect: 'gemini',
    events: [
      ...pieces(THOUGHT).map((text) => ({ candidates: [{ content: { parts: [{ text, thought: true }] } }] })),
      ...pieces(TEXT).map((text) => ({ candidates: [{ content: { parts: [{ text }], role: 'model' }, index: 0 }] })),
      {
        candidates: [
          { content: { parts: [{ functionCall: { name: 'weather', args: { city: 'Zürich', days: 3 } } }] } },
        ],
      },
    ],
  },
];

/** Name and arguments of a call follow each other in every dialect. */
const OUTPUT = countTokens(TEXT) + countTokens(`weather${ARGUMENTS}`);

describe.each(STREAMS)('a delivered stream of $name', ({ dialect, events }) => {
  it('counts as the tokenizer counts its whole texts', () => {
    const { output, reasoning, isAnswer } = read(dialect, stream(events));
    expect({ output, reasoning, isAnswer }).toEqual({
      output: OUTPUT,
      reasoning: countTokens(THOUGHT),
      isAnswer: true,
    });
  });

  it('counts the same however its bytes are cut and its lines end', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 8 }),
        fc.constantFrom('\n', '\r\n', '\r'),
        (sizes, lineEnd) => {
          expect(read(dialect, stream(events, lineEnd), sizes).output).toBe(OUTPUT);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('that broke off counts what came', () => {
    const bytes = stream(events);
    const { output, reasoning } = read(dialect, bytes.subarray(0, bytes.length * 0.6));
    expect(output).toBeLessThan(OUTPUT);
    expect(reasoning).toBe(countTokens(THOUGHT));
  });
});

const BODIES: readonly { readonly name: string; readonly dialect: Dialect; readonly body: object }[] = [
  {
    name: 'chat completion',
    dialect: 'openai',
    body: {
      id: 'chatcmpl-1',
      choices: [
        {
          index: 0,
          message: {
            content: TEXT,
            reasoning: THOUGHT,
            tool_calls: [{ type: 'function', function: { name: 'weather', arguments: ARGUMENTS } }],
          },
        },
      ],
    },
  },
  {
    name: 'response',
    dialect: 'openai',
    body: {
      object: 'response',
      instructions: 'not counted',
      output: [
        { type: 'reasoning', summary: [{ type: 'summary_text', text: THOUGHT }] },
        { type: 'message', content: [{ type: 'output_text', text: TEXT }] },
        { type: 'function_call', name: 'weather', arguments: ARGUMENTS },
      ],
    },
  },
  {
    name: 'message',
    dialect: 'anthropic',
    body: {
      type: 'message',
      content: [
        { type: 'thinking', thinking: THOUGHT, signature: 'c2VhbGVk' },
        { type: 'text', text: TEXT },
        { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Zürich', days: 3 } },
      ],
    },
  },
  {
    name: 'generateContent answer',
    dialect: 'gemini',
    body: {
      candidates: [
        {
          content: {
            parts: [
              { text: THOUGHT, thought: true },
              { text: TEXT },
              { functionCall: { name: 'weather', args: { city: 'Zürich', days: 3 } } },
            ],
          },
        },
      ],
    },
  },
];

describe.each(BODIES)('a delivered $name', ({ dialect, body }) => {
  const bytes = Buffer.from(JSON.stringify(body, null, 2));

  it('counts as the tokenizer counts its whole texts, however it is cut', () => {
    for (const sizes of [[bytes.length], [1], [7, 3]]) {
      const { output, reasoning } = read(dialect, bytes, sizes);
      expect({ output, reasoning }).toEqual({ output: OUTPUT, reasoning: countTokens(THOUGHT) });
    }
  });

  it('that broke off counts no more, the longer no less, and nothing without an answer', () => {
    let before = 0;
    for (let length = 1; length <= bytes.length; length += 13) {
      const { output, reasoning } = read(dialect, bytes.subarray(0, length));
      // A token of a text that was cut inside a word may become fewer when the word goes on.
      expect(output + reasoning).toBeGreaterThanOrEqual(before - 3);
      before = output + reasoning;
    }
    expect(before).toBeLessThanOrEqual(OUTPUT + countTokens(THOUGHT));
    expect(read(dialect, Buffer.from(' \n')).isAnswer).toBe(false);
  });
});

describe('what was delivered', () => {
  it('is no answer when it was only comments', () => {
    expect(read('openai', Buffer.from(': ping\n\n: ping\n\n')).isAnswer).toBe(false);
  });

  it('counts each answer of several as a text of its own', () => {
    const events = pieces(TEXT).flatMap((content) => [
      { choices: [{ index: 0, delta: { content } }] },
      { choices: [{ index: 1, delta: { content } }] },
    ]);
    expect(read('openai', stream(events)).output).toBe(2 * countTokens(TEXT));
  });

  it('goes on behind an event that is too long to be read', () => {
    const image = { candidates: [{ content: { parts: [{ inlineData: { data: 'A'.repeat(5_000_000) } }] } }] };
    const text = { candidates: [{ content: { parts: [{ text: TEXT }] } }] };
    expect(read('gemini', stream([text, image, text]), [65_536]).output).toBe(countTokens(TEXT + TEXT));
  });

  it('counts a generated image, and not its bytes', () => {
    const image = { candidates: [{ content: { parts: [{ inlineData: { data: 'A'.repeat(5000) } }] } }] };
    expect(read('gemini', stream([image]))).toMatchObject({ output: 0, images: 1 });
  });

  it('may be the list that Gemini streams without SSE', () => {
    const chunks = pieces(TEXT).map((text) => ({ candidates: [{ content: { parts: [{ text }] } }] }));
    const bytes = Buffer.from(JSON.stringify(chunks, null, 1));
    expect(read('gemini', bytes, [11]).output).toBe(countTokens(TEXT));
    expect(read('gemini', bytes.subarray(0, bytes.length - 5), [11]).output).toBe(countTokens(TEXT));
  });
});

const RECORDINGS = new URL('../../../../shared/provider-recordings/', import.meta.url).pathname;
const SPOKEN: Readonly<Record<string, Dialect>> = { openai: 'openai', anthropic: 'anthropic', google: 'gemini' };

describe.skipIf(!existsSync(RECORDINGS))('a recorded stream', () => {
  const files = Object.entries(SPOKEN).flatMap(([vendor, dialect]) =>
    readdirSync(`${RECORDINGS}${vendor}`)
      .filter((file) => file.endsWith('.chunks.txt') && !file.includes('error'))
      .map((file) => ({ path: `${RECORDINGS}${vendor}/${file}`, file, dialect })),
  );

  it.each(files)('counts the same in any cut: $file', ({ path, dialect }) => {
    const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
    const bytes = Buffer.from(lines.map((line) => `data: ${line}\n\n`).join(''));
    const whole = read(dialect, bytes);
    expect(whole.isAnswer).toBe(true);
    expect(read(dialect, bytes, [13, 1, 700])).toEqual(whole);
  });
});
