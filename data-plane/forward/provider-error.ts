import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import { CHAT_DIALECTS } from '../dialects/chat/chat-dialects.js';
import { openAiErrorType } from '../dialects/openai-error-type.js';

const text = z.string().nullish();
const errorSchema = z.object({
  error: z.object({ message: z.string(), type: text, param: text, code: z.union([z.string(), z.number()]).nullish() }),
});

const MAX_MESSAGE_CHARACTERS = 4096;
const ORGANISATION = /\b(?:org|proj)[-_][A-Za-z0-9]{6,}/g;

export interface ProviderFailure {
  readonly status: number;
  readonly body: Buffer;
  /** What was sent along; it never goes on. */
  readonly secret: string;
}

/**
 * A provider's error in the caller's dialect: its own sentence where it is understood, else one with the status alone, for
 * what is not understood could hold anything. Our credential and our account's name there never pass.
 */
export function convertProviderError({ status, body, secret }: ProviderFailure, dialect: Dialect): string {
  const parsed = parse(body);
  const clean = (value: string): string =>
    value.replaceAll(secret, '***').replace(ORGANISATION, '***').slice(0, MAX_MESSAGE_CHARACTERS);
  const message = parsed === undefined ? `The provider answered with status ${status}.` : clean(parsed.message);
  const param = typeof parsed?.param === 'string' ? clean(parsed.param) : null;
  if (dialect !== 'openai') {
    return JSON.stringify(CHAT_DIALECTS[dialect].writeError({ code: codeOf(status), message, status, param }));
  }
  // Many providers speak this dialect, and their clients know their words.
  const type = clean(parsed?.type ?? openAiErrorType(status));
  const own = parsed === undefined ? 'upstream_failed' : (parsed.code ?? null);
  return JSON.stringify({ error: { message, type, param, code: own === null ? null : clean(String(own)) } });
}

function codeOf(status: number): ErrorCode {
  if (status >= 500) return 'upstream_failed';
  switch (status) {
    case 404:
      return 'not_found';
    case 413:
      return 'body_too_large';
    case 429:
      return 'rate_limited';
    default:
      return 'invalid_request';
  }
}

function parse(body: Buffer): z.infer<typeof errorSchema>['error'] | undefined {
  try {
    const result = errorSchema.safeParse(parseJson(body.toString()));
    return result.success ? result.data.error : undefined;
  } catch {
    return undefined;
  }
}
