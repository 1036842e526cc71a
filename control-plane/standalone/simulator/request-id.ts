import type { IncomingHttpHeaders } from 'node:http';

const CHARACTERS = 128;

/** What a call is counted by: its `x-request-id`, the first 128 characters of it; undefined where it has none. */
export function readRequestId({ 'x-request-id': header }: IncomingHttpHeaders): string | undefined {
  return (typeof header === 'string' ? header.slice(0, CHARACTERS) : '') || undefined;
}
