import { answerChat } from '../chat/answer.js';
import { chatRequestSchema, openAiTask } from '../chat/openai-request.js';
import { completionChunks, completionObject } from '../chat/openai-wire.js';
import { lastUserText } from '../chat/task.js';
import { decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { invalidRequest, modelNotFound, streamFailure } from '../errors.js';
import { findModel } from '../models.js';
import { jsonPayload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';

/** `POST /v1/chat/completions` */
export function decideChat(call: ProviderCall): Decision {
  const request = parseRequest(call, chatRequestSchema);
  if ('status' in request) return refuse(call, request);
  const chat = request.value;
  const model = findModel(chat.model, 'chat');
  if (!model) return refuse(call, modelNotFound(chat.model));
  if (chat.stream_options && !chat.stream) {
    const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
    return refuse(call, invalidRequest(message, 'stream_options'));
  }
  const task = openAiTask(chat);
  const found = gatherFaults(call, lastUserText(task), model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const answer = answerChat(task, faults);
  const identity = {
    id: `chatcmpl-sim${call.callNumber}`,
    created: Math.floor(call.nowMs / 1000),
    model: model.id,
    serviceTier: chat.service_tier && chat.service_tier !== 'auto' ? chat.service_tier : 'default',
  };
  return decide(call, {
    model,
    faults,
    tokens: answer.tokens,
    answer: () => {
      if (!chat.stream) return jsonPayload(completionObject(identity, answer, faults), faults.usage !== 'none');
      const events = completionChunks(identity, answer, faults, chat.stream_options?.include_usage === true);
      return { events, terminator: '[DONE]', failure: streamFailure('openai') };
    },
  });
}
