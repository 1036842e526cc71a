import type { Usage } from '@pingtoken/shared/rate-card';
import type { ReportingOperation } from './read-usage.js';

/** https://platform.openai.com/docs/api-reference/images/create */
const MAX_PICTURES = 10;

/**
 * What a call is charged for where its answer was given and reports nothing, as far as the request alone tells it: speech by
 * the characters that were to be spoken, pictures of a stream by how many were asked for.
 * @param asked fields of the request as they were read
 * @returns undefined for what is counted in tokens of text, which are estimated instead
 */
export function assumedUsage(
  operation: ReportingOperation,
  asked: { readonly input?: unknown; readonly n?: unknown },
): Usage | undefined {
  switch (operation) {
    case 'chat-completions':
    case 'completions':
    case 'responses':
    case 'embeddings':
      return undefined;
    case 'speech':
      return { characters: typeof asked.input === 'string' ? countCharacters(asked.input) : 0, request: 1 };
    case 'images':
      return { image: picturesOf(asked.n), request: 1 };
    case 'transcriptions':
    case 'translations':
    case 'moderations':
    case 'rerank':
      return { request: 1 };
  }
}

function picturesOf(asked: unknown): number {
  const count = typeof asked === 'string' ? Number(asked) : asked;
  return typeof count === 'number' && Number.isInteger(count) && count >= 1 && count <= MAX_PICTURES ? count : 1;
}

/** Unicode code points. By hand: an iterator over a text of megabytes would halt all other calls for a while. */
function countCharacters(text: string): number {
  let count = text.length;
  for (let at = 1; at < text.length; at += 1) {
    if (isBetween(text.charCodeAt(at), 0xdc00, 0xdfff) && isBetween(text.charCodeAt(at - 1), 0xd800, 0xdbff))
      count -= 1;
  }
  return count;
}

function isBetween(unit: number, first: number, last: number): boolean {
  return unit >= first && unit <= last;
}
