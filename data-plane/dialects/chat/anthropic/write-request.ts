import type { ChatFeature, ChatRequest, ChatTool, Json, WrittenRequest } from '../chat.js';
import { isObject } from '../json.js';
import { defined } from './fields.js';
import { traitsOfModel, type ModelTraits } from './model-traits.js';
import { writeThinking } from './thinking.js';
import { writeCacheMark, writeMessages, writeTexts } from './write-content.js';

/**
 * The vendor needs a limit, and other dialects' callers may leave it out. So many tokens any of its models can answer with;
 * what is kept for thinking comes on top.
 */
export const DEFAULT_MAX_TOKENS = 8192;

/** A request to create a message, from another dialect's: https://platform.claude.com/docs/en/api/messages */
export function writeAnthropicRequest(request: ChatRequest, upstreamModel: string): WrittenRequest {
  const unsupported = new Set<ChatFeature>();
  const traits = traitsOfModel(upstreamModel);
  const { thinking, effort, reserveTokens } = writeThinking(request, traits, unsupported);
  const isThinking = thinking !== undefined && thinking['type'] !== 'disabled';
  const body = defined({
    model: upstreamModel,
    max_tokens: request.maxOutputTokens ?? DEFAULT_MAX_TOKENS + reserveTokens,
    system: writeSystem(request),
    messages: writeMessages(request.messages, unsupported),
    tools: request.tools.length === 0 ? undefined : request.tools.map(writeTool),
    tool_choice: writeToolChoice(request, unsupported),
    ...writeSampling({ request, traits, isThinking, unsupported }),
    stop_sequences: writeStopSequences(request, unsupported),
    thinking,
    output_config: writeOutputConfig(request, effort, unsupported),
    service_tier: writeServiceTier(request, unsupported),
    metadata: request.endUser === undefined ? undefined : { user_id: request.endUser },
    stream: request.streamed ? true : undefined,
  });
  noteWhatIsMissing(request, unsupported);
  return { body, unsupported: [...unsupported] };
}

/** What the vendor has no field for; a value that asks for nothing is no use of it. */
function noteWhatIsMissing(request: ChatRequest, unsupported: Set<ChatFeature>): void {
  if ((request.frequencyPenalty ?? 0) !== 0) unsupported.add('frequencyPenalty');
  if ((request.presencePenalty ?? 0) !== 0) unsupported.add('presencePenalty');
  if (request.seed !== undefined) unsupported.add('seed');
  if ((request.answerCount ?? 1) !== 1) unsupported.add('answerCount');
  if (request.logprobs !== undefined) unsupported.add('logprobs');
  if ((request.verbosity ?? 'medium') !== 'medium') unsupported.add('verbosity');
}

function writeSystem({ system }: ChatRequest): Json {
  const blocks = writeTexts(system);
  const [first] = system;
  if (blocks.length === 0) return undefined;
  return system.length === 1 && first?.cache === undefined ? first?.text : blocks;
}

function writeTool({ name, description, parameters, strict, cache }: ChatTool): Json {
  return defined({ name, description, input_schema: writeParameters(parameters), strict, ...writeCacheMark(cache) });
}

/** The vendor wants the root to say that it is an object; where a caller says nothing, nothing is taken. */
function writeParameters(parameters: Json): Json {
  if (parameters === undefined) return { type: 'object', properties: {} };
  return isObject(parameters) && parameters['type'] === undefined ? { type: 'object', ...parameters } : parameters;
}

/** A choice without tools is an error to the vendor, and says nothing unless it forces one. */
function writeToolChoice(request: ChatRequest, unsupported: Set<ChatFeature>): Json {
  const { toolChoice, parallelToolCalls, tools } = request;
  if (tools.length === 0) {
    if (toolChoice?.kind === 'required' || toolChoice?.kind === 'tool') unsupported.add('toolChoice');
    return undefined;
  }
  if (toolChoice?.kind === 'none') return { type: 'none' };
  if (toolChoice === undefined && parallelToolCalls === undefined) return undefined;
  const parallel = parallelToolCalls === undefined ? {} : { disable_parallel_tool_use: !parallelToolCalls };
  if (toolChoice?.kind === 'tool') return { type: 'tool', name: toolChoice.name, ...parallel };
  return { type: toolChoice?.kind === 'required' ? 'any' : 'auto', ...parallel };
}

/**
 * Sampling, as far as the model takes it. Temperature and top_p of 1 are the vendor's defaults, and are left out where the
 * model takes nothing. While it thinks, temperature and top_k are not to be changed and top_p is to be at least 0.95:
 * https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
 */
function writeSampling(call: {
  readonly request: ChatRequest;
  readonly traits: ModelTraits;
  readonly isThinking: boolean;
  readonly unsupported: Set<ChatFeature>;
}): { readonly temperature?: number; readonly top_p?: number; readonly top_k?: number } {
  const { request, traits, isThinking, unsupported } = call;
  const { temperature = 1, topP = 1 } = request;
  const takesNone = traits.samplers === 'none';
  // Other dialects go up to 2, the vendor to 1.
  const takesTemperature = !takesNone && temperature <= 1 && !(isThinking && temperature !== 1);
  const isSecond = traits.samplers === 'one' && request.temperature !== undefined && takesTemperature;
  const takesTopP = !takesNone && !(isSecond && temperature !== 1) && !(isThinking && topP < 0.95);
  const takesTopK = !takesNone && !isThinking;
  if (!takesTemperature && temperature !== 1) unsupported.add('temperature');
  if (!takesTopP && topP !== 1) unsupported.add('topP');
  if (!takesTopK && request.topK !== undefined) unsupported.add('topK');
  // Of two where one is taken, the one that changes something.
  const yields = isSecond && request.topP !== undefined && takesTopP;
  return defined({
    temperature: takesTemperature && !yields ? request.temperature : undefined,
    top_p: takesTopP ? request.topP : undefined,
    top_k: takesTopK ? request.topK : undefined,
  });
}

/** Each must hold more than white space, says the vendor. */
function writeStopSequences({ stop }: ChatRequest, unsupported: Set<ChatFeature>): readonly string[] | undefined {
  const written = stop?.filter((sequence) => sequence.trim() !== '');
  if (written?.length !== stop?.length) unsupported.add('stop');
  return written?.length === 0 ? undefined : written;
}

function writeOutputConfig(request: ChatRequest, effort: string | undefined, unsupported: Set<ChatFeature>): Json {
  const format = writeFormat(request, unsupported);
  return effort === undefined && format === undefined ? undefined : defined({ effort, format });
}

/** The vendor has no JSON without a schema, holds every schema strictly, and lets the schema itself say what it is. */
function writeFormat({ responseFormat }: ChatRequest, unsupported: Set<ChatFeature>): Json {
  if (responseFormat === undefined) return undefined;
  if (responseFormat.kind === 'json') {
    unsupported.add('responseFormat');
    return undefined;
  }
  const { schema, description } = responseFormat;
  const isSilent = description !== undefined && isObject(schema) && schema['description'] === undefined;
  return { type: 'json_schema', schema: isSilent ? { ...schema, description } : schema };
}

/** https://platform.claude.com/docs/en/api/service-tiers */
function writeServiceTier({ serviceTier }: ChatRequest, unsupported: Set<ChatFeature>): string | undefined {
  switch (serviceTier) {
    case undefined:
    case 'auto':
      return serviceTier;
    case 'default':
    case 'standard':
      return 'standard_only';
    default:
      unsupported.add('serviceTier');
      return undefined;
  }
}
