import type { IncomingHttpHeaders } from 'node:http';

/**
 * What of a provider's head reaches the caller: this list and nothing else. Hop-by-hop headers (RFC 9110, 7.6.1, and those
 * that `Connection` names), cookies, and what tells of our account there (its organisation, its rate limits, which many
 * tenants share) are not on it.
 */
const PASSED_ON = ['content-type', 'retry-after', 'retry-after-ms', 'x-should-retry', 'openai-processing-ms'] as const;

/** Of an answer that is passed through unread, also what describes its bytes. */
const PASSED_THROUGH = [...PASSED_ON, 'content-encoding', 'content-disposition', 'content-language'] as const;

/** @returns a flat list for `writeHead` */
export function answerHeaders(headers: IncomingHttpHeaders, kind: 'metered' | 'passthrough'): string[] {
  const named = connectionTokens(headers.connection);
  const kept: string[] = [];
  for (const name of kind === 'metered' ? PASSED_ON : PASSED_THROUGH) {
    const value = headers[name];
    if (value === undefined || named?.has(name) === true) continue;
    kept.push(name, Array.isArray(value) ? (value[0] ?? '') : value);
  }
  return kept;
}

/** Headers that a hop keeps for itself, because its `Connection` header names them. */
export function connectionTokens(connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
  return new Set(connection.split(',').map((token) => token.trim().toLowerCase()));
}

/** @returns the declared length where it is one that can be passed on */
export function contentLength(headers: IncomingHttpHeaders): number | undefined {
  const value = headers['content-length'];
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}
