import OpenAI from 'openai';
import { PICTURE_TYPE, TOOL_PARAMETERS, TOOLS, type Said } from './conversation.js';
import type { ClientOptions, Conversation, Picture, Reply, Talk } from './conversation.js';

type Message = OpenAI.ChatCompletionMessageParam;
/** OpenAI's own dialect does not show thoughts: `reasoning_content` is how its compatible providers do. */
type WithThoughts = { readonly reasoning_content?: string };

export function openAiTalker({ origin, apiKey }: ClientOptions): Talk {
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey, maxRetries: 0 });
  return async (conversation) => {
    const body = bodyOf(conversation);
    if (!conversation.streamed) return replyOf(await client.chat.completions.create(body));
    let thoughts = '';
    const stream = client.chat.completions.stream({ ...body, stream: true, stream_options: { include_usage: true } });
    stream.on('chunk', ({ choices }) => {
      thoughts += (choices[0]?.delta as WithThoughts | undefined)?.reasoning_content ?? '';
    });
    return { ...replyOf(await stream.finalChatCompletion()), thoughts };
  };
}

function replyOf({ choices, usage }: OpenAI.ChatCompletion): Reply {
  const choice = choices[0];
  if (choice === undefined) throw new Error('there is no choice');
  const { message } = choice;
  return {
    answer: message,
    text: message.content ?? '',
    refusal: message.refusal ?? '',
    thoughts: (message as WithThoughts).reasoning_content ?? '',
    calls: (message.tool_calls ?? []).flatMap((call) =>
      call.type === 'function'
        ? [{ id: call.id, name: call.function.name, args: JSON.parse(call.function.arguments) as unknown }]
        : [],
    ),
    finish: choice.finish_reason,
    stopSequence: null,
    usage: {
      input: usage?.prompt_tokens ?? -1,
      cached: usage?.prompt_tokens_details?.cached_tokens ?? 0,
      output: usage?.completion_tokens ?? -1,
      reasoning: usage?.completion_tokens_details?.reasoning_tokens ?? 0,
    },
  };
}

function bodyOf(conversation: Conversation): OpenAI.ChatCompletionCreateParamsNonStreaming {
  const { model, said, system, temperature, topP, stop, maxTokens, tools, schema, reasons } = conversation;
  const tool = (name: string) => ({ type: 'function' as const, function: { name, parameters: TOOL_PARAMETERS } });
  return {
    model,
    messages: [...(system === undefined ? [] : [{ role: 'system' as const, content: system }]), ...said.flatMap(turns)],
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(stop !== undefined && { stop: [stop] }),
    ...(maxTokens !== undefined && { max_completion_tokens: maxTokens }),
    ...(tools === true && { tools: TOOLS.map(tool) }),
    ...(schema && { response_format: { type: 'json_schema', json_schema: { name: 'response', schema } } }),
    ...(reasons === true && { reasoning_effort: 'low' }),
  };
}

function turns(said: Said): Message[] {
  if ('answer' in said) return [said.answer as Message];
  const { user, pictures = [], results = [] } = said;
  const images = pictures.map((picture) => ({ type: 'image_url' as const, image_url: { url: urlOf(picture) } }));
  return [
    ...results.map(({ callId, text, failed }) => ({
      role: 'tool' as const,
      tool_call_id: callId,
      // The dialect has no other way to say it.
      content: failed === true ? `Error: ${text}` : text,
    })),
    ...(user === '' ? [] : [{ role: 'user' as const, content: [{ type: 'text' as const, text: user }, ...images] }]),
  ];
}

function urlOf(picture: Picture): string {
  return 'url' in picture ? picture.url : `data:${PICTURE_TYPE};base64,${picture.base64}`;
}
