import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import { CHAT_DIALECTS } from '../dialects/chat/chat-dialects.js';
import { openAiErrorType } from '../dialects/openai-error-type.js';
import { cleanErrorText } from './clean-error.js';

const text = z.string().nullish();
const detail = z.looseObject({ retryDelay: z.string().optional() });
const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: text,
    param: text,
    code: z.union([z.string(), z.number()]).nullish(),
    details: z.array(detail).optional().catch(undefined),
  }),
});

/** Refusals that are about our account with the provider. Passed on, they would tell the caller that its key is wrong. */
export const OUR_OWN_FAULTS: ReadonlySet<number> = new Set([401, 402, 403, 407]);

const MAX_MESSAGE_CHARACTERS = 4096;

export interface ProviderFailure {
  readonly status: number;
  readonly body: Buffer;
  /** What was sent along; it never goes on. */
  readonly secret: string;
  readonly dialect: Dialect;
}

export interface ConvertedError {
  /** The provider's, but for the one that says "overloaded": each dialect has its own. */
  readonly status: number;
  readonly json: string;
  /** In seconds, where the provider says it in the body: a `retry-after` header goes before it. */
  readonly retryAfter: string | undefined;
}

/**
 * A provider's error in the caller's dialect: its own sentence where it is understood, else one with the status alone, for
 * what is not understood could hold anything. Our credential and our account's name there never pass.
 */
export function convertProviderError(failure: ProviderFailure, caller: Dialect): ConvertedError {
  const { body, secret } = failure;
  const status = statusFor(failure.status, caller);
  const parsed = parse(body);
  const clean = (value: string): string => cleanErrorText(value, secret).slice(0, MAX_MESSAGE_CHARACTERS);
  const message = parsed === undefined ? `The provider answered with status ${status}.` : clean(parsed.message);
  const param = typeof parsed?.param === 'string' ? clean(parsed.param) : null;
  const retryAfter = readRetryDelay(parsed);
  if (caller !== 'openai' || failure.dialect !== 'openai' || parsed === undefined) {
    const error = { code: codeOf(status), message, status, param };
    return { status, json: JSON.stringify(CHAT_DIALECTS[caller].writeError(error)), retryAfter };
  }
  // Many providers speak this dialect, and their clients know their words.
  const { code = null } = parsed;
  const type = clean(parsed.type ?? openAiErrorType(status));
  const error = { message, type, param, code: code === null ? null : clean(String(code)) };
  return { status, json: JSON.stringify({ error }), retryAfter };
}

/**
 * Anthropic alone says 529, and 503 is no status of its API; its client takes either for its own error.
 * https://platform.claude.com/docs/en/api/errors#http-errors
 */
function statusFor(status: number, caller: Dialect): number {
  if (status === 529 && caller !== 'anthropic') return 503;
  return status === 503 && caller === 'anthropic' ? 529 : status;
}

function codeOf(status: number): ErrorCode {
  switch (status) {
    case 404:
      return 'not_found';
    case 408:
    case 504:
      return 'upstream_timeout';
    case 413:
      return 'body_too_large';
    case 429:
      return 'rate_limited';
    case 503:
    case 529:
      return 'upstream_overloaded';
    default:
      return status >= 500 ? 'upstream_failed' : 'invalid_request';
  }
}

type ParsedError = z.infer<typeof errorSchema>['error'];

/** Google's clients find it in the details. https://cloud.google.com/apis/design/errors, `google.rpc.RetryInfo` */
function readRetryDelay(error: ParsedError | undefined): string | undefined {
  const delay = error?.details?.find(({ retryDelay }) => retryDelay !== undefined)?.retryDelay;
  const seconds = /^(\d{1,6}(?:\.\d{1,9})?)s$/.exec(delay ?? '')?.[1];
  return seconds === undefined ? undefined : String(Math.ceil(Number(seconds)));
}

function parse(body: Buffer): ParsedError | undefined {
  try {
    const json = parseJson(body.toString());
    // What Google streams without `alt=sse` is a list, an error too.
    const result = errorSchema.safeParse(Array.isArray(json) ? json[0] : json);
    return result.success ? result.data.error : undefined;
  } catch {
    return undefined;
  }
}
