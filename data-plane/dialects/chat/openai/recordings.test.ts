import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseJsonExactly, stringifyExactly } from '../json.js';
import type { AssistantPart, ChatAnswer, ChatEvent } from '../chat.js';
import { openAiChat } from './openai.js';
import { readAll, writeAll } from '../../../../test/kit/openai-stream.js';

/** Real answers of providers of this dialect, where they lie beside the project. */
const RECORDINGS = new URL('../../../../../shared/provider-recordings/', import.meta.url);
const VENDORS = ['openai', 'deepseek', 'groq', 'mistral', 'xai'];

interface Recording {
  readonly name: string;
  readonly text: string;
}

/** Those of chat completions: the vendors' other interfaces are recorded beside them. */
function recordings(ending: string, mark: string): readonly Recording[] {
  if (!existsSync(RECORDINGS)) return [];
  return VENDORS.flatMap((vendor) => {
    const folder = new URL(`${vendor}/`, RECORDINGS);
    const files = readdirSync(folder).filter((file) => file.endsWith(ending));
    return files.map((file) => ({ name: `${vendor}/${file}`, text: readFileSync(new URL(file, folder), 'utf8') }));
  }).filter(({ text }) => text.replaceAll(' ', '').includes(`"object":"${mark}"`));
}

const ANSWERS = recordings('.json', 'chat.completion');
const STREAMS = recordings('.chunks.txt', 'chat.completion.chunk');

/** The totals that the recording says, whichever fields contain which. */
function reportedSum(body: unknown): unknown {
  return (body as { usage: { total_tokens: number } }).usage.total_tokens;
}

function sumOf(usage: ChatAnswer['usage']): number {
  const { request, ...tokens } = usage ?? {};
  expect(request).toBe(1);
  return Object.values(tokens).reduce((sum, count) => sum + count, 0);
}

/** The parts that a stream adds up to. */
function partsOf(events: readonly ChatEvent[]): readonly Pick<AssistantPart, 'kind'>[] {
  const parts: (AssistantPart & { argumentsJson?: string; text?: string })[] = [];
  for (const event of events) {
    const last = parts.at(-1);
    if (event.kind === 'text' || event.kind === 'reasoning') {
      if (last?.kind === event.kind) parts[parts.length - 1] = { ...last, text: last.text + event.text };
      else parts.push({ kind: event.kind, text: event.text });
    } else if (event.kind === 'tool-call') {
      parts.push({ kind: 'tool-call', id: event.id, name: event.name, argumentsJson: '' });
    } else if (event.kind === 'tool-arguments' && last?.kind === 'tool-call') {
      parts[parts.length - 1] = { ...last, argumentsJson: last.argumentsJson + event.json };
    }
  }
  return parts;
}

const KINDS: Readonly<Record<string, readonly string[]>> = {
  'deepseek-reasoning': ['reasoning', 'text'],
  'deepseek-tool-call': ['reasoning', 'tool-call'],
  'groq-tool-call': ['tool-call'],
  'mistral-reasoning': ['reasoning', 'text'],
  'mistral-text': ['text'],
  'openai-text': ['text'],
  'xai-text': ['reasoning', 'text'],
};

function kindsIn({ name }: Recording): readonly string[] | undefined {
  return KINDS[name.replace(/^.*\//, '').replace(/\..*$/, '')];
}

describe.skipIf(!existsSync(RECORDINGS))('recorded answers', () => {
  it('are there', () => {
    expect(ANSWERS.length).toBeGreaterThanOrEqual(7);
    expect(STREAMS.length).toBeGreaterThanOrEqual(7);
  });

  it.each(ANSWERS)('are read whole, and written again read the same: $name', (recording) => {
    const body = parseJsonExactly(recording.text);
    const answer = openAiChat.readAnswer(body);
    expect(answer?.choices[0]?.content.map((part) => part.kind)).toEqual(kindsIn(recording));
    expect(answer?.choices[0]?.finish).toBe(recording.name.includes('tool') ? 'tool-calls' : 'stop');
    expect(sumOf(answer?.usage)).toBe(reportedSum(body));
    if (answer === undefined) throw new Error('It was not read.');
    const written = parseJsonExactly(stringifyExactly(openAiChat.writeAnswer(answer, answer.model)));
    expect(openAiChat.readAnswer(written)).toEqual(answer);
  });

  it.each(STREAMS)('are read whole as streams, and written again read the same: $name', (recording) => {
    const datas = recording.text.split('\n').filter((line) => line !== '');
    const { events, isWhole } = readAll([...datas, '[DONE]']);
    expect(isWhole).toBe(true);
    const parts = partsOf(events);
    expect(parts.map((part) => part.kind)).toEqual(kindsIn(recording));
    for (const part of parts) if (part.kind === 'tool-call') expect(part).toHaveProperty('argumentsJson');
    const total = events.findLast((event) => event.kind === 'usage')?.usage;
    expect(sumOf(total)).toBe(reportedSum(JSON.parse(datas.findLast((data) => data.includes('total_tokens')) ?? '')));
    const call = { model: 'alias', wantsUsage: true };
    expect(readAll(writeAll(events, call)).events).toEqual(
      events.map((event) => (event.kind === 'start' ? { ...event, model: 'alias' } : event)),
    );
  });

  it.each(STREAMS)('say their usage to who only follows them: $name', ({ text }) => {
    const reader = openAiChat.createUsageReader();
    const totals = text.split('\n').map((data) => reader.push({ event: undefined, data }));
    expect(totals.at(-1)).toEqual(readAll(text.split('\n')).events.findLast((event) => event.kind === 'usage')?.usage);
    expect(totals.at(-1)).toBeDefined();
  });
});
