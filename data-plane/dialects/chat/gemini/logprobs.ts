import type { Json } from '../chat.js';
import { isObject, plainNumber } from '../json.js';

/**
 * Google's `LogprobsResult` in OpenAI's shape, which is the neutral one. Google's numbers of tokens have no place there.
 * https://ai.google.dev/api/generate-content#LogprobsResult
 * @returns undefined where there are none
 */
export function readLogprobs(result: unknown): Json {
  const chosen = isObject(result) ? result['chosenCandidates'] : undefined;
  if (!isObject(result) || !Array.isArray(chosen)) return undefined;
  const others: readonly unknown[] = Array.isArray(result['topCandidates']) ? result['topCandidates'] : [];
  const content = chosen.map((token, index) => {
    const other = others[index];
    const list = isObject(other) && Array.isArray(other['candidates']) ? other['candidates'] : [];
    return { ...readToken(token), top_logprobs: list.map(readToken) };
  });
  return { content, refusal: null };
}

/** @returns nothing where there are none */
export function writeLogprobs(logprobs: Json): { readonly avgLogprobs?: number; readonly logprobsResult?: Json } {
  const content = isObject(logprobs) ? logprobs['content'] : undefined;
  if (!Array.isArray(content) || content.length === 0) return {};
  const tokens = content.filter(isObject);
  const chosenCandidates = tokens.map(writeToken);
  const sum = chosenCandidates.reduce((total, { logProbability }) => total + logProbability, 0);
  return {
    avgLogprobs: sum / chosenCandidates.length,
    logprobsResult: {
      topCandidates: tokens.map(({ top_logprobs: top }) => ({
        candidates: Array.isArray(top) ? top.filter(isObject).map(writeToken) : [],
      })),
      chosenCandidates,
    },
  };
}

function readToken(value: unknown) {
  const { token, logProbability } = isObject(value) ? value : {};
  const text = typeof token === 'string' ? token : '';
  return { token: text, logprob: numberOf(logProbability), bytes: [...Buffer.from(text)] };
}

function writeToken({ token, logprob }: Readonly<Record<string, unknown>>) {
  return { token: typeof token === 'string' ? token : '', logProbability: numberOf(logprob) };
}

/** A probability of one, whose logarithm is zero, is not sent. */
function numberOf(value: unknown): number {
  const number = plainNumber(value);
  return typeof number === 'number' ? number : 0;
}
