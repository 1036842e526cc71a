import { answerChat } from '../chat/answer.js';
import { inputItems, responsesRequestSchema, responsesTask, type ResponsesRequest } from '../chat/responses-request.js';
import { responseEvents, responseObject, type ResponseFrame } from '../chat/responses-wire.js';
import { lastUserText } from '../chat/task.js';
import { decide, decidePlain, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { modelNotFound, notFound } from '../errors.js';
import { findModel } from '../models.js';
import { jsonPayload, type Payload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';

/** `POST /v1/responses`. The conversation before it counts as part of the prompt. */
export function decideResponse(call: ProviderCall): Decision {
  const parsed = parseRequest(call, responsesRequestSchema);
  if ('status' in parsed) return refuse(call, parsed);
  const request = parsed.value;
  const model = findModel(request.model, 'chat');
  if (!model) return refuse(call, modelNotFound(request.model));
  const previousId = request.previous_response_id ?? undefined;
  const previous = previousId === undefined ? undefined : call.stores.responses.get(previousId);
  if (previousId !== undefined && !previous) {
    const refusal = notFound('Previous response', previousId);
    return refuse(call, {
      ...refusal,
      status: 400,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
    });
  }
  const earlier = previous?.items ?? [];
  const task = responsesTask(request, earlier);
  const found = gatherFaults(call, lastUserText(task), model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const answer = answerChat(task, faults);
  return decide(call, {
    model,
    faults,
    tokens: answer.tokens,
    answer: (): Payload => {
      const frame = frameOf(call, request);
      const shown = responseObject(frame, answer, faults) as { output: unknown[] };
      if (request.store !== false) {
        const items = [...earlier, ...inputItems(request), ...shown.output];
        call.stores.responses.put({ id: frame.id, shown, items });
      }
      if (!request.stream) return jsonPayload(shown, faults.usage !== 'none');
      return { events: responseEvents(frame, answer, faults), failure: streamError() };
    },
  });
}

/** `GET /v1/responses/:id` */
export function decideStoredResponse(call: ProviderCall): Decision {
  const kept = call.stores.responses.get(call.id);
  return kept ? decidePlain(call, kept.shown) : refuse(call, notFound('Response', call.id));
}

/** `DELETE /v1/responses/:id` */
export function decideResponseDeletion(call: ProviderCall): Decision {
  if (!call.stores.responses.remove(call.id)) return refuse(call, notFound('Response', call.id));
  return decidePlain(call, { id: call.id, object: 'response', deleted: true });
}

function frameOf(call: ProviderCall, request: ResponsesRequest): ResponseFrame {
  return {
    id: `resp_sim${call.callNumber}`,
    object: 'response',
    created_at: Math.floor(call.nowMs / 1000),
    error: null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    metadata: request.metadata ?? {},
    model: request.model,
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: request.previous_response_id ?? null,
    reasoning: { effort: request.reasoning?.effort ?? null, summary: request.reasoning?.summary ?? null },
    service_tier: 'default',
    store: request.store !== false,
    temperature: request.temperature ?? 1,
    text: { format: request.text?.format ?? { type: 'text' } },
    tool_choice: request.tool_choice ?? 'auto',
    tools: request.tools ?? [],
    top_p: request.top_p ?? 1,
    truncation: 'disabled',
  };
}

/** https://platform.openai.com/docs/api-reference/responses-streaming/error */
function streamError(): { event: string; json: string } {
  const message = 'Simulated error inside the stream.';
  const error = { type: 'error', code: 'server_error', message, param: null, sequence_number: 0 };
  return { event: 'error', json: JSON.stringify(error) };
}
