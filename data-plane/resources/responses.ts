import { isRefusal } from '../http-error.js';
import { planByAccount } from './accounts.js';
import { openConversation, type Question } from './conversation.js';
import { namedThing, namesOf, passedQuery, pathOf } from './kept-call.js';
import type { KeptAnswer, KeptCall, KeptTools } from './kept-call.js';
import { createResponseIdSealer } from './response-ids.js';

/** https://platform.openai.com/docs/api-reference/responses/get; as a stream it is asked for elsewhere. */
export function showResponse(call: KeptCall, tools: KeptTools): KeptAnswer {
  return askResponse(call, tools, { method: 'GET', rest: passedQuery(call.endpoint, ['include', 'include[]']) });
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
