import { z } from 'zod';
import { base64Length, type ChatTask, type Media, type ReasoningWish, type ToolChoice, type Turn } from './task.js';

const source = z.object({
  type: z.string(),
  media_type: z.string().optional(),
  data: z.string().optional(),
  url: z.string().optional(),
});
const simpleBlock = z.object({ type: z.string(), text: z.string().optional(), source: source.optional() });
const block = simpleBlock.extend({
  id: z.string().optional(),
  name: z.string().optional(),
  input: z.unknown().optional(),
  tool_use_id: z.string().optional(),
  content: z.union([z.string(), z.array(simpleBlock)]).optional(),
  is_error: z.boolean().optional(),
  thinking: z.string().optional(),
  signature: z.string().optional(),
});
const text = z.union([z.string(), z.array(z.object({ type: z.literal('text'), text: z.string() }))]);
const toolChoice = z.object({
  type: z.enum(['auto', 'any', 'tool', 'none']),
  name: z.string().optional(),
  disable_parallel_tool_use: z.boolean().optional(),
});

/** What a prompt is made of. */
const promptSchema = z.object({
  model: z.string().min(1),
  system: text.optional(),
  messages: z
    .array(z.object({ role: z.enum(['user', 'assistant', 'system']), content: z.union([z.string(), z.array(block)]) }))
    .min(1),
});

/** Those of a message request. https://docs.anthropic.com/en/api/messages */
export const messagesRequestSchema = promptSchema.extend({
  max_tokens: z.int().min(1),
  stream: z.boolean().optional(),
  temperature: z.number().min(0).max(1).optional(),
  top_p: z.number().optional(),
  top_k: z.int().optional(),
  stop_sequences: z.array(z.string()).optional(),
  service_tier: z.string().optional(),
  metadata: z.object({ user_id: z.string().nullish() }).optional(),
  tools: z
    .array(z.object({ name: z.string().min(1), input_schema: z.looseObject({ type: z.literal('object') }).optional() }))
    .optional(),
  tool_choice: toolChoice.optional(),
  thinking: z
    .object({
      type: z.enum(['enabled', 'disabled', 'adaptive', 'between_tools']),
      budget_tokens: z.int().min(1024).optional(),
      display: z.string().nullish(),
    })
    .optional(),
  output_config: z
    .object({
      effort: z.string().nullish(),
      format: z.object({ type: z.literal('json_schema'), schema: z.unknown().optional() }).nullish(),
    })
    .optional(),
});

const { tools, tool_choice, thinking, output_config } = messagesRequestSchema.shape;
/** Those of a token count request: the vendor refuses all others. https://docs.anthropic.com/en/api/messages-count-tokens */
export const countedRequestSchema = promptSchema
  .extend({ tools, tool_choice, thinking, output_config, cache_control: z.unknown().optional() })
  .strict();

export type MessagesRequest = z.infer<typeof messagesRequestSchema>;
type Block = z.infer<typeof block>;

/** What an Anthropic message request asks for. */
export function anthropicTask(request: MessagesRequest): ChatTask {
  const tools = (request.tools ?? []).map(({ name, input_schema: parameters }) => ({ name, parameters }));
  return {
    model: request.model,
    turns: anthropicTurns(request),
    tools,
    toolChoice: readToolChoice(request.tool_choice),
    parallelTools: request.tool_choice?.disable_parallel_tool_use !== true,
    schema: request.output_config?.format?.schema,
    reasoning: readReasoning(request),
    stop: request.stop_sequences ?? [],
    maxTokens: request.max_tokens,
    choices: 1,
    echoed: {
      temperature: request.temperature,
      top_p: request.top_p,
      top_k: request.top_k,
      user: request.metadata?.user_id ?? undefined,
      service_tier: request.service_tier,
    },
  };
}

/** A user message with results of tools is a turn of each tool, and one of the user where it holds anything else. */
export function anthropicTurns({ system, messages }: z.infer<typeof promptSchema>): Turn[] {
  const allBlocks = messages.flatMap(({ content }) => (typeof content === 'string' ? [] : content));
  const toolOfCall = new Map(allBlocks.flatMap(({ id, name }) => (id && name ? [[id, name] as const] : [])));
  const instructions = typeof system === 'string' ? system : (system ?? []).map((each) => each.text).join('\n');
  const first: Turn[] = instructions === '' ? [] : [{ role: 'system', text: instructions }];
  return messages.reduce<Turn[]>((turns, { role, content }) => {
    if (typeof content === 'string') return [...turns, { role, text: content }];
    const results = content.filter(({ type }) => type === 'tool_result');
    const others = content.filter(({ type }) => type !== 'tool_result');
    const own = others.length > 0 || results.length === 0 ? [readTurn(role, others)] : [];
    return [...turns, ...results.map((result) => readResult(result, toolOfCall)), ...own];
  }, first);
}

function readTurn(role: Turn['role'], blocks: readonly Block[]): Turn {
  const media = blocks.flatMap(readMedia);
  const calls = blocks.flatMap(({ type, name }) => (type === 'tool_use' && name ? [name] : []));
  const thoughts = blocks.flatMap(({ type, thinking }) => (type === 'thinking' && thinking ? [thinking] : []));
  const signatures = blocks.flatMap(({ type, signature }) => (type === 'thinking' && signature ? [signature] : []));
  return {
    role,
    text: blocks.map((each) => (each.type === 'text' ? (each.text ?? '') : '')).join(''),
    ...(media.length > 0 && { media }),
    ...(calls.length > 0 && { calls }),
    ...(thoughts.length > 0 && { thoughts }),
    ...(signatures.length > 0 && { signatures }),
  };
}

function readResult(block: Block, toolOfCall: ReadonlyMap<string, string>): Turn {
  const { tool_use_id: id = '', content = '', is_error: failed } = block;
  const tool = toolOfCall.get(id);
  const parts = typeof content === 'string' ? [] : content;
  const media = parts.flatMap(readMedia);
  return {
    role: 'tool',
    text: typeof content === 'string' ? content : parts.map((each) => each.text ?? '').join(''),
    ...(tool !== undefined && { tool }),
    ...(failed === true && { failed }),
    ...(media.length > 0 && { media }),
  };
}

function readMedia({ source: from }: Pick<Block, 'source'>): Media[] {
  if (!from) return [];
  if (from.url !== undefined) return [{ url: from.url }];
  const data = from.data ?? '';
  const bytes = from.type === 'text' ? Buffer.byteLength(data) : base64Length(data);
  return [{ mediaType: from.media_type ?? 'application/octet-stream', bytes }];
}

function readToolChoice(choice: MessagesRequest['tool_choice']): ToolChoice {
  switch (choice?.type) {
    case 'any':
      return { mode: 'required' };
    case 'tool':
      return { mode: 'required', names: [choice.name ?? ''] };
    case 'none':
      return { mode: 'none' };
    case 'auto':
    case undefined:
      return { mode: 'auto' };
  }
}

/** Thinking that only an effort was given for is adaptive; an effort without thinking shapes the answer, and is echoed only. */
function readReasoning({ thinking, output_config: output }: MessagesRequest): ReasoningWish | undefined {
  if (!thinking || thinking.type === 'disabled') return undefined;
  const effort = thinking.budget_tokens ?? output?.effort ?? 'adaptive';
  return { effort, shown: thinking.display !== 'omitted' };
}
