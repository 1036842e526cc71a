import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import type { RouteCache } from '@pingtoken/shared/route-policy';
import type { Operation } from '@pingtoken/shared/usage-event';
import type { Admitted } from '../admit/admit.js';
import { isForm } from '../authenticate.js';
import { isObject, parseJsonExactly, stringifyExactly } from '../dialects/chat/json.js';
import { END_USER_FIELDS } from '../dialects/end-user.js';
import { keysOfTenant } from './answer-keys.js';
import type { AnswerQuestion } from './answer-store.js';
import { headParts } from './idempotency.js';

/** What a call asks that may be given the answer to another one. */
export interface LikeQuestion extends AnswerQuestion {
  readonly cache: RouteCache;
  readonly route: ConfigObjectOf<'route'>;
}

/** Those that do nothing but answer. A response is a thing that its provider keeps, and a form is too long to compare. */
const REPEATABLE: ReadonlySet<string> = new Set<Operation>([
  'chat-completions',
  'completions',
  'embeddings',
  'images',
  'speech',
  'moderations',
  'rerank',
]);

/** Reading a longer body once more would keep other calls waiting. */
const MAX_COMPARED_BYTES = 256 * 1024;

/**
 * A change of the route or of its model makes all questions new, so that nothing is answered by what served before.
 * @returns undefined where the call's route keeps no answers, or its API key wants none of them
 */
export function likeQuestion(call: Admitted): LikeQuestion | undefined {
  const { account, operation, candidates } = call;
  const way = candidates[0]?.way;
  if (account.apiKey.cache !== true || way === undefined || !REPEATABLE.has(operation)) return undefined;
  const { route, model } = way;
  const { cache } = route;
  if (cache === null || model.name !== call.model) return undefined;
  const asked = normalise(call);
  const keys = asked === undefined ? undefined : keysOfTenant(account.tenant);
  if (asked === undefined || keys === undefined) return undefined;
  const parts = [route.id, String(route.seq), model.id, String(model.seq), operation, ...headParts(call), asked];
  return {
    name: keys.name('like', ...parts),
    fingerprint: keys.fingerprint(...parts),
    encryption: keys.encryption,
    cache,
    route,
  };
}

/**
 * The body without what cannot change the answer: white space, the order of its own members, and what it says of the end user.
 * Everything further inside stays as it is, for a model writes the members of a schema in the order in which it reads them.
 * @returns undefined where the call is to be kept by the provider, is no JSON object, or is too long to be compared
 */
function normalise(call: Admitted): string | undefined {
  if (isForm(call) || call.body.length > MAX_COMPARED_BYTES) return undefined;
  try {
    const fields = parseJsonExactly(call.body.toString());
    if (!isObject(fields) || fields['store'] === true) return undefined;
    const members = Object.entries(fields).filter(([name]) => !END_USER_FIELDS[call.dialect].has(name));
    members.sort(([one], [other]) => (one < other ? -1 : 1));
    return stringifyExactly(members);
  } catch {
    // Nested deeper than can be written: it is asked for without ado.
    return undefined;
  }
}
