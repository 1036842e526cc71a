import type { Usage } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';
import type { ChatUsageReader } from '../chat.js';
import { isObject, plainNumber } from '../json.js';

/**
 * A usage object of Anthropic's as disjoint counts: there, the three kinds of input are disjoint already, and thinking is part
 * of `output_tokens`. Where the cache writes are not told apart, or not all of them, the rest was written for 5 minutes, which
 * is what the vendor does unasked. https://platform.claude.com/docs/en/api/messages
 * @returns undefined when the value is no report; an explicit zero is a report of zero
 */
export function convertAnthropicUsage(report: unknown): Usage | undefined {
  if (!isObject(report)) return undefined;
  const input = countOf(report['input_tokens']);
  const output = countOf(report['output_tokens']);
  if (input === undefined || output === undefined) return undefined;
  const creation = isObject(report['cache_creation']) ? report['cache_creation'] : {};
  const said5m = countOf(creation['ephemeral_5m_input_tokens']) ?? 0;
  const said1h = countOf(creation['ephemeral_1h_input_tokens']) ?? 0;
  const written = countOf(report['cache_creation_input_tokens']) ?? said5m + said1h;
  const cacheWrite1h = Math.min(said1h, written);
  const cacheRead = countOf(report['cache_read_input_tokens']) ?? 0;
  const details = isObject(report['output_tokens_details']) ? report['output_tokens_details'] : {};
  const reasoning = Math.min(countOf(details['thinking_tokens']) ?? 0, output);
  const serverTools = isObject(report['server_tool_use']) ? report['server_tool_use'] : {};
  const webSearch = countOf(serverTools['web_search_requests']) ?? 0;

  const usage: Usage = { input, output: output - reasoning, request: 1 };
  if (cacheRead > 0) usage.cacheRead = cacheRead;
  if (written > cacheWrite1h) usage.cacheWrite5m = written - cacheWrite1h;
  if (cacheWrite1h > 0) usage.cacheWrite1h = cacheWrite1h;
  if (reasoning > 0) usage.reasoning = reasoning;
  if (webSearch > 0) usage.webSearch = webSearch;
  return usage;
}

/**
 * A stream reports at its start and again later. The later counts are totals of the whole message, and leave out or null what
 * they do not say again. https://platform.claude.com/docs/en/build-with-claude/streaming#event-types
 */
export function mergeUsageReports(earlier: unknown, later: unknown): unknown {
  if (!isObject(later)) return earlier;
  if (!isObject(earlier)) return later;
  const said = Object.entries(later).filter(([, value]) => value !== null && value !== undefined);
  return { ...earlier, ...Object.fromEntries(said) };
}

/** @returns the report that an event holds, if it is of a kind that can hold one */
export function usageReportOf(event: Readonly<Record<string, unknown>>): unknown {
  if (event['type'] === 'message_start') return isObject(event['message']) ? event['message']['usage'] : undefined;
  return event['type'] === 'message_delta' ? event['usage'] : undefined;
}

/** The start of a message reports one token or so of an answer that has not begun; its end reports all. */
export function countsAnswer(event: Readonly<Record<string, unknown>>): boolean {
  return event['type'] === 'message_delta' && isObject(event['usage']);
}

/** Follows a stream that is relayed as it is; only the few events that name usage are parsed. */
export function createAnthropicUsageReader(): ChatUsageReader {
  let report: unknown;
  let usage: Usage | undefined;
  let countsPromptOnly = true;
  return {
    push({ data }) {
      if (!data.includes('"usage"')) return usage;
      const event = parseEvent(data);
      if (event === undefined) return usage;
      countsPromptOnly &&= !countsAnswer(event);
      report = mergeUsageReports(report, usageReportOf(event));
      usage = convertAnthropicUsage(report);
      return usage;
    },
    get countsPromptOnly() {
      return countsPromptOnly;
    },
  };
}

/** @returns undefined when the data is no JSON object */
export function parseEvent(data: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const event = parseJson(data);
    return isObject(event) ? event : undefined;
  } catch {
    return undefined;
  }
}

/** In the vendor's own object, with every field that its SDK's type has; audio, which it does not know, is counted as tokens. */
export function writeAnthropicUsage(usage: Usage | undefined): Readonly<Record<string, unknown>> {
  const { cacheWrite5m = 0, cacheWrite1h = 0, reasoning, webSearch } = usage ?? {};
  return {
    input_tokens: (usage?.input ?? 0) + (usage?.audioInput ?? 0),
    cache_creation_input_tokens: cacheWrite5m + cacheWrite1h,
    cache_read_input_tokens: usage?.cacheRead ?? 0,
    cache_creation: { ephemeral_5m_input_tokens: cacheWrite5m, ephemeral_1h_input_tokens: cacheWrite1h },
    output_tokens: (usage?.output ?? 0) + (reasoning ?? 0) + (usage?.audioOutput ?? 0),
    output_tokens_details: reasoning === undefined ? null : { thinking_tokens: reasoning },
    server_tool_use: webSearch === undefined ? null : { web_search_requests: webSearch, web_fetch_requests: 0 },
    service_tier: null,
    inference_geo: null,
    speed: null,
  };
}

function countOf(value: unknown): number | undefined {
  const count = plainNumber(value);
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : undefined;
}
