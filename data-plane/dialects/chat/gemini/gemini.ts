import type { ChatDialect, ChatFeature } from '../chat.js';
import { writeError } from './errors.js';
import { readAnswer } from './read-answer.js';
import { readRequest } from './read-request.js';
import { createStreamReader } from './read-stream.js';
import { createUsageReader, readUsage, USAGE_MARK } from './usage.js';
import { writeAnswer } from './write-answer.js';
import { writeRequest } from './write-request.js';
import { createStreamWriter } from './write-stream.js';

/** `parallelToolCalls` and `verbosity` have no word there, so none of its callers can have said them. */
const FIELD_NAMES: Readonly<Record<ChatFeature, string>> = {
  topK: 'generationConfig.topK',
  frequencyPenalty: 'generationConfig.frequencyPenalty',
  presencePenalty: 'generationConfig.presencePenalty',
  seed: 'generationConfig.seed',
  stop: 'generationConfig.stopSequences',
  responseFormat: 'generationConfig.responseMimeType',
  reasoning: 'generationConfig.thinkingConfig',
  answerCount: 'generationConfig.candidateCount',
  logprobs: 'generationConfig.responseLogprobs',
  verbosity: 'generationConfig',
  serviceTier: 'serviceTier',
  parallelToolCalls: 'toolConfig.functionCallingConfig',
  toolChoice: 'toolConfig.functionCallingConfig.mode',
  media: 'contents.parts.inlineData',
  'media.detail': 'generationConfig.mediaResolution',
  'media.url': 'contents.parts.fileData',
  'toolResult.media': 'contents.parts.functionResponse.parts',
  'tools.strict': 'toolConfig.functionCallingConfig.mode',
  temperature: 'generationConfig.temperature',
  topP: 'generationConfig.topP',
};

/** Google's Gemini API, `generateContent` and `streamGenerateContent`. https://ai.google.dev/api/generate-content */
export const geminiChat: ChatDialect = {
  dialect: 'gemini',
  readRequest,
  fieldNames: FIELD_NAMES,
  writeRequest,
  readAnswer,
  writeAnswer,
  createStreamReader,
  readUsage,
  createUsageReader,
  usageMark: USAGE_MARK,
  requestPath({ upstreamModel, streamed }) {
    const model = encodeURIComponent(upstreamModel.replace(/^models\//, ''));
    return `/models/${model}:${streamed ? 'streamGenerateContent?alt=sse' : 'generateContent'}`;
  },
  requestHeaders: {},
  createStreamWriter,
  writeError,
};
