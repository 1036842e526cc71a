import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';

/**
 * Whose fault it is that an attempt failed, and so what follows from it.
 *
 * - `unreachable`, `timed-out`, `server-error`: the target's; counts toward its breaker
 * - `rate-limited`: the credential's for this model; it cools down
 * - `credential-refused`: the credential's; it is parked until a probe passes
 * - `refused`: the caller's; the answer is the same everywhere, and the target is well
 */
export type FailureKind =
  'unreachable' | 'timed-out' | 'server-error' | 'rate-limited' | 'credential-refused' | 'refused';

export interface Failure {
  readonly kind: FailureKind;
  /** The provider's status; null where it never answered. */
  readonly status: number | null;
  /** How long the provider asks us to wait, in milliseconds; undefined where it does not say. */
  readonly retryAfterMs: number | undefined;
}

/** Whether the same call may go well at another target, or at the same one later. */
export function isRetryable({ kind }: Failure): boolean {
  return kind !== 'refused';
}

export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** As much of it as was read. */
  readonly body: Buffer;
}

/** @param nowMs for a `Retry-After` that is a date */
export function classifyAnswer({ status, headers, body }: ErrorAnswer, nowMs: number): Failure {
  const retryAfterMs = readRetryAfter(headers, nowMs);
  const kind = kindOf(status, status >= 400 && status < 500 ? readError(body) : undefined);
  return { kind, status, retryAfterMs };
}

/**
 * An error that comes inside a stream, whose status said that all is well. What it blames the caller for is not told apart: that
 * was to be said before.
 * @param data of the event
 */
export function classifyErrorEvent(data: string, status: number | null): Failure {
  const words = readErrorWords(data);
  const kind = words.some((word) => EXHAUSTED.has(word))
    ? 'credential-refused'
    : words.some((word) => word.startsWith('rate_limit'))
      ? 'rate-limited'
      : 'server-error';
  return { kind, status, retryAfterMs: undefined };
}

function kindOf(status: number, error: ProviderError | undefined): FailureKind {
  if (error?.words.some((word) => EXHAUSTED.has(word)) === true || isOutOfCredit(error)) return 'credential-refused';
  switch (status) {
    case 401:
    case 402:
    case 407:
      return 'credential-refused';
    case 403:
      // Of content that a vendor will not have: parked for it, one caller's prompts would close the credential to all.
      return error !== undefined && isAboutContent(error) ? 'refused' : 'credential-refused';
    case 404:
      // The name is ours to know, not the caller's.
      return error?.words.some((word) => MODEL_MISSING.has(word)) === true ? 'server-error' : 'refused';
    case 408:
      return 'timed-out';
    case 429:
      return 'rate-limited';
    default:
      return status >= 400 && status < 500 ? 'refused' : 'server-error';
  }
}

/** An account that is empty, closed or unknown, whatever the status. OpenAI: platform.openai.com/docs/guides/error-codes; Gemini: ai.google.dev/gemini-api/docs/troubleshooting */
const EXHAUSTED: ReadonlySet<string> = new Set([
  'insufficient_quota',
  'billing_hard_limit_reached',
  'billing_not_active',
  'account_deactivated',
  'billing_error',
  'authentication_error',
  'invalid_api_key',
  'API_KEY_INVALID',
]);
const MODEL_MISSING: ReadonlySet<string> = new Set(['model_not_found', 'not_found_error', 'NOT_FOUND']);

/** Anthropic says so with status 400 and the type of any other bad request. */
function isOutOfCredit(error: ProviderError | undefined): boolean {
  return error?.message.startsWith('Your credit balance is too low') === true;
}

function isAboutContent({ words }: ProviderError): boolean {
  return words.some((word) => /moderation|content_?(?:policy|filter)|safety|flagged/i.test(word));
}

interface ProviderError {
  /** Codes and types, in whichever places the vendors put them. */
  readonly words: readonly string[];
  readonly message: string;
}

const word = z.union([z.string(), z.number(), z.null()]).optional().catch(undefined);
const errorSchema = z.object({
  error: z.object({
    message: z.string().catch(''),
    code: word,
    type: word,
    status: word,
    details: z.array(z.object({ reason: word })).catch([]),
    metadata: z.record(z.string(), z.unknown()).catch({}),
  }),
});

function readError(body: Buffer): ProviderError | undefined {
  try {
    const { error } = errorSchema.parse(parseJson(body.toString()));
    const { code, type, status, details, metadata, message } = error;
    const words = [code, type, status, ...details.map(({ reason }) => reason), ...Object.keys(metadata)];
    return { message, words: words.filter((each) => typeof each === 'string') };
  } catch {
    return undefined;
  }
}

const said = z.object({ code: word, type: word });
/** In the event itself, or in what it holds: `error`, or a response that failed. */
const errorEventSchema = said.extend({
  error: said.optional().catch(undefined),
  response: z
    .object({ error: said.optional().catch(undefined) })
    .optional()
    .catch(undefined),
});

function readErrorWords(data: string): string[] {
  try {
    const event = errorEventSchema.parse(parseJson(data));
    const places = [event, event.error, event.response?.error];
    return places.flatMap((place) => [place?.code, place?.type]).filter((each) => typeof each === 'string');
  } catch {
    return [];
  }
}

/** What a provider may keep us away for at most: a longer wait is a mistake of theirs, or a lever of somebody's. */
const MAX_RETRY_AFTER_MS = 3_600_000;

/** `retry-after-ms` (OpenAI's, Azure's), else `Retry-After` in seconds or as a date (RFC 9110, 10.2.3). */
function readRetryAfter(headers: ErrorAnswer['headers'], nowMs: number): number | undefined {
  const exact = Number(headers['retry-after-ms']);
  const stated = headers['retry-after'];
  const text = typeof stated === 'string' ? stated.trim() : '';
  const seconds = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  const waits = [exact, seconds * 1000, Date.parse(text) - nowMs];
  const wait = waits.find((each) => Number.isFinite(each) && each >= 0);
  return wait === undefined ? undefined : Math.min(wait, MAX_RETRY_AFTER_MS);
}
