import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import { openAiErrorType, type OpenAiError } from '../http-error.js';

const text = z.string().nullish();
const errorSchema = z.object({
  error: z.object({ message: z.string(), type: text, param: text, code: z.union([z.string(), z.number()]).nullish() }),
});

const MAX_MESSAGE_CHARACTERS = 4096;
const ORGANISATION = /\b(?:org|proj)[-_][A-Za-z0-9]{6,}/g;

/**
 * A provider's error as OpenAI's object: its own where it is one, else a sentence with the status alone, for what is not
 * understood could hold anything. Our credential and our account's name there never pass.
 */
export function convertProviderError(status: number, body: Buffer, secret: string): OpenAiError {
  const parsed = parse(body);
  if (parsed === undefined) {
    return {
      message: `The provider answered with status ${status}.`,
      type: openAiErrorType(status),
      param: null,
      code: 'upstream_failed',
    };
  }
  const clean = (value: string): string =>
    value.replaceAll(secret, '***').replace(ORGANISATION, '***').slice(0, MAX_MESSAGE_CHARACTERS);
  return {
    message: clean(parsed.message),
    type: clean(parsed.type ?? openAiErrorType(status)),
    param: typeof parsed.param === 'string' ? clean(parsed.param) : null,
    code: parsed.code === null || parsed.code === undefined ? null : clean(String(parsed.code)),
  };
}

function parse(body: Buffer): z.infer<typeof errorSchema>['error'] | undefined {
  try {
    const result = errorSchema.safeParse(parseJson(body.toString()));
    return result.success ? result.data.error : undefined;
  } catch {
    return undefined;
  }
}
