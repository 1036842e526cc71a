import { z } from 'zod';
import { mediaOfUrl, type ChatTask, type Media, type ReasoningWish, type ToolChoice, type Turn } from './task.js';

const part = z.object({
  type: z.string(),
  text: z.string().optional(),
  refusal: z.string().optional(),
  image_url: z.string().nullish(),
  file_data: z.string().optional(),
  file_url: z.string().optional(),
});
const content = z.union([z.string(), z.array(part)]);
/** An item of a conversation, here and in the Realtime API. */
export const itemSchema = z.object({
  id: z.string().nullish(),
  type: z.string().default('message'),
  role: z.enum(['user', 'assistant', 'system', 'developer']).optional(),
  content: content.nullish(),
  call_id: z.string().optional(),
  name: z.string().optional(),
  arguments: z.string().optional(),
  output: content.optional(),
  encrypted_content: z.string().nullish(),
});

/** The fields of a response request that the simulator minds; others are accepted and ignored. */
export const responsesRequestSchema = z.object({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(itemSchema).min(1)]),
  instructions: z.string().nullish(),
  previous_response_id: z.string().nullish(),
  store: z.boolean().nullish(),
  background: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  user: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  service_tier: z.string().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  reasoning: z.object({ effort: z.string().nullish(), summary: z.string().nullish() }).nullish(),
  text: z
    .object({
      format: z.object({ type: z.string(), schema: z.unknown().optional() }).optional(),
      verbosity: z.string().nullish(),
    })
    .nullish(),
  tools: z
    .array(z.object({ type: z.string(), name: z.string().optional(), parameters: z.unknown().optional() }))
    .nullish(),
  tool_choice: z
    .union([z.enum(['none', 'auto', 'required']), z.object({ type: z.string(), name: z.string().optional() })])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
});

export type ResponsesRequest = z.infer<typeof responsesRequestSchema>;
export type Item = z.infer<typeof itemSchema>;

/** The input as items; a text is one user message. */
export function inputItems({ input }: Pick<ResponsesRequest, 'input'>): readonly Item[] {
  return typeof input === 'string' ? [{ type: 'message', role: 'user', content: input }] : input;
}

/** What a response request asks for. `earlier` are the items of the conversation before it. */
export function responsesTask(request: ResponsesRequest, earlier: readonly unknown[]): ChatTask {
  const items = [...z.array(itemSchema).parse(earlier), ...inputItems(request)];
  const tools = (request.tools ?? []).flatMap(({ type, name, parameters }) =>
    type === 'function' && name ? [{ name, parameters }] : [],
  );
  const { instructions } = request;
  const format = request.text?.format;
  return {
    model: request.model,
    turns: [...(instructions ? [{ role: 'system' as const, text: instructions }] : []), ...readTurns(items)],
    tools,
    toolChoice: readToolChoice(request.tool_choice),
    parallelTools: request.parallel_tool_calls !== false,
    schema: format?.type === 'json_schema' ? (format.schema ?? {}) : undefined,
    reasoning: readReasoning(request.reasoning),
    stop: [],
    maxTokens: request.max_output_tokens ?? Infinity,
    choices: 1,
    echoed: {
      temperature: request.temperature ?? undefined,
      top_p: request.top_p ?? undefined,
      user: request.user ?? request.safety_identifier ?? undefined,
      metadata: request.metadata ?? undefined,
      verbosity: request.text?.verbosity ?? undefined,
      service_tier: request.service_tier ?? undefined,
    },
  };
}

function readTurns(items: readonly Item[]): Turn[] {
  const toolOfCall = new Map(items.map(({ call_id: id, name }) => [name === undefined ? undefined : id, name]));
  return items.map((each): Turn => {
    const tool = toolOfCall.get(each.call_id);
    switch (each.type) {
      case 'function_call':
        return { role: 'assistant', text: '', ...(each.name !== undefined && { calls: [each.name] }) };
      case 'function_call_output':
        return { role: 'tool', text: readText(each.output), ...(tool !== undefined && { tool }) };
      case 'reasoning': {
        const signature = each.encrypted_content;
        return { role: 'assistant', text: '', ...(signature && { signatures: [signature] }) };
      }
      default: {
        const media = typeof each.content === 'string' ? [] : (each.content ?? []).flatMap(readMedia);
        const role = each.role === 'developer' ? 'system' : (each.role ?? 'user');
        return { role, text: readText(each.content), ...(media.length > 0 && { media }) };
      }
    }
  });
}

function readText(value: Item['content']): string {
  if (typeof value === 'string') return value;
  return (value ?? []).map(({ text, refusal }) => text ?? refusal ?? '').join('');
}

function readMedia({ image_url: image, file_data: data, file_url: url }: z.infer<typeof part>): Media[] {
  const source = image ?? data ?? url;
  return source === undefined ? [] : [mediaOfUrl(source)];
}

function readToolChoice(choice: ResponsesRequest['tool_choice']): ToolChoice {
  if (typeof choice !== 'object' || !choice) return { mode: choice ?? 'auto' };
  return { mode: 'required', ...(choice.name !== undefined && { names: [choice.name] }) };
}

/** What was thought is shown as a summary, where one was asked for. */
function readReasoning(wish: ResponsesRequest['reasoning']): ReasoningWish | undefined {
  if (!wish?.effort || wish.effort === 'none') return undefined;
  return { effort: wish.effort, shown: typeof wish.summary === 'string' };
}
