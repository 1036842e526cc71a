import type { Outgoing } from '../forward/prepared-call.js';
import { isRefusal } from '../http-error.js';
import { planByAccount } from './accounts.js';
import { openConversation, type Question } from './conversation.js';
import { namedThing, namesOf, passedQuery, pathOf } from './kept-call.js';
import type { KeptAnswer, KeptCall, KeptTools } from './kept-call.js';
import { createResponseIdSealer } from './response-ids.js';

/** As a whole, or as a stream that is taken up again. https://platform.openai.com/docs/api-reference/responses/get */
export async function showResponse(call: KeptCall, { meter, forwarder }: KeptTools): KeptAnswer {
  const thing = namedThing(call, ['response']);
  if (isRefusal(thing)) return thing;
  const plan = planByAccount(call.known, thing, 'responses', call.nowMs);
  if (isRefusal(plan)) return plan;
  const query = passedQuery(call.endpoint, ['include', 'include[]', 'stream', 'starting_after', 'include_obfuscation']);
  const outgoing: Outgoing = {
    client: 'undici',
    path: pathOf('responses', thing, query),
    headers: { accept: call.endpoint.query.get('stream') === 'true' ? 'text/event-stream' : 'application/json' },
    body: Buffer.alloc(0),
    translation: undefined,
    editAnswer: () => createResponseIdSealer(call.sealer, thing),
  };
  const metered = await meter.begin({ ...plan, outgoing });
  if (isRefusal(metered)) return metered;
  forwarder.forward(metered);
  return undefined;
}

/** https://platform.openai.com/docs/api-reference/responses/delete */
export function deleteResponse(call: KeptCall, tools: KeptTools): KeptAnswer {
  return askResponse(call, tools, { method: 'DELETE', rest: '' });
}

/** https://platform.openai.com/docs/api-reference/responses/cancel */
export function cancelResponse(call: KeptCall, tools: KeptTools): KeptAnswer {
  return askResponse(call, tools, { method: 'POST', rest: '/cancel' });
}

/** https://platform.openai.com/docs/api-reference/responses/input-items */
export function listInputItems(call: KeptCall, tools: KeptTools): KeptAnswer {
  const query = passedQuery(call.endpoint, ['after', 'before', 'limit', 'order', 'include', 'include[]']);
  return askResponse(call, tools, { method: 'GET', rest: `/input_items${query}` });
}

async function askResponse(
  call: KeptCall,
  tools: KeptTools,
  { method, rest }: Pick<Question, 'method'> & { readonly rest: string },
): KeptAnswer {
  const thing = namedThing(call, ['response']);
  if (isRefusal(thing)) return thing;
  const plan = planByAccount(call.known, thing, 'responses', call.nowMs);
  if (isRefusal(plan)) return plan;
  const conversation = await openConversation(plan, tools, { names: namesOf(call, thing) });
  if (isRefusal(conversation)) return conversation;
  const body = await conversation.ask({ method, path: pathOf('responses', thing, rest) });
  if (body === undefined) return undefined;
  const ids = createResponseIdSealer(call.sealer, thing);
  await conversation.answer(Buffer.concat([ids.push(body), ids.end()]).toString());
  return undefined;
}
