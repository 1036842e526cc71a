import type { ChatDialect } from '../chat.js';
import { writeError } from './errors.js';
import { readAnswer } from './read-answer.js';
import { readRequest } from './read-request.js';
import { createStreamReader } from './read-stream.js';
import { createUsageReader, readUsage, USAGE_MARK } from './usage.js';
import { writeAnswer } from './write-answer.js';
import { writeRequest } from './write-request.js';
import { createStreamWriter } from './write-stream.js';

/** Chat completions of OpenAI, and of the many who took over its dialect. */
export const openAiChat: ChatDialect = {
  dialect: 'openai',
  readRequest,
  fieldNames: {
    topK: 'top_k',
    frequencyPenalty: 'frequency_penalty',
    presencePenalty: 'presence_penalty',
    seed: 'seed',
    stop: 'stop',
    responseFormat: 'response_format',
    reasoning: 'reasoning_effort',
    answerCount: 'n',
    logprobs: 'logprobs',
    verbosity: 'verbosity',
    serviceTier: 'service_tier',
    parallelToolCalls: 'parallel_tool_calls',
    toolChoice: 'tool_choice',
    media: 'messages[].content[]',
    'media.url': 'messages[].content[].image_url.url',
    'toolResult.media': 'messages[].content[] of role tool',
    'tools.strict': 'tools[].function.strict',
    temperature: 'temperature',
    topP: 'top_p',
    'media.detail': 'messages[].content[].image_url.detail',
  },
  writeRequest,
  readAnswer,
  writeAnswer,
  createStreamReader,
  readUsage,
  createUsageReader,
  usageMark: USAGE_MARK,
  requestPath: () => '/chat/completions',
  requestHeaders: {},
  createStreamWriter,
  writeError,
};
