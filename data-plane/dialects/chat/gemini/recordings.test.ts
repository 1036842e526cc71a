import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gatherChatStream } from '../../../../test/kit/gather-chat-stream.js';
import type { AssistantPart } from '../chat.js';
import { isObject, parseJsonExactly, stringifyExactly } from '../json.js';
import { geminiChat } from './gemini.js';

/** Real answers, beside the project where somebody has them; the project's own fixtures are in the tests next to this. */
const FOLDER = new URL('../../../../../shared/provider-recordings/google/', import.meta.url);
const FILES = existsSync(FOLDER) ? readdirSync(FOLDER) : [];
const contentOf = (file: string) => readFileSync(new URL(file, FOLDER), 'utf8');
const ANSWERS = FILES.filter((file) => file.endsWith('.json') && !file.includes('429'));
const STREAMS = FILES.filter((file) => file.endsWith('.chunks.txt'));

/** What a recording says, found by hand. */
function facts(answers: readonly unknown[]) {
  const parts = answers.flatMap((answer) => {
    const [first] = isObject(answer) && Array.isArray(answer['candidates']) ? (answer['candidates'] as unknown[]) : [];
    const content = isObject(first) ? first['content'] : undefined;
    return isObject(content) && Array.isArray(content['parts']) ? content['parts'].filter(isObject) : [];
  });
  const last = answers.at(-1);
  const usage = isObject(last) && isObject(last['usageMetadata']) ? last['usageMetadata'] : {};
  return {
    text: parts.map(({ text }) => (typeof text === 'string' ? text : '')).join(''),
    calls: parts.flatMap(({ functionCall }) => (isObject(functionCall) ? [functionCall['name']] : [])),
    signatures: parts.flatMap(({ thoughtSignature }) =>
      typeof thoughtSignature === 'string' ? [thoughtSignature] : [],
    ),
    input: usage['promptTokenCount'],
    output: usage['candidatesTokenCount'],
    reasoning: usage['thoughtsTokenCount'],
  };
}

function factsRead(answer: ReturnType<typeof geminiChat.readAnswer>) {
  const content: readonly AssistantPart[] = answer?.choices[0]?.content ?? [];
  return {
    text: content.map((part) => (part.kind === 'text' ? part.text : '')).join(''),
    calls: content.flatMap((part) => (part.kind === 'tool-call' ? [part.name] : [])),
    signatures: content.flatMap((part) => ('signature' in part ? [part.signature] : [])),
    input: answer?.usage?.input,
    output: answer?.usage?.output,
    reasoning: answer?.usage?.reasoning,
  };
}

describe.skipIf(FILES.length === 0)('what Gemini has really said', () => {
  it.each(ANSWERS)('is read as it is, and written and read again is the same: %s', (file) => {
    const body = parseJsonExactly(contentOf(file));
    const answer = geminiChat.readAnswer(body);
    expect(factsRead(answer)).toEqual(facts([body]));
    if (answer === undefined) return;
    expect(
      geminiChat.readAnswer(parseJsonExactly(stringifyExactly(geminiChat.writeAnswer(answer, answer.model)))),
    ).toEqual(answer);
  });

  it.each(STREAMS)('in a stream is read as it is, and written and read again is the same: %s', (file) => {
    const lines = contentOf(file)
      .split('\n')
      .filter((line) => line !== '');
    const stream = lines.map((line) => `data: ${line}\n\n`).join('');
    const { answer, events, isWhole } = gatherChatStream(geminiChat, stream);
    expect(isWhole).toBe(true);
    expect(factsRead(answer)).toEqual(facts(lines.map(parseJsonExactly)));
    const writer = geminiChat.createStreamWriter({ model: answer.model, wantsUsage: true });
    const again = gatherChatStream(geminiChat, events.map((event) => writer.push(event)).join('') + writer.end());
    expect(again).toMatchObject({ answer, isWhole: true });
    expect(usageFollowed(lines)).toEqual(answer.usage);
  });
});

function usageFollowed(lines: readonly string[]) {
  const reader = geminiChat.createUsageReader();
  return lines.map((data) => reader.push({ event: undefined, data })).at(-1);
}
