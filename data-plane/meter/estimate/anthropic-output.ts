import { indexOf, itemsOf, membersOf, type OutputSink } from './output-text.js';

/**
 * The text in a message of Anthropic's, or in one event of its stream. Results of tools that run at the provider are no
 * output of the model and are not read.
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
export function readAnthropicOutput(value: unknown, sink: OutputSink): void {
  const answer = membersOf(value);
  const channel = indexOf(answer['index']);
  if (answer['type'] === 'content_block_start') readBlock(membersOf(answer['content_block']), channel, sink);
  else if (answer['type'] === 'content_block_delta') readDelta(membersOf(answer['delta']), channel, sink);
  itemsOf(answer['content']).forEach((block, index) => {
    readBlock(membersOf(block), String(index), sink);
  });
}

function readBlock(block: Readonly<Record<string, unknown>>, channel: string, sink: OutputSink): void {
  sink.text(channel, block['text']);
  sink.reasoning(channel, block['thinking']);
  if (block['input'] === undefined) return;
  sink.text(channel, block['name']);
  // A stream begins a call with an empty object, and gives its text afterwards.
  if (Object.keys(membersOf(block['input'])).length > 0) sink.text(channel, JSON.stringify(block['input']));
}

function readDelta(delta: Readonly<Record<string, unknown>>, channel: string, sink: OutputSink): void {
  sink.text(channel, delta['text']);
  sink.text(channel, delta['partial_json']);
  sink.reasoning(channel, delta['thinking']);
}
