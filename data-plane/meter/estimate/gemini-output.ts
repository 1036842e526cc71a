import { indexOf, itemsOf, membersOf, type OutputSink } from './output-text.js';

/**
 * The text in an answer of Gemini's: a whole one, an event of a stream, or the list that a stream without `alt=sse` is.
 * https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
 */
export function readGeminiOutput(value: unknown, sink: OutputSink): void {
  for (const answer of Array.isArray(value) ? itemsOf(value) : [value]) {
    for (const candidate of itemsOf(membersOf(answer)['candidates'])) {
      const { index, content } = membersOf(candidate);
      for (const part of itemsOf(membersOf(content)['parts'])) readPart(membersOf(part), indexOf(index), sink);
    }
  }
}

function readPart(part: Readonly<Record<string, unknown>>, channel: string, sink: OutputSink): void {
  if (part['thought'] === true) sink.reasoning(channel, part['text']);
  else sink.text(channel, part['text']);
  sink.text(`${channel} code`, membersOf(part['executableCode'])['code']);
  if (part['functionCall'] !== undefined) readCall(membersOf(part['functionCall']), `${channel} call`, sink);
  if (part['inlineData'] !== undefined && part['thought'] !== true) sink.image();
}

function readCall(call: Readonly<Record<string, unknown>>, channel: string, sink: OutputSink): void {
  sink.text(channel, call['name']);
  if (call['args'] !== undefined) sink.text(channel, JSON.stringify(call['args']));
  for (const partial of itemsOf(call['partialArgs'])) sink.text(channel, membersOf(partial)['stringValue']);
}
