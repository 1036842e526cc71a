import { existsSync, globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isOpeningEvent } from './opening-event.js';

const chunk = (choice: object, rest: object = {}): object => ({
  object: 'chat.completion.chunk',
  choices: [choice],
  ...rest,
});

describe('an event that only says that an answer begins', () => {
  it.each<[string, object]>([
    ['the role', chunk({ index: 0, delta: { role: 'assistant', content: '', refusal: null }, finish_reason: null })],
    ['no usage yet', chunk({ index: 0, delta: { role: 'assistant', content: '' } }, { usage: null })],
    ['what Azure found in the prompt', { choices: [], prompt_filter_results: [{ prompt_index: 0 }] }],
    ['a message', { type: 'message_start', message: { usage: { input_tokens: 3 } } }],
    ['a ping', { type: 'ping' }],
    ['a response', { type: 'response.created', response: { error: null } }],
    ['a response that waits', { type: 'response.in_progress' }],
  ])('%s', (_name, event) => {
    expect(isOpeningEvent(JSON.stringify(event))).toBe(true);
  });
});

describe('an event that is worth sending', () => {
  it.each<[string, unknown]>([
    ['a word', chunk({ index: 0, delta: { role: 'assistant', content: 'a' } })],
    ['a blank', chunk({ index: 0, delta: { content: ' ' } })],
    ['a thought', chunk({ index: 0, delta: { content: '', reasoning_content: 'a' } })],
    ['a call of a tool', chunk({ index: 0, delta: { tool_calls: [{ index: 0 }] } })],
    ['an end', chunk({ index: 0, delta: {}, finish_reason: 'stop' })],
    ['a text', { choices: [{ text: 'a', index: 0, logprobs: null, finish_reason: null }] }],
    ['usage', { choices: [], usage: { prompt_tokens: 1 } }],
    ['an error', { error: { message: 'no' } }],
    ['an error beside choices', { choices: [], error: { message: 'no' } }],
    ['Google’s', { candidates: [{ content: { parts: [] } }] }],
    ['a block', { type: 'content_block_start', index: 0 }],
    ['an item', { type: 'response.output_item.added' }],
    ['what nobody knows', { type: 'x' }],
    ['a list', []],
    ['a number', 1],
    ['nothing', null],
  ])('%s', (_name, event) => {
    expect(isOpeningEvent(JSON.stringify(event))).toBe(false);
  });

  it('also where it cannot be read', () => {
    expect(isOpeningEvent('[DONE]')).toBe(false);
    expect(isOpeningEvent('{"type":"ping"')).toBe(false);
  });
});

const RECORDINGS = new URL('../../../shared/provider-recordings/', import.meta.url).pathname;

describe.skipIf(!existsSync(RECORDINGS))('a stream as a provider sent it', () => {
  it.each(globSync('**/*.chunks.txt', { cwd: RECORDINGS }))('opens with few events: %s', (name) => {
    const lines = readFileSync(RECORDINGS + name, 'utf8')
      .split('\n')
      .filter(Boolean);
    const worth = lines.findIndex((line) => !isOpeningEvent(line));
    expect(worth).toBeGreaterThanOrEqual(0);
    expect(worth).toBeLessThanOrEqual(3);
  });
});
