import type { ChatEvent } from '../../data-plane/dialects/chat/chat.js';
import { openAiChat } from '../../data-plane/dialects/chat/openai/openai.js';

interface ReadStream {
  readonly events: readonly ChatEvent[];
  readonly isWhole: boolean;
}

/** Reads a stream of OpenAI's dialect, given the data of each of its events. */
export function readAll(datas: readonly string[]): ReadStream {
  const reader = openAiChat.createStreamReader();
  const events = datas.flatMap((data) => reader.push({ event: undefined, data }));
  return { events, isWhole: reader.end() };
}

/** Writes a stream. @returns the data of each of its events; fails where one is not a whole SSE event */
export function writeAll(
  events: readonly ChatEvent[],
  call: { readonly model: string; readonly wantsUsage: boolean },
): readonly string[] {
  const writer = openAiChat.createStreamWriter(call);
  const text = events.map((event) => writer.push(event)).join('') + writer.end();
  if (text === '') return [];
  if (!text.endsWith('\n\n')) throw new Error(`The stream ends within an event: ${text.slice(-100)}`);
  return text
    .slice(0, -2)
    .split('\n\n')
    .map((event) => {
      if (!event.startsWith('data: ') || event.includes('\n')) throw new Error(`This is no event: ${event}`);
      return event.slice('data: '.length);
    });
}
