import type { Outgoing } from '../forward/prepared-call.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { planByAccount } from './accounts.js';
import { openConversation, type Conversation, type Question } from './conversation.js';
import { namedThing, namesOf, passedQuery, pathOf } from './kept-call.js';
import type { KeptAnswer, KeptCall, KeptTools } from './kept-call.js';
import { createResponseIdSealer } from './response-ids.js';
import type { KeptThing } from './sealed-id.js';
import { parseThing } from './show-things.js';

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
  const before = (conversation: Conversation, thing: KeptThing): Promise<boolean> =>
    isBilled(conversation, { thing, tools });
  return askResponse(call, tools, { method: 'DELETE', rest: '', before });
}

const NOT_BILLED = 'A response in the background can be deleted when it is over and billed; try again in some minutes.';

/**
 * Attack: delete a response that was made in the background before it is billed. What is over is billed now.
 * @returns false where the call has ended instead
 */
async function isBilled(
  conversation: Conversation,
  { thing, tools }: { readonly thing: KeptThing; readonly tools: KeptTools },
): Promise<boolean> {
  const body = await conversation.ask({ method: 'GET', path: pathOf('responses', thing) });
  if (body === undefined) return false;
  const response = parseThing(body);
  if (response?.['background'] !== true || (await tools.billing.isBilled(thing.rawId, response))) return true;
  await conversation.refuse(refuse('conflict', 'id', NOT_BILLED));
  return false;
}

/** https://platform.openai.com/docs/api-reference/responses/cancel */
export function cancelResponse(call: KeptCall, tools: KeptTools): KeptAnswer {
  return askResponse(call, tools, { method: 'POST', rest: '/cancel' });
}

/** https://platform.openai.com/docs/api-reference/responses/input-items */
export async function listInputItems(call: KeptCall, tools: KeptTools): KeptAnswer {
  const passed = passedQuery(call.endpoint, ['limit', 'order', 'include', 'include[]']);
  const query = withCursors(call, passed);
  if (typeof query !== 'string') return query;
  return askResponse(call, tools, { method: 'GET', rest: `/input_items${query}` });
}

/** Where a page begins is said by items. */
function withCursors({ endpoint, sealer }: KeptCall, passed: string): string | Refusal {
  const query = new URLSearchParams(passed);
  for (const name of ['after', 'before']) {
    const id = endpoint.query.get(name);
    if (id === null) continue;
    const item = sealer.open(id, ['item']);
    if (item === undefined) return refuse('not_found', name, 'No such item of yours.');
    query.set(name, item.rawId);
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

interface ResponseQuestion extends Pick<Question, 'method'> {
  readonly rest: string;
  /** Asked first. @returns false where the call has ended there */
  readonly before?: (conversation: Conversation, thing: KeptThing) => Promise<boolean>;
}

async function askResponse(call: KeptCall, tools: KeptTools, { method, rest, before }: ResponseQuestion): KeptAnswer {
  const thing = namedThing(call, ['response']);
  if (isRefusal(thing)) return thing;
  const plan = planByAccount(call.known, thing, 'responses', call.nowMs);
  if (isRefusal(plan)) return plan;
  const conversation = await openConversation(plan, tools, { names: namesOf(call, thing) });
  if (isRefusal(conversation)) return conversation;
  if (before !== undefined && !(await before(conversation, thing))) return undefined;
  const body = await conversation.ask({ method, path: pathOf('responses', thing, rest) });
  if (body === undefined) return undefined;
  const ids = createResponseIdSealer(call.sealer, thing);
  await conversation.answer(Buffer.concat([ids.push(body), ids.end()]).toString());
  return undefined;
}
