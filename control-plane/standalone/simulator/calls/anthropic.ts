import {
  anthropicTask,
  anthropicTurns,
  countedRequestSchema,
  messagesRequestSchema,
} from '../chat/anthropic-request.js';
import { messageEvents, messageObject } from '../chat/anthropic-wire.js';
import { answerChat } from '../chat/answer.js';
import { lastUserText } from '../chat/task.js';
import { decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { invalidRequest, modelNotFound, streamFailure } from '../errors.js';
import { findModel } from '../models.js';
import { jsonPayload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import { promptTokens } from '../tokens.js';

/** `POST /v1/messages` */
export function decideMessages(call: ProviderCall): Decision {
  if (!call.headers['anthropic-version']) return refuse(call, versionMissing());
  const request = parseRequest(call, messagesRequestSchema);
  if ('status' in request) return refuse(call, request);
  const model = findModel(request.value.model, 'chat');
  if (!model) return refuse(call, modelNotFound(request.value.model));
  const { thinking, max_tokens: maximum } = request.value;
  if (thinking?.type === 'enabled' && (thinking.budget_tokens ?? 0) >= maximum) {
    return refuse(call, invalidRequest('`max_tokens` must be greater than `thinking.budget_tokens`.', 'max_tokens'));
  }
  const task = anthropicTask(request.value);
  const found = gatherFaults(call, lastUserText(task), model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const answer = answerChat(task, faults);
  const identity = { id: `msg_sim${call.callNumber}`, model: model.id };
  return decide(call, {
    model,
    faults,
    tokens: answer.tokens,
    answer: () => {
      if (!request.value.stream) return jsonPayload(messageObject(identity, answer, faults), faults.usage !== 'none');
      return { events: messageEvents(identity, answer, faults), failure: streamFailure('anthropic') };
    },
  });
}

/** `POST /v1/messages/count_tokens`. It costs nothing. */
export function decideCountTokens(call: ProviderCall): Decision {
  if (!call.headers['anthropic-version']) return refuse(call, versionMissing());
  const request = parseRequest(call, countedRequestSchema);
  if ('status' in request) return refuse(call, request);
  const model = findModel(request.value.model, 'chat');
  if (!model) return refuse(call, modelNotFound(request.value.model));
  const turns = anthropicTurns(request.value);
  const faults = gatherFaults(call, lastUserText({ turns }), model);
  if ('status' in faults) return refuse(call, faults);
  const count = promptTokens(turns.map(({ text }) => text));
  return decide(call, { model, faults: faults.value, answer: () => jsonPayload({ input_tokens: count }) });
}

function versionMissing() {
  return invalidRequest('anthropic-version: header is required');
}
