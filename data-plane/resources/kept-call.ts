import type { WithBody } from '../authenticate.js';
import type { Forwarder } from '../forward/forward.js';
import type { ConvertedAnswer } from '../forward/prepared-call.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { PlannedCall } from './accounts.js';
import type { BatchBilling } from './batch-billing.js';
import type { Conversation, ConversationTools } from './conversation.js';
import type { RequestBody } from './exchange.js';
import type { KeptEndpoint } from './kept-endpoint.js';
import type { IdSealer, KeptKind, KeptThing } from './sealed-id.js';
import { parseThing, writeThing, type Json, type Showing } from './show-things.js';

/** A call about what providers keep. */
export interface KeptCall {
  readonly known: WithBody;
  readonly endpoint: KeptEndpoint;
  readonly sealer: IdSealer;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

export interface KeptTools extends ConversationTools {
  readonly billing: BatchBilling;
  readonly forwarder: Forwarder;
}

/** @returns why the call was refused; undefined when it is answered, or on its way */
export type KeptAnswer = Promise<Refusal | undefined>;

/** The thing that the path names. Foreign, raw, of another kind: nobody is told which. */
export function namedThing({ sealer, endpoint }: KeptCall, kinds: readonly KeptKind[]): KeptThing | Refusal {
  return sealer.open(endpoint.id, kinds) ?? refuse('not_found', 'id', 'No such thing of yours.');
}

/** A thing's path at its provider. */
export function pathOf(collection: string, { rawId }: Pick<KeptThing, 'rawId'>, rest = ''): string {
  return `/${collection}/${encodeURIComponent(rawId)}${rest}`;
}

/** So that a provider's sentence about a thing names it as its owner knows it. */
export function namesOf({ endpoint }: KeptCall, { rawId }: Pick<KeptThing, 'rawId'>): ReadonlyMap<string, string> {
  return new Map([[rawId, endpoint.id]]);
}

export interface FormRelay {
  readonly plan: PlannedCall;
  readonly path: string;
  readonly form: RequestBody;
  readonly show: (thing: Json) => Json;
}

/** Forms go the way of all forms; the short answer is shown as its owner knows it. */
export async function relayForm({ plan, path, form, show }: FormRelay, { meter, forwarder }: KeptTools): KeptAnswer {
  const convertAnswer = (body: Buffer): ConvertedAnswer | undefined => {
    const thing = parseThing(body);
    return thing === undefined ? undefined : { json: writeThing(show(thing)), usage: plan.assumedUsage };
  };
  const headers = { 'content-type': form.contentType, accept: 'application/json' };
  const outgoing = { client: 'proxy', path, headers, body: form.bytes, translation: { convertAnswer } } as const;
  const metered = await meter.begin({ ...plan, outgoing });
  if (isRefusal(metered)) return metered;
  forwarder.forward(metered);
  return undefined;
}

/** Answers with what was asked for, as its owner knows it. */
export async function answerShown(
  conversation: Conversation,
  body: Buffer | undefined,
  show: (thing: Json) => Json,
): Promise<undefined> {
  if (body === undefined) return;
  const thing = parseThing(body);
  if (thing !== undefined) await conversation.answer(writeThing(show(thing)));
  else await conversation.fail('upstream_failed', 'provider-failed', 'the answer is no JSON object');
}

export function showingOf({ sealer }: KeptCall, account: Showing['account']): Showing {
  const { providerId, credentialId, model } = account;
  return { sealer, account: { providerId, credentialId, model } };
}

/** Of the query what these lists and things take, as the caller gave it; nothing else of it goes to a provider. */
export function passedQuery({ query }: KeptEndpoint, names: readonly string[]): string {
  const passed = new URLSearchParams();
  for (const name of names) for (const value of query.getAll(name)) passed.append(name, value);
  const text = passed.toString();
  return text === '' ? '' : `?${text}`;
}
