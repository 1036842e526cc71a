import type {
  AssistantPart,
  ChatMessage,
  ChatRequest,
  ChatTool,
  Json,
  ReasoningWish,
  ResponseFormat,
  ToolChoice,
  UnreadableRequest,
  UserMessage,
} from '../chat.js';
import { createRefusals, defined, readFields, type Fields } from './fields.js';
import { isEmptyList, readCacheMark, readMessages, readTextContent } from './read-content.js';

/**
 * A request to create a message, read for another dialect: https://platform.claude.com/docs/en/api/messages
 * Where the answer is not told apart from the default, a field is ignored; any other that has no neutral place is left out, and named.
 */
export function readAnthropicRequest(body: Json): ChatRequest | UnreadableRequest {
  const refusals = createRefusals();
  const request = readFields({ value: body, path: '', refusals }, readTopLevel);
  const unreadable = refusals.first();
  if (unreadable !== undefined) return { unreadable };
  if (request === undefined) return { unreadable: { field: '', message: 'The body has to be an object.' } };
  return refusals.leftOut.length === 0 ? request : { ...request, inexpressible: refusals.leftOut };
}

function readTopLevel(fields: Fields): ChatRequest {
  const model = fields.required('model');
  const list = fields.list('messages');
  if (list === undefined) fields.refusals.refuse('messages', 'A list of messages is needed here.');
  const conversation = readMessages(list ?? [], fields.refusals);
  const system = [...readTextContent(fields, 'system'), ...conversation.system];
  const tools = readTools(fields);
  leaveOutWhatOnlyTheVendorHas(fields);
  return {
    model,
    streamed: fields.boolean('stream') ?? false,
    system,
    messages: markLastPart(conversation.messages, readCacheMark(fields)),
    tools,
    ...readToolChoice(fields),
    ...defined({
      maxOutputTokens: readMaxTokens(fields),
      temperature: fields.number('temperature'),
      topP: fields.number('top_p'),
      topK: fields.number('top_k'),
      stop: readStop(fields),
      serviceTier: readServiceTier(fields),
      endUser: fields.object('metadata', (metadata) => metadata.string('user_id')),
    }),
    ...readOutputConfig(fields),
    wantsStreamUsage: true,
  };
}

function leaveOutWhatOnlyTheVendorHas(fields: Fields): void {
  fields.ignore('speed', (value) => value === 'standard', 'Only the standard speed can be translated.');
  fields.ignore('inference_geo', () => false, 'The region of another provider cannot be chosen by this field.');
  fields.ignore('container', () => false, 'Containers of the provider cannot be translated.');
  fields.ignore('mcp_servers', isEmptyList, 'Servers that the provider calls cannot be translated.');
}

function readMaxTokens(fields: Fields): number | undefined {
  const count = fields.number('max_tokens');
  if (count !== undefined && count >= 1 && Number.isInteger(count)) return count;
  fields.refusals.refuse('max_tokens', 'The most tokens to answer with are needed here: a whole number above zero.');
  return undefined;
}

function readStop(fields: Fields): readonly string[] | undefined {
  const list = fields.list('stop_sequences');
  if (list === undefined) return undefined;
  if (list.every((item) => typeof item === 'string')) return list;
  fields.refusals.refuse('stop_sequences', 'A list of strings is needed here.');
  return undefined;
}

/** In OpenAI's words, which say the same: `default` is no priority capacity, even where there is some. */
function readServiceTier(fields: Fields): string | undefined {
  const tier = fields.string('service_tier');
  return tier === 'standard_only' ? 'default' : tier;
}

function readTools(fields: Fields): readonly ChatTool[] {
  const tools: ChatTool[] = [];
  for (const [index, value] of (fields.list('tools') ?? []).entries()) {
    const tool = readFields({ value, path: `tools.${index}`, refusals: fields.refusals }, readTool);
    if (tool !== undefined) tools.push(tool);
  }
  return tools;
}

/** @returns undefined for a tool that the vendor runs itself */
function readTool(fields: Fields): ChatTool | undefined {
  const type = fields.string('type') ?? 'custom';
  if (type !== 'custom') {
    fields.refusals.leaveOut(fields.at('type'), 'Tools of the provider cannot be translated.');
    return undefined;
  }
  const isDirect = (value: unknown): boolean => Array.isArray(value) && value.length === 1 && value[0] === 'direct';
  fields.ignore('allowed_callers', isDirect, 'Calls by a tool of the provider cannot be translated.');
  fields.ignore('defer_loading', (value) => value === false, 'A tool cannot be loaded later on.');
  fields.ignore('input_examples', isEmptyList, 'Examples cannot be translated; say them in the description.');
  // Only how finely a call's arguments are cut in a stream.
  fields.ignore('eager_input_streaming', () => true, '');
  return {
    name: fields.required('name'),
    ...defined({
      description: fields.string('description'),
      parameters: fields.any('input_schema'),
      strict: fields.boolean('strict'),
      ...readCacheMark(fields),
    }),
  };
}

function readToolChoice(fields: Fields): {
  readonly toolChoice?: ToolChoice;
  readonly parallelToolCalls?: boolean;
} {
  const read = fields.object('tool_choice', (choice) => {
    const isSingle = choice.boolean('disable_parallel_tool_use');
    const parallelToolCalls = isSingle === undefined ? undefined : !isSingle;
    return defined({ toolChoice: toolChoiceOf(choice), parallelToolCalls });
  });
  return read ?? {};
}

function toolChoiceOf(choice: Fields): ToolChoice | undefined {
  const type = choice.required('type');
  switch (type) {
    case 'auto':
    case 'none':
      return { kind: type };
    case 'any':
      return { kind: 'required' };
    case 'tool':
      return { kind: 'tool', name: choice.required('name') };
    default:
      choice.refusals.refuse(choice.at('type'), 'The type is one of auto, any, tool and none.');
      return undefined;
  }
}

/** https://platform.claude.com/docs/en/build-with-claude/structured-outputs, https://platform.claude.com/docs/en/build-with-claude/effort */
function readOutputConfig(fields: Fields): {
  readonly responseFormat?: ResponseFormat;
  readonly reasoning?: ReasoningWish;
} {
  const wish = fields.object('thinking', readThinking);
  const config = fields.object('output_config', (output) => {
    const effort = readEffort(output);
    if (wish?.effort === 'none' && effort !== undefined && effort !== 'high') {
      output.refusals.leaveOut(output.at('effort'), 'An effort without thinking cannot be translated.');
    }
    return { effort, responseFormat: output.object('format', readFormat) };
  });
  // Its name before it became a part of `output_config`.
  const responseFormat = fields.object('output_format', readFormat) ?? config?.responseFormat;
  const effort = wish?.effort ?? config?.effort;
  const reasoning = defined({ ...wish, effort });
  return {
    ...(responseFormat === undefined ? {} : { responseFormat }),
    ...(Object.keys(reasoning).length === 0 ? {} : { reasoning }),
  };
}

function readEffort(output: Fields): NonNullable<ReasoningWish['effort']> | undefined {
  const effort = output.string('effort');
  switch (effort) {
    case undefined:
    case 'low':
    case 'medium':
    case 'high':
    case 'xhigh':
    case 'max':
      return effort;
    default:
      output.refusals.refuse(output.at('effort'), 'The effort is one of low, medium, high, xhigh and max.');
      return undefined;
  }
}

/** The vendor gives a schema no name, but others ask for one. */
const SCHEMA_NAME = 'response';

function readFormat(format: Fields): ResponseFormat {
  format.expect('type', (value) => value === 'json_schema', 'The type has to be json_schema.');
  return { kind: 'json-schema', name: SCHEMA_NAME, schema: format.any('schema') ?? {}, strict: true };
}

/** https://platform.claude.com/docs/en/build-with-claude/thinking#configuring-thinking */
function readThinking(thinking: Fields): ReasoningWish | undefined {
  const type = thinking.required('type');
  const display = thinking.string('display');
  const isVisible = display === undefined ? undefined : display !== 'omitted';
  switch (type) {
    case 'disabled':
      return { effort: 'none' };
    case 'enabled': {
      const budgetTokens = thinking.number('budget_tokens');
      if (budgetTokens === undefined)
        thinking.refusals.refuse(thinking.at('budget_tokens'), 'A number is needed here.');
      return defined({ budgetTokens, isVisible });
    }
    case 'adaptive':
      return defined({ isAdaptive: true, isVisible });
    case 'between_tools':
      thinking.refusals.leaveOut(thinking.at('type'), 'Thinking between calls alone cannot be translated.');
      return undefined;
    default:
      thinking.refusals.refuse(thinking.at('type'), 'The type has to be enabled, adaptive or disabled.');
      return undefined;
  }
}

/** A mark at the top of the request stands behind the last block that can bear one. */
function markLastPart(
  messages: readonly ChatMessage[],
  mark: ReturnType<typeof readCacheMark>,
): readonly ChatMessage[] {
  const last = messages.at(-1);
  if (mark.cache === undefined || last === undefined) return messages;
  if (last.role === 'user') {
    const content = markLast<UserMessage['content'][number]>(last.content, () => true, mark);
    return [...messages.slice(0, -1), { role: last.role, content }];
  }
  const canBear = ({ kind }: AssistantPart): boolean => kind === 'text' || kind === 'tool-call';
  return [...messages.slice(0, -1), { role: last.role, content: markLast(last.content, canBear, mark) }];
}

function markLast<Part extends object>(
  parts: readonly Part[],
  canBear: (part: Part) => boolean,
  mark: ReturnType<typeof readCacheMark>,
): Part[] {
  const index = parts.findLastIndex(canBear);
  return parts.map((part, at) => (at === index ? { ...mark, ...part } : part));
}
