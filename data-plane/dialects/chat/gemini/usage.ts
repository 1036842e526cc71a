import type { Usage } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';
import type { ChatUsageReader, Json } from '../chat.js';
import { isObject } from '../json.js';

/** https://ai.google.dev/api/generate-content#UsageMetadata */
export const USAGE_MARK = '"usageMetadata"';

/**
 * Google's `UsageMetadata` as disjoint counts: there, cached tokens are part of `promptTokenCount`, while the results of
 * Google's own tools and the thoughts are counted beside prompt and candidates. Counts of zero are not sent.
 * @returns undefined when the value is no report; an explicit zero is a report of zero
 */
export function convertGeminiUsage(value: unknown): Usage | undefined {
  if (!isObject(value) || !REPORTED.some((name) => name in value)) return undefined;
  const prompt = countOf(value, 'promptTokenCount');
  const candidates = countOf(value, 'candidatesTokenCount');
  if (prompt === undefined || candidates === undefined) return undefined;
  const toolUse = countOf(value, 'toolUsePromptTokenCount') ?? 0;
  const cacheRead = Math.min(countOf(value, 'cachedContentTokenCount') ?? 0, prompt);
  const audioPrompt = audioOf(value, 'promptTokensDetails') - audioOf(value, 'cacheTokensDetails');
  const audioInput =
    Math.min(Math.max(audioPrompt, 0), prompt - cacheRead) +
    Math.min(audioOf(value, 'toolUsePromptTokensDetails'), toolUse);
  const audioOutput = Math.min(audioOf(value, 'candidatesTokensDetails'), candidates);
  const reasoning = countOf(value, 'thoughtsTokenCount') ?? 0;
  const usage: Usage = {
    input: prompt - cacheRead + toolUse - audioInput,
    output: candidates - audioOutput,
    request: 1,
  };
  if (cacheRead > 0) usage.cacheRead = cacheRead;
  if (audioInput > 0) usage.audioInput = audioInput;
  if (reasoning > 0) usage.reasoning = reasoning;
  if (audioOutput > 0) usage.audioOutput = audioOutput;
  return usage;
}

const REPORTED = ['promptTokenCount', 'candidatesTokenCount', 'totalTokenCount'];

/** The counts of a call by another vendor's model as Google words them; what was written into a cache is prompt here. */
export function writeUsage(usage: Usage): Json {
  const { cacheRead = 0, audioInput = 0, audioOutput = 0, reasoning = 0, output = 0, input = 0 } = usage;
  const text = input + cacheRead + (usage.cacheWrite5m ?? 0) + (usage.cacheWrite1h ?? 0);
  return {
    promptTokenCount: text + audioInput,
    ...(cacheRead > 0 && { cachedContentTokenCount: cacheRead }),
    candidatesTokenCount: output + audioOutput,
    ...(reasoning > 0 && { thoughtsTokenCount: reasoning }),
    totalTokenCount: text + audioInput + output + audioOutput + reasoning,
    ...(audioInput > 0 && { promptTokensDetails: writeDetails(text, audioInput) }),
    ...(audioOutput > 0 && { candidatesTokensDetails: writeDetails(output, audioOutput) }),
  };
}

/** A whole answer's; of an answer streamed as one list, which is the API's default, the last that any of its parts says. */
export function readUsage(body: Json): Usage | undefined {
  const tracker = createUsageTracker();
  const answers: readonly unknown[] = Array.isArray(body) ? body : [body];
  return answers.map(tracker.add).at(-1);
}

export function createUsageReader(): ChatUsageReader {
  const tracker = createUsageTracker();
  return {
    push: ({ data }) => tracker.add(data.includes(USAGE_MARK) ? parse(data) : undefined),
    get countsPromptOnly() {
      return tracker.countsPromptOnly();
    },
  };
}

/** Each report replaces the one before; of searches, the most that an answer speaks of is kept. */
export function createUsageTracker() {
  let usage: Usage | undefined;
  let webSearch = 0;
  let hasCountedAnswer = false;
  return {
    /** @returns the running total; undefined while nothing was reported */
    add(answer: unknown): Usage | undefined {
      if (isObject(answer)) {
        usage = convertGeminiUsage(answer['usageMetadata']) ?? usage;
        hasCountedAnswer ||= countsAnswer(answer);
        webSearch = Math.max(webSearch, countSearches(answer));
      }
      return usage === undefined || webSearch === 0 ? usage : { ...usage, webSearch };
    },
    countsPromptOnly: (): boolean => !hasCountedAnswer,
  };
}

/** Some models count the prompt alone until the last event; that a count is left out there means zero. */
function countsAnswer({ usageMetadata, candidates, promptFeedback }: Readonly<Record<string, unknown>>): boolean {
  if (isObject(usageMetadata) && COUNTS_OF_ANSWER.some((name) => name in usageMetadata)) return true;
  if (!Array.isArray(candidates)) return isObject(promptFeedback);
  return candidates.some((candidate: unknown) => isObject(candidate) && 'finishReason' in candidate);
}

const COUNTS_OF_ANSWER = ['candidatesTokenCount', 'thoughtsTokenCount'];

/**
 * Google bills its search by the query from Gemini 3 on, before that by the answer that used it.
 * https://ai.google.dev/gemini-api/docs/google-search#pricing
 */
function countSearches(answer: Readonly<Record<string, unknown>>): number {
  const { candidates, modelVersion } = answer;
  if (!Array.isArray(candidates)) return 0;
  const queries = candidates.flatMap((candidate: unknown): unknown[] => {
    const grounding = isObject(candidate) ? candidate['groundingMetadata'] : undefined;
    const list = isObject(grounding) ? grounding['webSearchQueries'] : undefined;
    return Array.isArray(list) ? list.filter((query: unknown) => typeof query === 'string' && query !== '') : [];
  });
  const isByAnswer = typeof modelVersion === 'string' && /gemini-[12]\b/.test(modelVersion);
  return isByAnswer ? Math.min(queries.length, 1) : queries.length;
}

/** @returns undefined for what is no count; zero where nothing is said */
function countOf(value: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const count = value[name] ?? 0;
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : undefined;
}

/** https://ai.google.dev/api/generate-content#ModalityTokenCount */
function audioOf(value: Readonly<Record<string, unknown>>, name: string): number {
  const details = value[name];
  if (!Array.isArray(details)) return 0;
  let audio = 0;
  for (const detail of details as readonly unknown[]) {
    if (isObject(detail) && detail['modality'] === 'AUDIO') audio += countOf(detail, 'tokenCount') ?? 0;
  }
  return audio;
}

function writeDetails(text: number, audio: number): Json {
  return [
    { modality: 'TEXT', tokenCount: text },
    { modality: 'AUDIO', tokenCount: audio },
  ];
}

function parse(data: string): unknown {
  try {
    return parseJson(data);
  } catch {
    return undefined;
  }
}
