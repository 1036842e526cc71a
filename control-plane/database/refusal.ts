import { UniqueConstraintViolationException } from '@mikro-orm/core';
import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import type { z } from 'zod';

/** One reason why a request was not done, and the input field that it is about. */
export interface UserError {
  readonly code: ErrorCode;
  readonly message: string;
  /** Path into the input, empty where the whole request is meant. */
  readonly path: readonly string[];
}

/** An expected "no": returned, never thrown. Nothing was stored. */
export class Refusal {
  constructor(readonly errors: readonly UserError[]) {}
}

export function refuse(
  code: ErrorCode,
  path: readonly string[] = [],
  message: string = ERROR_CODES[code].message,
): Refusal {
  return new Refusal([{ code, message, path }]);
}

/** Checks input against its schema: the typed value, or every fault at once. */
export function checkInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> | Refusal {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  return new Refusal(
    result.error.issues.map((issue) => ({
      code: 'invalid_request',
      message: issue.message,
      path: issue.path.map(String),
    })),
  );
}

/** Runs a write whose uniqueness the database decides. @returns a `conflict` where the value was taken */
export async function refuseConflict<T>(path: readonly string[], write: () => Promise<T>): Promise<T | Refusal> {
  try {
    return await write();
  } catch (error) {
    if (error instanceof UniqueConstraintViolationException) return refuse('conflict', path);
    throw error;
  }
}
