import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { planByAccount, planEverywhere, type PlannedCall } from './accounts.js';
import { openConversation, type Conversation } from './conversation.js';
import { passedQuery, showingOf, type KeptAnswer, type KeptCall, type KeptTools } from './kept-call.js';
import { fillPage, listObject, readPage, type Listing } from './list-things.js';
import type { KeptKind, KeptThing } from './sealed-id.js';
import { parseThing, writeThing, type Json, type Showing } from './show-things.js';

export interface ListKind {
  readonly path: string;
  /** What an `after` may name. */
  readonly kinds: readonly KeptKind[];
  /** How many things a caller may ask for and usually gets, and how many are fetched at once. */
  readonly limits: { readonly most: number; readonly usual: number; readonly pageSize: number };
  /** Members of the query that the provider is told. */
  readonly passed: readonly string[];
  /** @returns undefined for what is another tenant's */
  readonly pick: (thing: Json, showing: Showing) => Json | undefined;
}

/**
 * Answers with the tenant's own things of one kind: account by account, each in its provider's order. A list says in
 * `has_more` whether there are more of the tenant's own, and goes on behind an id of theirs.
 */
export async function answerList(call: KeptCall, tools: KeptTools, kind: ListKind): KeptAnswer {
  const wanted = readWanted(call, kind);
  if (isRefusal(wanted)) return wanted;
  const plans = plansFrom(call, wanted.after);
  if (isRefusal(plans)) return plans;
  const conversation = await openConversation(plans[0], tools);
  if (isRefusal(conversation)) return conversation;
  let found: Listing<Json> = { items: [], hasMore: false };
  for (const [index, plan] of plans.entries()) {
    const after = index === 0 ? wanted.after?.rawId : undefined;
    const limit = wanted.limit - found.items.length;
    const listing = await fillFrom(conversation, { call, kind, plan, after, limit });
    if (listing === undefined) return undefined;
    found = { items: [...found.items, ...listing.items], hasMore: listing.hasMore };
    if (found.hasMore) break;
  }
  await conversation.answer(writeThing(listObject(found)));
  return undefined;
}

interface Wanted {
  readonly limit: number;
  readonly after: KeptThing | undefined;
}

function readWanted({ endpoint, sealer }: KeptCall, { limits, kinds }: ListKind): Wanted | Refusal {
  const { query } = endpoint;
  const limit = query.get('limit') ?? String(limits.usual);
  if (!/^[1-9]\d{0,4}$/.test(limit) || Number(limit) > limits.most) {
    return refuse('invalid_request', 'limit', `The limit must be a number from 1 to ${limits.most}.`);
  }
  const afterId = query.get('after');
  const after = afterId === null ? undefined : sealer.open(afterId, kinds);
  if (afterId !== null && after === undefined) return refuse('not_found', 'after', 'No such thing of yours.');
  return { limit: Number(limit), after };
}

/** The accounts in their order; from that of a thing on where a list goes on behind it. */
function plansFrom(
  { known, nowMs }: KeptCall,
  after: KeptThing | undefined,
): readonly [PlannedCall, ...PlannedCall[]] | Refusal {
  const plans = planEverywhere(known, nowMs);
  if (isRefusal(plans) || after === undefined) return plans;
  const at = plans.findIndex(
    ({ attempts: [{ provider, credentialId }] }) =>
      provider.id === after.providerId && credentialId === after.credentialId,
  );
  const [first, ...others] = at === -1 ? [] : plans.slice(at);
  if (first !== undefined) return [first, ...others];
  const plan = planByAccount(known, after, 'batches', nowMs);
  return isRefusal(plan) ? plan : [plan];
}

function fillFrom(
  conversation: Conversation,
  {
    call,
    kind,
    plan,
    after,
    limit,
  }: {
    readonly call: KeptCall;
    readonly kind: ListKind;
    readonly plan: PlannedCall;
    readonly after: string | undefined;
    readonly limit: number;
  },
): Promise<Listing<Json> | undefined> {
  const [account] = plan.attempts;
  const { provider, credentialId } = account;
  const showing = showingOf(call, { providerId: provider.id, credentialId, model: plan.model });
  const passed = passedQuery(call.endpoint, kind.passed).replace('?', '&');
  return fillPage({
    after,
    limit,
    fetchPage: async (cursor) => {
      const behind = cursor === undefined ? '' : `&after=${encodeURIComponent(cursor)}`;
      const path = `${kind.path}?limit=${kind.limits.pageSize}${behind}${passed}`;
      const body = await conversation.ask({ method: 'GET', path, account });
      if (body === undefined) return undefined;
      const page = readPage(parseThing(body));
      if (page === undefined) await conversation.fail('upstream_failed', 'provider-failed', 'the answer is no list');
      return page;
    },
    pick: (thing) => kind.pick(thing, showing),
  });
}
