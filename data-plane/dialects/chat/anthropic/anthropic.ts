import type { ChatDialect } from '../chat.js';
import { isObject } from '../json.js';
import { writeAnthropicError } from './errors.js';
import { readAnthropicAnswer } from './read-answer.js';
import { readAnthropicRequest } from './read-request.js';
import { createAnthropicStreamReader } from './read-stream.js';
import { convertAnthropicUsage, createAnthropicUsageReader } from './usage.js';
import { writeAnthropicAnswer } from './write-answer.js';
import { writeAnthropicRequest } from './write-request.js';
import { createAnthropicStreamWriter } from './write-stream.js';

/** The Messages API: https://platform.claude.com/docs/en/api/messages */
export const anthropicChat: ChatDialect = {
  dialect: 'anthropic',
  readRequest: (body) => readAnthropicRequest(body),
  fieldNames: {
    topK: 'top_k',
    frequencyPenalty: 'frequency_penalty',
    presencePenalty: 'presence_penalty',
    seed: 'seed',
    stop: 'stop_sequences',
    responseFormat: 'output_config.format',
    reasoning: 'thinking',
    answerCount: 'n',
    logprobs: 'logprobs',
    verbosity: 'verbosity',
    serviceTier: 'service_tier',
    parallelToolCalls: 'tool_choice.disable_parallel_tool_use',
    toolChoice: 'tool_choice',
    media: 'messages.content.source',
    'media.url': 'messages.content.source.url',
    'media.detail': 'messages.content.transformations',
    'toolResult.media': 'messages.content.content.source',
    'tools.strict': 'tools.strict',
    temperature: 'temperature',
    topP: 'top_p',
  },
  writeRequest: writeAnthropicRequest,
  readAnswer: readAnthropicAnswer,
  writeAnswer: writeAnthropicAnswer,
  createStreamReader: createAnthropicStreamReader,
  readUsage: (body) => (isObject(body) ? convertAnthropicUsage(body['usage']) : undefined),
  createUsageReader: createAnthropicUsageReader,
  usageMark: '"usage"',
  requestPath: () => '/messages',
  /**
   * The version before the newest, for the newest takes no temperature, top_p or top_k from any model, and every provider
   * serves this one. https://platform.claude.com/docs/en/api/versioning
   */
  requestHeaders: { 'anthropic-version': '2023-06-01' },
  createStreamWriter: createAnthropicStreamWriter,
  writeError: writeAnthropicError,
};
