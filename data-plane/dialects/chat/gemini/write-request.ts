import type { ChatRequest, ChatTool, Json, ReasoningWish, WrittenRequest } from '../chat.js';
import { isObject } from '../json.js';
import { canStopThinking, isGemini3 } from './generations.js';
import { canFormatAnswer, isSeed, listUnsupported, MAX_STOP_SEQUENCES, writeServiceTier } from './unsupported.js';
import { findSharedDetail, writeConversation, writeResolution } from './write-contents.js';

/** The body of a `GenerateContentRequest`; model and streaming are said in the path. */
export function writeRequest(request: ChatRequest, upstreamModel: string): WrittenRequest {
  const sharedDetail = findSharedDetail(request.messages);
  const mediaResolution = writeResolution(sharedDetail);
  const generationConfig = {
    ...writeSampling(request),
    ...(canFormatAnswer(request, upstreamModel) && writeResponseFormat(request.responseFormat)),
    ...writeThinking(request.reasoning, upstreamModel),
    ...(mediaResolution !== undefined && { mediaResolution }),
  };
  return {
    body: {
      ...writeConversation(request, upstreamModel, sharedDetail),
      ...writeTools(request.tools),
      ...writeToolConfig(request),
      ...(Object.keys(generationConfig).length > 0 && { generationConfig }),
      ...(request.serviceTier !== undefined && writeServiceTier(request.serviceTier)),
    },
    unsupported: listUnsupported(request, upstreamModel),
  };
}

function writeSampling(request: ChatRequest): Record<string, unknown> {
  const { logprobs, seed, stop } = request;
  const sampling = {
    candidateCount: request.answerCount,
    stopSequences: stop?.slice(0, MAX_STOP_SEQUENCES),
    maxOutputTokens: request.maxOutputTokens,
    temperature: request.temperature,
    topP: request.topP,
    topK: request.topK,
    seed: seed !== undefined && isSeed(seed) ? seed : undefined,
    presencePenalty: request.presencePenalty,
    frequencyPenalty: request.frequencyPenalty,
    ...(logprobs !== undefined && { responseLogprobs: true, logprobs: logprobs.top || undefined }),
  };
  return Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined));
}

/** A schema has no name here, and is always kept to; its description goes into it. */
function writeResponseFormat(format: ChatRequest['responseFormat']): Record<string, unknown> {
  if (format === undefined) return {};
  if (format.kind === 'json') return { responseMimeType: 'application/json' };
  const { schema, description } = format;
  const isUndescribed = description !== undefined && isObject(schema) && !('description' in schema);
  return {
    responseMimeType: 'application/json',
    responseJsonSchema: isUndescribed ? { ...schema, description } : schema,
  };
}

/** Google's own table for OpenAI's words; what is above `high` is the most there is. https://ai.google.dev/gemini-api/docs/openai#thinking */
const BUDGETS = { none: 0, minimal: 1024, low: 1024, medium: 8192, high: 24576, xhigh: 24576, max: 24576 } as const;
const LEVELS = { minimal: 'MINIMAL', low: 'LOW', medium: 'MEDIUM', high: 'HIGH', xhigh: 'HIGH', max: 'HIGH' } as const;

/** A number says it most exactly, then a word; level and budget together are refused. */
function writeThinking(wish: ReasoningWish | undefined, upstreamModel: string): { readonly thinkingConfig?: Json } {
  if (wish === undefined) return {};
  const thinkingConfig = {
    ...writeAmount(wish, upstreamModel),
    ...(wish.isVisible !== undefined && { includeThoughts: wish.isVisible }),
  };
  return Object.keys(thinkingConfig).length > 0 ? { thinkingConfig } : {};
}

function writeAmount(wish: ReasoningWish, upstreamModel: string): Record<string, unknown> {
  const { effort, budgetTokens } = wish;
  if (budgetTokens !== undefined) return { thinkingBudget: budgetTokens };
  if (effort === 'none') return canStopThinking(upstreamModel) ? { thinkingBudget: BUDGETS.none } : {};
  if (effort !== undefined && !isGemini3(upstreamModel)) return { thinkingBudget: BUDGETS[effort] };
  // The larger models know no level below LOW.
  if (effort === 'minimal' && upstreamModel.includes('pro')) return { thinkingLevel: LEVELS.low };
  if (effort !== undefined) return { thinkingLevel: LEVELS[effort] };
  return wish.isAdaptive === true ? { thinkingBudget: -1 } : {};
}

function writeTools(tools: readonly ChatTool[]): { readonly tools?: Json } {
  if (tools.length === 0) return {};
  const functionDeclarations = tools.map(({ name, description, parameters }) => ({
    name,
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parametersJsonSchema: parameters }),
  }));
  return { tools: [{ functionDeclarations }] };
}

/** Rules for no functions at all are refused there, so those that ask for nothing are left out. */
function writeToolConfig({ tools, toolChoice }: ChatRequest): { readonly toolConfig?: Json } {
  const kind = toolChoice?.kind ?? 'auto';
  const isStrict = tools.some((tool) => tool.strict === true);
  if (kind === 'auto' && !isStrict && (toolChoice === undefined || tools.length === 0)) return {};
  if (kind === 'none' && tools.length === 0) return {};
  const mode = { auto: isStrict ? 'VALIDATED' : 'AUTO', none: 'NONE', required: 'ANY', tool: 'ANY' }[kind];
  const allowed = toolChoice?.kind === 'tool' ? { allowedFunctionNames: [toolChoice.name] } : {};
  return { toolConfig: { functionCallingConfig: { mode, ...allowed } } };
}
