import type { Admitted } from '../admit/admit.js';
import { isForm, presentedKey } from '../authenticate.js';
import { boundaryOf } from '../dialects/multipart-form.js';
import { refuse, type Refusal } from '../http-error.js';
import { keysOfBearer } from './answer-keys.js';
import type { AnswerQuestion } from './answer-store.js';

const HEADER = 'idempotency-key';
/** Stripe's bound, and everybody's: https://docs.stripe.com/api/idempotent_requests */
const KEY = /^[\x20-\x7e]{1,255}$/;

/**
 * What a call asks by its `Idempotency-Key` (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/).
 * The name is the API key's own, and the fingerprint stands for all that decides what is done.
 * @returns undefined where the call names none, or its API key has not opted in
 */
export function idempotencyQuestion(call: Admitted): AnswerQuestion | Refusal | undefined {
  const { request, account } = call;
  const key = request.headers[HEADER];
  if (key === undefined || account.apiKey.idempotency !== true || !isInference(call)) return undefined;
  if (typeof key !== 'string' || !KEY.test(key)) {
    return refuse('invalid_request', 'Idempotency-Key', 'An idempotency key has 1 to 255 printable ASCII characters.');
  }
  const keys = keysOfBearer(account.tenant, presentedKey(request));
  if (keys === undefined) return undefined;
  return {
    name: keys.name('idempotency', account.apiKey.id, key),
    fingerprint: keys.fingerprint(...headParts(call), ...bodyParts(call)),
    encryption: keys.encryption,
  };
}

/** What a model is asked for, and nothing else. */
export function isInference({ task, operation }: Admitted): boolean {
  return task.kind === 'metered' && operation !== 'count-tokens' && operation !== 'passthrough';
}

/** Of the head, what decides how the body is understood. */
export function headParts({ request, dialect, streamed }: Admitted): string[] {
  const { method = '', url = '', headers } = request;
  const [path = ''] = url.split('?', 1);
  const said = ['anthropic-version', 'anthropic-beta'].map((name) => String(headers[name] ?? ''));
  return [method, path, dialect, String(streamed), ...said];
}

/** A client that sends a form again draws its boundary anew. */
function bodyParts(call: Admitted): (string | Buffer)[] {
  const { request, body } = call;
  const boundary = isForm(call) ? boundaryOf(request.headers['content-type'] ?? '') : undefined;
  if (boundary === undefined) return [body];
  const delimiter = Buffer.from(`--${boundary}`);
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = body.indexOf(delimiter); at !== -1; at = body.indexOf(delimiter, start)) {
    parts.push(body.subarray(start, at));
    start = at + delimiter.length;
  }
  return [...parts, body.subarray(start)];
}
