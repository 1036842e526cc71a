import Anthropic from '@anthropic-ai/sdk';
import { PICTURE_TYPE, TOOL_PARAMETERS, TOOLS, type Said } from './conversation.js';
import type { ClientOptions, Conversation, Picture, Reply, Talk, ToolResult } from './conversation.js';

export function anthropicTalker({ origin, apiKey }: ClientOptions): Talk {
  const client = new Anthropic({ baseURL: origin, apiKey, maxRetries: 0 });
  return async (conversation) => {
    const body = bodyOf(conversation);
    return replyOf(
      conversation.streamed ? await client.messages.stream(body).finalMessage() : await client.messages.create(body),
    );
  };
}

function replyOf({ content, stop_reason, stop_sequence, stop_details, usage }: Anthropic.Message): Reply {
  const cached = usage.cache_read_input_tokens ?? 0;
  return {
    answer: content,
    text: content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
    refusal: stop_details?.type === 'refusal' ? (stop_details.explanation ?? '') : '',
    thoughts: content.map((block) => (block.type === 'thinking' ? block.thinking : '')).join(''),
    calls: content.flatMap((block) =>
      block.type === 'tool_use' ? [{ id: block.id, name: block.name, args: block.input }] : [],
    ),
    finish: stop_reason ?? '',
    stopSequence: stop_sequence,
    usage: {
      input: usage.input_tokens + cached + (usage.cache_creation_input_tokens ?? 0),
      cached,
      output: usage.output_tokens,
      reasoning: usage.output_tokens_details?.thinking_tokens ?? 0,
    },
  };
}

function bodyOf(conversation: Conversation): Anthropic.MessageCreateParamsNonStreaming {
  const { model, said, system, temperature, topP, stop, maxTokens, tools, schema, reasons } = conversation;
  return {
    model,
    max_tokens: maxTokens ?? 4_000,
    messages: said.map(turn),
    ...(system !== undefined && { system }),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(stop !== undefined && { stop_sequences: [stop] }),
    ...(tools === true && { tools: TOOLS.map((name) => ({ name, input_schema: TOOL_PARAMETERS })) }),
    ...(schema && { output_config: { format: { type: 'json_schema', schema } } }),
    ...(reasons === true && { thinking: { type: 'enabled', budget_tokens: 1_024 } }),
  };
}

function turn(said: Said): Anthropic.MessageParam {
  if ('answer' in said) return { role: 'assistant', content: said.answer as Anthropic.ContentBlockParam[] };
  const { user, pictures = [], results = [] } = said;
  const text = user === '' ? [] : [{ type: 'text' as const, text: user }];
  return { role: 'user', content: [...results.map(resultOf), ...text, ...pictures.map(imageOf)] };
}

function resultOf({ callId, text, failed }: ToolResult): Anthropic.ToolResultBlockParam {
  return { type: 'tool_result', tool_use_id: callId, content: text, ...(failed === true && { is_error: true }) };
}

function imageOf(picture: Picture): Anthropic.ImageBlockParam {
  const source =
    'url' in picture
      ? { type: 'url' as const, url: picture.url }
      : { type: 'base64' as const, media_type: PICTURE_TYPE as 'image/png', data: picture.base64 };
  return { type: 'image', source };
}
