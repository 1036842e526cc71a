import { createHmac } from 'node:crypto';
import type { Guardrail } from '@pingtoken/shared/guardrail';
import type { Admitted } from '../admit/admit.js';
import { USER_AGENT } from '../provider-address.js';

/** What a guardrail is sent. */
export interface GuardrailRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * What the guardrail may know of a call: what the caller says, which model it asks for, and for which tenant and key, by
 * pseudonyms that this guardrail's secret makes, so that two guardrails cannot compare. No address, no header of the caller's
 * and no id of ours but the call's.
 *
 * Signed as https://www.standardwebhooks.com has it, over id, time and body: nobody else can ask in our name, and what was
 * once sent cannot be sent again later.
 * @param nowMs milliseconds since 1970
 */
export function guardrailRequest(
  admitted: Admitted,
  { sends, key, nowMs }: { readonly sends: Guardrail['sends']; readonly key: Buffer; readonly nowMs: number },
): GuardrailRequest {
  const { requestId } = admitted;
  const body = sends === 'body' ? withSaid(admitted, factsOf(admitted, key)) : Buffer.from(factsOf(admitted, key));
  const timestamp = String(Math.floor(nowMs / 1000));
  const signature = createHmac('sha256', key).update(`${requestId}.${timestamp}.`).update(body).digest('base64');
  return {
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': USER_AGENT,
      'webhook-id': requestId,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    },
    body,
  };
}

/** A JSON object with at least one member. */
function factsOf({ requestId, model, operation, dialect, streamed, account }: Admitted, key: Buffer): string {
  const { tenant, apiKey } = account;
  return JSON.stringify({
    ...{ version: 1, requestId, operation, model, dialect, streamed },
    tenant: pseudonym(key, `tenant ${tenant.id}`),
    key: pseudonym(key, `key ${apiKey.id}`),
  });
}

/** 96 bits, base64url. */
function pseudonym(key: Buffer, text: string): string {
  return createHmac('sha256', key).update(text).digest('base64url').slice(0, 16);
}

/** JSON goes in byte for byte, for reading and writing it would alter large numbers; a form as base64. */
function withSaid({ task, body, request }: Admitted, facts: string): Buffer {
  const isForm = task.kind === 'metered' && task.request.dialect === 'openai' && task.request.bodyKind === 'multipart';
  const head = facts.slice(0, -1);
  if (!isForm) return Buffer.concat([Buffer.from(`${head},"body":`), body, Buffer.from('}')]);
  const contentType = JSON.stringify(request.headers['content-type'] ?? '');
  return Buffer.from(`${head},"form":{"contentType":${contentType},"base64":"${body.toString('base64')}"}}`);
}
