import { parseJson } from '@pingtoken/shared/wire';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import { writeError } from '../dialects/chat/openai/errors.js';
import { memberOf } from '../dialects/operations/report.js';
import { convertProviderError } from '../forward/provider-error.js';
import type { Refusal } from '../http-error.js';
import { createRequestId } from '../receive.js';

/**
 * An error of ours, as a session tells it. https://platform.openai.com/docs/api-reference/realtime-server-events/error
 * @param causedBy the event of the caller that was refused, by the id that the caller gave it
 */
export function errorEvent({ refused, param, message }: Refusal, causedBy: string | null): string {
  const { status, message: standard } = ERROR_CODES[refused];
  const body = writeError({ code: refused, message: message ?? standard, status, param });
  return toEvent(`event_${createRequestId()}`, memberOf(body, 'error'), causedBy);
}

/** @returns a provider's error without our credential and our account's name there; the same bytes where neither is in it */
export function cleanErrorEvent(bytes: Buffer, secret: string): Buffer {
  const event = parse(bytes.toString());
  const error = memberOf(event, 'error');
  // The status is only said where there is no sentence to say.
  const { json } = convertProviderError({ status: 500, body: bytes, secret, dialect: 'openai' }, 'openai');
  const cleaned = memberOf(parse(json), 'error');
  const isClean = ['message', 'type', 'param', 'code'].every(
    (name) => (memberOf(error, name) ?? null) === memberOf(cleaned, name),
  );
  if (isClean) return bytes;
  return Buffer.from(toEvent(memberOf(event, 'event_id'), cleaned, memberOf(error, 'event_id')));
}

/** @returns any message of a provider, without our credential */
export function withoutSecret(bytes: Buffer, secret: string): Buffer {
  if (secret === '' || !bytes.includes(secret)) return bytes;
  return Buffer.from(bytes.toString('latin1').replaceAll(Buffer.from(secret).toString('latin1'), '***'), 'latin1');
}

function toEvent(eventId: unknown, error: unknown, causedBy: unknown): string {
  return JSON.stringify({
    type: 'error',
    event_id: eventId,
    error: { ...(error as object), event_id: causedBy ?? null },
  });
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
