import type {
  ChatFeature,
  ChatRequest,
  ChatTool,
  ReasoningWish,
  ResponseFormat,
  ToolChoice,
  WrittenRequest,
} from '../chat.js';
import { limitField } from './limit-field.js';
import { writeMessages } from './write-messages.js';

/** https://platform.openai.com/docs/api-reference/chat/create, `stop` */
const MAX_STOP_SEQUENCES = 4;

/**
 * Tokens up to which a budget for reasoning is the effort; a larger one is `high`. They are the budgets that Google gives
 * to the same words: https://ai.google.dev/gemini-api/docs/openai
 */
const EFFORT_BUDGETS = { none: 0, low: 1024, medium: 8192 } as const;

export function writeRequest(request: ChatRequest, upstreamModel: string): WrittenRequest {
  const unsupported = new Set<ChatFeature>();
  if (request.topK !== undefined) unsupported.add('topK');
  const body = {
    model: upstreamModel,
    messages: writeMessages(request, unsupported),
    // Always: what a stream used must be known.
    ...(request.streamed ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...writeTools(request),
    ...writeLimit(request.maxOutputTokens, upstreamModel),
    ...writeStop(request.stop, unsupported),
    ...writeReasoningWish(request.reasoning),
    ...writeServiceTier(request.serviceTier, unsupported),
    temperature: request.temperature,
    top_p: request.topP,
    frequency_penalty: request.frequencyPenalty,
    presence_penalty: request.presencePenalty,
    seed: request.seed,
    response_format: request.responseFormat && writeResponseFormat(request.responseFormat),
    n: request.answerCount,
    logprobs: request.logprobs && true,
    top_logprobs: request.logprobs?.top === 0 ? undefined : request.logprobs?.top,
    verbosity: request.verbosity,
    user: request.endUser,
  };
  return { body: withoutUndefined(body), unsupported: [...unsupported] };
}

function withoutUndefined(body: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

function writeLimit(maxOutputTokens: number | undefined, upstreamModel: string): object {
  return maxOutputTokens === undefined ? {} : { [limitField(upstreamModel)]: maxOutputTokens };
}

function writeStop(stop: readonly string[] | undefined, unsupported: Set<ChatFeature>): object {
  if (stop === undefined || stop.length === 0) return {};
  if (stop.length > MAX_STOP_SEQUENCES) unsupported.add('stop');
  return { stop: stop.slice(0, MAX_STOP_SEQUENCES) };
}

/** The choice is OpenAI's own when the model may decide, and whether thoughts are shown is each provider's. */
function writeReasoningWish(wish: ReasoningWish | undefined): object {
  const effort = wish?.effort ?? (wish?.budgetTokens === undefined ? undefined : effortOf(wish.budgetTokens));
  return effort === undefined ? {} : { reasoning_effort: effort };
}

function effortOf(budgetTokens: number): string | undefined {
  // Gemini's -1 is the model's own choice.
  if (budgetTokens < 0) return undefined;
  if (budgetTokens <= EFFORT_BUDGETS.none) return 'none';
  if (budgetTokens <= EFFORT_BUDGETS.low) return 'low';
  return budgetTokens <= EFFORT_BUDGETS.medium ? 'medium' : 'high';
}

/** OpenAI's own words, and those that others have for the same: Anthropic's `standard_only`, Gemini's `standard`. */
const SERVICE_TIERS: ReadonlyMap<string, string> = new Map([
  ['auto', 'auto'],
  ['default', 'default'],
  ['standard', 'default'],
  ['standard_only', 'default'],
  ['flex', 'flex'],
  ['scale', 'scale'],
  ['priority', 'priority'],
  ['fast', 'fast'],
]);

function writeServiceTier(serviceTier: string | undefined, unsupported: Set<ChatFeature>): object {
  if (serviceTier === undefined) return {};
  const tier = SERVICE_TIERS.get(serviceTier);
  if (tier === undefined) unsupported.add('serviceTier');
  return tier === undefined ? {} : { service_tier: tier };
}

/** Without tools, OpenAI refuses to hear how they may be called; that none is to be called goes without saying then. */
function writeTools({ tools, toolChoice, parallelToolCalls }: ChatRequest): object {
  const hasTools = tools.length > 0;
  const saysChoice =
    toolChoice !== undefined && (hasTools || toolChoice.kind === 'required' || toolChoice.kind === 'tool');
  return {
    ...(hasTools ? { tools: tools.map(writeTool) } : {}),
    ...(saysChoice ? { tool_choice: writeToolChoice(toolChoice) } : {}),
    ...(hasTools && parallelToolCalls !== undefined ? { parallel_tool_calls: parallelToolCalls } : {}),
  };
}

function writeTool({ name, description, parameters, strict }: ChatTool): object {
  return { type: 'function', function: withoutUndefined({ name, description, parameters, strict }) };
}

function writeToolChoice(choice: ToolChoice): unknown {
  return choice.kind === 'tool' ? { type: 'function', function: { name: choice.name } } : choice.kind;
}

function writeResponseFormat(format: ResponseFormat): object {
  if (format.kind === 'json') return { type: 'json_object' };
  const { name, description, schema, strict } = format;
  return { type: 'json_schema', json_schema: withoutUndefined({ name, description, schema, strict }) };
}
