import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ChatEvent } from '../chat.js';
import { parseJsonExactly, stringifyExactly } from '../json.js';
import { anthropicChat } from './anthropic.js';

/** Real answers, beside the project where they are present; their own events are summed up here without our reader. */
const folder = new URL('../../../../../shared/provider-recordings/anthropic/', import.meta.url);
const names = existsSync(folder) ? readdirSync(folder) : [];
const textOf = (name: string): string => readFileSync(new URL(name, folder), 'utf8');

interface Block {
  readonly type: string;
  readonly text?: string;
  readonly thinking?: string;
  readonly signature?: string;
  readonly name?: string;
  readonly input?: unknown;
}
interface StreamEvent {
  readonly type: string;
  readonly index?: number;
  readonly content_block?: Block;
  readonly delta?: {
    readonly text?: string;
    readonly thinking?: string;
    readonly partial_json?: string;
    readonly stop_reason?: string;
  };
  readonly message?: { readonly usage?: Record<string, number> };
  readonly usage?: Record<string, number>;
}

function readEvents(events: readonly { event: string | undefined; data: string }[]) {
  const reader = anthropicChat.createStreamReader();
  const follower = anthropicChat.createUsageReader();
  const steps = events.flatMap((event) => {
    follower.push(event);
    return reader.push(event);
  });
  expect(reader.end()).toBe(true);
  return { steps, followed: follower.push({ event: 'ping', data: '{"type":"ping"}' }) };
}

const joined = (steps: readonly ChatEvent[], kind: ChatEvent['kind']): string =>
  steps
    .map((step) => (step.kind !== kind ? '' : 'text' in step ? step.text : 'json' in step ? step.json : ''))
    .join('');

describe.skipIf(names.length === 0)('a recorded answer of Anthropic’s', () => {
  it.each(names.filter((name) => name.endsWith('.json')))('is read whole and written the same again: %s', (name) => {
    const body = JSON.parse(textOf(name)) as { content: Block[]; stop_reason: string; usage: Record<string, number> };
    const answer = anthropicChat.readAnswer(parseJsonExactly(textOf(name)));
    if (answer === undefined) throw new Error('not read');
    const of = (type: string) => body.content.filter((block) => block.type === type);
    const parts = answer.choices[0]?.content ?? [];
    expect(parts.flatMap((part) => (part.kind === 'text' ? [part.text] : []))).toEqual(
      of('text').map(({ text }) => text),
    );
    expect(parts.flatMap((part) => (part.kind === 'reasoning' ? [[part.text, part.signature]] : []))).toEqual(
      of('thinking').map(({ thinking, signature }) => [thinking, signature]),
    );
    expect(
      parts.flatMap((part) => (part.kind === 'tool-call' ? [[part.name, JSON.parse(part.argumentsJson)]] : [])),
    ).toEqual(of('tool_use').map((block) => [block.name, block.input]));
    expect(answer.usage).toMatchObject({ input: body.usage['input_tokens'], output: body.usage['output_tokens'] });
    const again = parseJsonExactly(stringifyExactly(anthropicChat.writeAnswer(answer, answer.model)));
    expect(anthropicChat.readAnswer(again)).toEqual(answer);
    expect(again).toMatchObject({ stop_reason: body.stop_reason });
  });

  it.each(names.filter((name) => name.endsWith('.chunks.txt')))('streamed is read whole: %s', (name) => {
    const lines = textOf(name)
      .split('\n')
      .filter((line) => line !== '');
    const events = lines.map((line) => JSON.parse(line) as StreamEvent);
    const { steps, followed } = readEvents(lines.map((data, index) => ({ event: events[index]?.type, data })));

    const blocks = new Map(
      events.map(({ index, content_block: block }) => [block === undefined ? -1 : index, block?.type]),
    );
    const said = (type: string, piece: (delta: NonNullable<StreamEvent['delta']>) => string | undefined): string =>
      events
        .map(({ index, delta }) => (blocks.get(index) === type && delta !== undefined ? (piece(delta) ?? '') : ''))
        .join('');
    expect(joined(steps, 'text')).toBe(said('text', (delta) => delta.text));
    expect(joined(steps, 'reasoning')).toBe(said('thinking', (delta) => delta.thinking));
    const toolArguments = said('tool_use', (delta) => delta.partial_json);
    const hasCall = events.some(({ content_block: block }) => block?.type === 'tool_use');
    expect(joined(steps, 'tool-arguments')).toBe(toolArguments === '' && hasCall ? '{}' : toolArguments);

    const first = events.find(({ type }) => type === 'message_start')?.message?.usage;
    const last = events.findLast(({ type }) => type === 'message_delta')?.usage;
    const total = { ...first, ...last };
    const used = steps.findLast((step) => step.kind === 'usage');
    expect(used).toMatchObject({ usage: { input: total['input_tokens'] } });
    const { output = 0, reasoning = 0, cacheWrite5m = 0, cacheWrite1h = 0, cacheRead = 0 } = used?.usage ?? {};
    expect(output + reasoning).toBe(total['output_tokens']);
    expect(cacheWrite5m + cacheWrite1h).toBe(total['cache_creation_input_tokens']);
    expect(cacheRead).toBe(total['cache_read_input_tokens']);
    expect(followed).toEqual(used?.usage);

    const writer = anthropicChat.createStreamWriter({ model: 'alias', wantsUsage: true });
    const written = steps.map((step) => writer.push(step)).join('') + writer.end();
    const again = readEvents(
      written.split('\n\n').flatMap((block) => {
        const data = /\ndata: (.*)$/.exec(block)?.[1];
        return data === undefined ? [] : [{ event: undefined, data }];
      }),
    );
    const kept = ({ kind }: ChatEvent): boolean => kind !== 'start' && kind !== 'usage';
    expect(again.steps.filter(kept)).toEqual(steps.filter(kept));
    expect(again.followed).toEqual(followed);
  });
});
