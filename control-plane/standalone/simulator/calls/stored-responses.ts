import { itemSchema, type Item } from '../chat/responses-request.js';
import { streamError } from '../chat/responses-wire.js';
import { decide, decidePlain, gatherFaults, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { invalidRequest, notFound } from '../errors.js';
import type { Chunk } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import type { KeptResponse } from '../stores.js';
import { pageOf } from './files.js';

/** An item of a response that is kept. */
export function findItem({ stores }: Pick<ProviderCall, 'stores'>, id: string | null | undefined): Item | undefined {
  for (const { input, output } of stores.responses.list()) {
    const found = [...input, ...output].find((item) => item.id === id);
    if (found !== undefined) return itemSchema.parse(found);
  }
  return undefined;
}

/** A response before it is over. */
export function inProgress(shown: object, status: 'queued' | 'in_progress'): object {
  return { ...shown, status, output: [], usage: null, incomplete_details: null };
}

/**
 * `GET /v1/responses/:id`. One that is made in the background is over when it has been asked for often enough. With
 * `stream=true` its events are sent again, from behind `starting_after` on.
 * https://platform.openai.com/docs/api-reference/responses/get
 */
export function decideStoredResponse(call: ProviderCall): Decision {
  const kept = call.stores.responses.get(call.id);
  if (!kept) return refuse(call, notFound('Response', call.id));
  if (call.query.get('stream') === 'true') return decideAgain(call, kept);
  const { pendingPolls } = kept;
  if (pendingPolls === undefined) return decidePlain(call, kept.shown);
  const isOver = pendingPolls === 0;
  call.stores.responses.put({ ...kept, pendingPolls: isOver ? undefined : pendingPolls - 1 });
  return decidePlain(call, isOver ? kept.shown : inProgress(kept.shown, 'in_progress'));
}

function decideAgain(call: ProviderCall, kept: KeptResponse): Decision {
  const faults = gatherFaults(call, '', null);
  if ('status' in faults) return refuse(call, faults);
  const after = Number(call.query.get('starting_after') ?? -1);
  return decide(call, {
    faults: faults.value,
    answer: () => ({ events: eventsAfter(kept.events(), after), failure: streamError() }),
  });
}

/** Their tokens were counted when they were made. */
function* eventsAfter(events: Iterable<Chunk>, after: number): Generator<Chunk> {
  for (const event of events) {
    const { sequence_number: number } = JSON.parse(event.json) as { readonly sequence_number: number };
    if (number > after) yield { ...event, tokens: 0 };
  }
}

/** `POST /v1/responses/:id/cancel`: only what is made in the background can be. */
export function decideResponseCancellation(call: ProviderCall): Decision {
  const kept = call.stores.responses.get(call.id);
  if (!kept) return refuse(call, notFound('Response', call.id));
  if ('background' in kept.shown && kept.shown.background !== true) {
    return refuse(call, invalidRequest('Only responses created with background=true can be cancelled.'));
  }
  if (kept.pendingPolls === undefined) return decidePlain(call, kept.shown);
  const shown = { ...kept.shown, status: 'cancelled', output: [], usage: null };
  return decidePlain(call, call.stores.responses.put({ ...kept, shown, output: [], pendingPolls: undefined }).shown);
}

/** `GET /v1/responses/:id/input_items`, newest first unless `order=asc`. */
export function decideInputItems(call: ProviderCall): Decision {
  const kept = call.stores.responses.get(call.id);
  if (!kept) return refuse(call, notFound('Response', call.id));
  const items = call.query.get('order') === 'asc' ? kept.input : kept.input.toReversed();
  return decidePlain(
    call,
    pageOf(call, items, (item) => item),
  );
}

/** `DELETE /v1/responses/:id` */
export function decideResponseDeletion(call: ProviderCall): Decision {
  if (!call.stores.responses.remove(call.id)) return refuse(call, notFound('Response', call.id));
  return decidePlain(call, { id: call.id, object: 'response', deleted: true });
}
