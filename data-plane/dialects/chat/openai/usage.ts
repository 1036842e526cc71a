import type { Usage } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';
import { convertOpenAiUsage } from '../../openai-usage.js';
import { isObject } from '../json.js';
import type { ChatUsageReader, SseEvent } from '../chat.js';

export const USAGE_MARK = '"usage"';

/** The sums as OpenAI has them, with the parts that they contain. What it has no word for, searches say, is left to the meter. */
export function writeUsage(usage: Usage): Readonly<Record<string, unknown>> {
  const { cacheRead = 0, audioInput = 0, reasoning = 0, audioOutput = 0 } = usage;
  const cacheWrite = (usage.cacheWrite5m ?? 0) + (usage.cacheWrite1h ?? 0);
  const prompt = (usage.input ?? 0) + cacheRead + cacheWrite + audioInput;
  const completion = (usage.output ?? 0) + reasoning + audioOutput;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: {
      cached_tokens: cacheRead,
      audio_tokens: audioInput,
      ...(cacheWrite > 0 ? { cache_write_tokens: cacheWrite } : {}),
    },
    completion_tokens_details: { reasoning_tokens: reasoning, audio_tokens: audioOutput },
  };
}

export function readUsage(body: unknown): Usage | undefined {
  return isObject(body) ? convertOpenAiUsage(body['usage']) : undefined;
}

/** Most events have no usage, or a null: they are not parsed. */
export function createUsageReader(): ChatUsageReader {
  let total: Usage | undefined;
  return {
    push({ data }: SseEvent): Usage | undefined {
      if (data.includes(USAGE_MARK)) total = readUsage(parseEvent(data)) ?? total;
      return total;
    },
  };
}

/** @returns undefined when the data is not JSON */
export function parseEvent(data: string): unknown {
  try {
    return parseJson(data);
  } catch {
    return undefined;
  }
}
