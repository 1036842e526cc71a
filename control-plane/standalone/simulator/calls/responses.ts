import { answerChat } from '../chat/answer.js';
import { inputItems, responsesRequestSchema, responsesTask, type ResponsesRequest } from '../chat/responses-request.js';
import { responseEvents, responseObject, streamError, type ResponseFrame } from '../chat/responses-wire.js';
import { lastUserText } from '../chat/task.js';
import { decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { modelNotFound, notFound } from '../errors.js';
import { findItem, inProgress } from './stored-responses.js';
import { findModel } from '../models.js';
import { jsonPayload, type Chunk, type Payload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import type { StoredItem } from '../stores.js';

/** `POST /v1/responses`. The conversation before it counts as part of the prompt. */
export function decideResponse(call: ProviderCall): Decision {
  const parsed = parseRequest(call, responsesRequestSchema);
  if ('status' in parsed) return refuse(call, parsed);
  const asked = parsed.value;
  const given = inputItems(asked).map((item) => (item.type === 'item_reference' ? findItem(call, item.id) : item));
  const missing = given.indexOf(undefined);
  if (missing !== -1) return refuse(call, notFound('Item', inputItems(asked)[missing]?.id ?? ''));
  const request = { ...asked, input: given.filter((item) => item !== undefined) };
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
      const shown = responseObject(frame, answer, faults) as { output: StoredItem[] };
      const { input } = request;
      const isPending = request.background === true && request.stream !== true;
      const events = (): Iterable<Chunk> => responseEvents(frame, answer, faults);
      if (request.store !== false) {
        call.stores.responses.put({
          ...{ id: frame.id, shown, output: shown.output, items: [...earlier, ...input, ...shown.output], events },
          input: input.map((item, index) => ({
            ...item,
            id: item.id ?? `msg_${frame.id.replace('resp_', 'in')}_${index}`,
          })),
          pendingPolls: isPending ? (faults.polls ?? 0) : undefined,
        });
      }
      if (isPending) return jsonPayload(inProgress(shown, 'queued'));
      if (!request.stream) return jsonPayload(shown, faults.usage !== 'none');
      return { events: events(), failure: streamError() };
    },
  });
}

function frameOf(call: ProviderCall, request: ResponsesRequest): ResponseFrame {
  return {
    id: `resp_sim${call.callNumber}`,
    object: 'response',
    background: request.background === true,
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
