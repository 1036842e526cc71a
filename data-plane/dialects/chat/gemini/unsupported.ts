import type { ChatFeature, ChatRequest, MediaPart, ToolResultPart } from '../chat.js';
import { canStopThinking, isGemini3 } from './generations.js';

/** https://ai.google.dev/api/generate-content#generationconfig */
export const MAX_STOP_SEQUENCES = 5;

/** A 32-bit integer there. */
export function isSeed(seed: number): boolean {
  return Number.isInteger(seed) && seed >= -0x8000_0000 && seed <= 0x7fff_ffff;
}

type Test = (request: ChatRequest, upstreamModel: string) => boolean;

/**
 * When a request says what Gemini cannot be told. What is not here it can express, or it holds there anyway: functions keep
 * to their schema wherever a call is forced or `VALIDATED`, a medium verbosity is everybody's default, and prompt caching
 * needs no marks.
 */
const TESTS: Readonly<Partial<Record<ChatFeature, Test>>> = {
  stop: ({ stop }) => (stop?.length ?? 0) > MAX_STOP_SEQUENCES,
  seed: ({ seed }) => seed !== undefined && !isSeed(seed),
  responseFormat: (request, model) => !canFormatAnswer(request, model),
  reasoning: ({ reasoning }, model) => reasoning?.effort === 'none' && !canStopThinking(model),
  verbosity: ({ verbosity }) => verbosity === 'low' || verbosity === 'high',
  serviceTier: ({ serviceTier }) => serviceTier !== undefined && writeServiceTier(serviceTier) === undefined,
  parallelToolCalls: ({ parallelToolCalls, tools }) => parallelToolCalls === false && tools.length > 0,
  media: (request) => findMedia(request).some((part) => part.source.kind === 'base64' && part.mediaType === undefined),
  'media.url': (request) =>
    findMedia(request).some((part) => part.source.kind === 'url' && !isFetchable(part.source.url)),
  'toolResult.media': (request, model) =>
    findResults(request).some((result) =>
      result.content.some((part) => part.kind === 'media' && !isResultMedia(part, model)),
    ),
};

export function listUnsupported(request: ChatRequest, upstreamModel: string): ChatFeature[] {
  const tests = Object.entries(TESTS) as [ChatFeature, Test][];
  return tests.filter(([, isUnsupported]) => isUnsupported(request, upstreamModel)).map(([feature]) => feature);
}

/** Older models refuse functions beside an answer in JSON. https://ai.google.dev/gemini-api/docs/structured-output */
export function canFormatAnswer(request: ChatRequest, upstreamModel: string): boolean {
  return request.responseFormat === undefined || request.tools.length === 0 || isGemini3(upstreamModel);
}

/** Its word for a tier in OpenAI's words; `auto` is said by saying nothing. */
export function writeServiceTier(tier: string): { readonly serviceTier?: string } | undefined {
  switch (tier) {
    case 'auto':
      return {};
    case 'default':
    case 'standard':
    case 'standard_only':
      return { serviceTier: 'standard' };
    case 'flex':
    case 'priority':
      return { serviceTier: tier };
    default:
      return undefined;
  }
}

/** Google fetches public addresses, and files of its own storage. https://ai.google.dev/gemini-api/docs/file-input-methods */
export function isFetchable(url: string): boolean {
  return /^(?:https?|gs):\/\//i.test(url);
}

/** https://ai.google.dev/gemini-api/docs/function-calling#multimodal */
export function isResultMedia(part: MediaPart, upstreamModel: string): boolean {
  return isGemini3(upstreamModel) && part.source.kind === 'base64' && part.mediaType !== undefined;
}

function findMedia(request: ChatRequest): MediaPart[] {
  return request.messages.flatMap((message) =>
    message.role === 'user' ? message.content.filter((part) => part.kind === 'media') : [],
  );
}

function findResults(request: ChatRequest): ToolResultPart[] {
  return request.messages.flatMap((message) =>
    message.role === 'user' ? message.content.filter((part) => part.kind === 'tool-result') : [],
  );
}
