import type { Usage } from '@pingtoken/shared/rate-card';
import { countOf, isError, listOf, memberOf } from './report.js';

/**
 * What a ranking reports. Cohere counts search units, a request each (a query with up to 100 documents); Jina and Voyage
 * count tokens.
 * https://docs.cohere.com/reference/rerank, https://jina.ai/reranker, https://docs.voyageai.com/reference/reranker-api
 * @returns undefined where the value is no ranking, or reports nothing
 */
export function readRerankUsage(value: unknown): Usage | undefined {
  if (isError(value)) return undefined;
  if (listOf(value, 'results') === undefined && listOf(value, 'data') === undefined) return undefined;
  const units = countOf(memberOf(memberOf(value, 'meta'), 'billed_units'), 'search_units');
  if (units !== undefined) return { request: units };
  const tokens = countOf(memberOf(value, 'usage'), 'total_tokens');
  return tokens === undefined ? undefined : { input: tokens, request: 1 };
}
