import { indexOf, itemsOf, membersOf, type OutputSink } from './output-text.js';

/**
 * The text in a chat completion, a completion or a response of OpenAI's, or in one event of their streams, also as other
 * vendors fill them. Sound that the model speaks is known by its transcript.
 * https://platform.openai.com/docs/api-reference/chat-streaming
 * https://platform.openai.com/docs/api-reference/responses-streaming
 */
export function readOpenAiOutput(value: unknown, sink: OutputSink): void {
  const answer = membersOf(value);
  if (typeof answer['type'] === 'string') readResponseEvent(answer, answer['type'], sink);
  for (const choice of itemsOf(answer['choices'])) readChoice(membersOf(choice), sink);
  itemsOf(answer['output']).forEach((item, index) => {
    readResponseItem(membersOf(item), String(index), sink);
  });
}

function readChoice(choice: Readonly<Record<string, unknown>>, sink: OutputSink): void {
  const channel = indexOf(choice['index']);
  sink.text(channel, choice['text']);
  const message = membersOf(choice['delta'] ?? choice['message']);
  sink.text(channel, message['content']);
  for (const part of itemsOf(message['content'])) readContentPart(membersOf(part), channel, sink);
  sink.text(channel, message['refusal']);
  sink.text(`${channel} audio`, membersOf(message['audio'])['transcript']);
  // The name is DeepSeek's, or Groq's and OpenRouter's; a provider that sends both sends the same.
  sink.reasoning(channel, message['reasoning_content'] ?? message['reasoning']);
  readCall(message['function_call'], `${channel} function`, sink);
  itemsOf(message['tool_calls']).forEach((call, position) => {
    const { index, function: called, custom } = membersOf(call);
    readCall(called ?? custom, `${channel} tool ${indexOf(index ?? position)}`, sink);
  });
}

/** Mistral's list of parts. https://docs.mistral.ai/capabilities/reasoning/ */
function readContentPart(part: Readonly<Record<string, unknown>>, channel: string, sink: OutputSink): void {
  sink.text(channel, part['text']);
  for (const thought of itemsOf(part['thinking'])) sink.reasoning(channel, membersOf(thought)['text']);
}

function readCall(value: unknown, channel: string, sink: OutputSink): void {
  const call = membersOf(value);
  sink.text(channel, call['name']);
  sink.text(channel, call['arguments'] ?? call['input']);
}

/** Whole items and the whole response come once more at their end, and are not read then. */
function readResponseEvent(event: Readonly<Record<string, unknown>>, type: string, sink: OutputSink): void {
  const channel = `${indexOf(event['output_index'])} ${indexOf(event['content_index'])}`;
  if (type === 'response.output_item.added') {
    sink.text(channel, membersOf(event['item'])['name']);
  } else if (type === 'response.reasoning_text.delta' || type === 'response.reasoning_summary_text.delta') {
    sink.reasoning(`${channel} ${indexOf(event['summary_index'])}`, event['delta']);
  } else if (TEXT_DELTAS.has(type)) {
    sink.text(channel, event['delta']);
  }
}

const TEXT_DELTAS: ReadonlySet<string> = new Set([
  'response.output_text.delta',
  'response.refusal.delta',
  'response.function_call_arguments.delta',
  'response.custom_tool_call_input.delta',
  'response.mcp_call_arguments.delta',
  'response.code_interpreter_call_code.delta',
  'response.audio.transcript.delta',
]);

function readResponseItem(item: Readonly<Record<string, unknown>>, channel: string, sink: OutputSink): void {
  readCall(item, channel, sink);
  sink.text(channel, item['code']);
  const isReasoning = item['type'] === 'reasoning';
  for (const list of [item['content'], item['summary']]) {
    for (const part of itemsOf(list)) {
      const { text, refusal } = membersOf(part);
      if (isReasoning) sink.reasoning(channel, text);
      else sink.text(channel, text ?? refusal);
    }
  }
}
