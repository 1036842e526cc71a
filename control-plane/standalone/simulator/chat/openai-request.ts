import { z } from 'zod';
import { base64Length, mediaOfUrl, type ChatTask, type Media, type ToolChoice, type Turn } from './task.js';

const part = z.object({
  type: z.string(),
  text: z.string().optional(),
  image_url: z.object({ url: z.string() }).optional(),
  input_audio: z.object({ data: z.string(), format: z.string() }).optional(),
  file: z.object({ file_data: z.string().optional(), file_id: z.string().optional() }).optional(),
});
const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(part)]).nullish(),
  tool_call_id: z.string().optional(),
  /** Not OpenAI's: https://api-docs.deepseek.com/guides/thinking_mode */
  reasoning_content: z.string().nullish(),
  tool_calls: z
    .array(z.object({ id: z.string(), function: z.object({ name: z.string(), arguments: z.string() }).optional() }))
    .nullish(),
});

const allowedTools = z.object({
  mode: z.enum(['auto', 'required']),
  tools: z.array(z.object({ function: z.object({ name: z.string() }).optional() })),
});

/** The fields of a chat request that the simulator minds; others are accepted and ignored. */
export const chatRequestSchema = z.object({
  model: z.string().min(1),
  messages: z.array(message).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  n: z.int().min(1).max(8).nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  top_k: z.number().nullish(),
  seed: z.number().nullish(),
  frequency_penalty: z.number().nullish(),
  presence_penalty: z.number().nullish(),
  logit_bias: z.record(z.string(), z.number()).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
  user: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
  verbosity: z.string().nullish(),
  service_tier: z.string().max(100).nullish(),
  reasoning_effort: z.string().nullish(),
  response_format: z
    .object({
      type: z.string(),
      json_schema: z.object({ name: z.string(), schema: z.unknown().optional() }).optional(),
    })
    .nullish(),
  tools: z
    .array(
      z.object({
        type: z.string(),
        function: z.object({ name: z.string().min(1), parameters: z.unknown().optional() }).optional(),
      }),
    )
    .nullish(),
  tool_choice: z
    .union([
      z.enum(['none', 'auto', 'required']),
      z.object({ type: z.literal('function'), function: z.object({ name: z.string() }) }),
      z.object({ type: z.literal('allowed_tools'), allowed_tools: allowedTools }),
    ])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
});

export type ChatRequest = z.infer<typeof chatRequestSchema>;
type Message = ChatRequest['messages'][number];

/** What an OpenAI chat request asks for. Text parts of a message are joined without a separator. */
export function openAiTask(request: ChatRequest): ChatTask {
  const tools = (request.tools ?? []).flatMap(({ function: offer }) =>
    offer ? [{ name: offer.name, parameters: offer.parameters }] : [],
  );
  const effort = request.reasoning_effort;
  return {
    model: request.model,
    turns: readTurns(request.messages),
    tools,
    toolChoice: readToolChoice(request.tool_choice),
    parallelTools: request.parallel_tool_calls !== false,
    schema: readSchema(request.response_format),
    reasoning: effort && effort !== 'none' ? { effort, shown: true } : undefined,
    stop: typeof request.stop === 'string' ? [request.stop] : (request.stop ?? []),
    maxTokens: Math.min(request.max_tokens ?? Infinity, request.max_completion_tokens ?? Infinity),
    choices: request.n ?? 1,
    echoed: {
      temperature: request.temperature ?? undefined,
      top_p: request.top_p ?? undefined,
      top_k: request.top_k ?? undefined,
      seed: request.seed ?? undefined,
      frequency_penalty: request.frequency_penalty ?? undefined,
      presence_penalty: request.presence_penalty ?? undefined,
      logit_bias: request.logit_bias ?? undefined,
      user: request.user ?? request.safety_identifier ?? undefined,
      metadata: request.metadata ?? undefined,
      verbosity: request.verbosity ?? undefined,
      service_tier: request.service_tier ?? undefined,
    },
  };
}

function readTurns(messages: readonly Message[]): Turn[] {
  const toolOfCall = new Map(
    messages.flatMap(({ tool_calls: calls }) => (calls ?? []).map(({ id, function: called }) => [id, called?.name])),
  );
  return messages.map((each) => {
    const tool = toolOfCall.get(each.tool_call_id ?? '');
    const media = typeof each.content === 'string' ? [] : (each.content ?? []).flatMap(readMedia);
    const calls = (each.tool_calls ?? []).flatMap(({ function: called }) => (called ? [called.name] : []));
    return {
      role: readRole(each.role),
      text: readText(each.content),
      ...(media.length > 0 && { media }),
      ...(calls.length > 0 && { calls }),
      ...(tool !== undefined && { tool }),
      ...(each.reasoning_content && { thoughts: [each.reasoning_content] }),
    };
  });
}

function readRole(role: Message['role']): Turn['role'] {
  if (role === 'developer') return 'system';
  return role === 'function' ? 'tool' : role;
}

function readText(content: Message['content']): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((each) => each.text ?? '').join('');
}

function readMedia({ image_url: image, input_audio: audio, file }: z.infer<typeof part>): Media[] {
  if (image) return [mediaOfUrl(image.url)];
  if (audio) return [{ mediaType: `audio/${audio.format}`, bytes: base64Length(audio.data) }];
  if (file) return [mediaOfUrl(file.file_data ?? `file:${file.file_id ?? ''}`)];
  return [];
}

function readToolChoice(choice: ChatRequest['tool_choice']): ToolChoice {
  if (typeof choice !== 'object' || !choice) return { mode: choice ?? 'auto' };
  if (choice.type === 'function') return { mode: 'required', names: [choice.function.name] };
  const { mode, tools } = choice.allowed_tools;
  return { mode, names: tools.flatMap(({ function: allowed }) => (allowed ? [allowed.name] : [])) };
}

function readSchema(format: ChatRequest['response_format']): unknown {
  if (format?.type === 'json_schema') return format.json_schema?.schema ?? {};
  return format?.type === 'json_object' ? { type: 'object', properties: { answer: { type: 'string' } } } : undefined;
}
