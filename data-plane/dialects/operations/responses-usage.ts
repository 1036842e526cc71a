import type { Usage } from '@pingtoken/shared/rate-card';
import { convertOpenAiUsage } from '../openai-usage.js';
import { listOf, memberOf } from './report.js';

/** The events that end a stream; each carries the response as a whole. */
const LAST_EVENTS: ReadonlySet<unknown> = new Set(['response.completed', 'response.incomplete', 'response.failed']);

/**
 * What a response reports, as a body or in the last event of its stream: chat's counts under names of their own, and the
 * searches that it made.
 * https://platform.openai.com/docs/api-reference/responses/object
 * @returns undefined for any other event, and as long as the response goes on
 */
export function readResponsesUsage(value: unknown): Usage | undefined {
  const response = LAST_EVENTS.has(memberOf(value, 'type')) ? memberOf(value, 'response') : value;
  const report = memberOf(response, 'usage');
  const usage = convertOpenAiUsage({
    prompt_tokens: memberOf(report, 'input_tokens'),
    completion_tokens: memberOf(report, 'output_tokens'),
    total_tokens: memberOf(report, 'total_tokens'),
    prompt_tokens_details: memberOf(report, 'input_tokens_details'),
    completion_tokens_details: memberOf(report, 'output_tokens_details'),
  });
  const webSearch = (listOf(response, 'output') ?? []).filter(isSearch).length;
  if (usage !== undefined && webSearch > 0) usage.webSearch = webSearch;
  return usage;
}

/**
 * A search is charged; opening a page that was found and looking something up in it is not. Older answers do not say which.
 * https://platform.openai.com/docs/guides/tools-web-search
 */
function isSearch(item: unknown): boolean {
  if (memberOf(item, 'type') !== 'web_search_call' || memberOf(item, 'status') === 'failed') return false;
  const action = memberOf(memberOf(item, 'action'), 'type');
  return action === undefined || action === 'search';
}
