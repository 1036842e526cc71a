import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { RateState, RateStates } from './limiter.js';

/** Says how many tokens the answer was held to, where its caller had named no cap and more is not covered. */
export const OUTPUT_CAP_HEADER = 'x-pingtoken-output-cap';

type Headers = readonly (readonly [string, string])[];

/**
 * What a dialect's clients read of their limits. Google's have no headers for it.
 * https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers,
 * https://platform.claude.com/docs/en/api/rate-limits#response-headers
 */
export function rateLimitHeaders(dialect: Dialect, states: RateStates, nowMs: number): Headers {
  if (dialect === 'gemini') return [];
  const requests = nearest(states.requestsPerMinute, states.requestsPerDay);
  const tokens = nearest(states.tokensPerMinute, states.tokensPerDay);
  const write = dialect === 'openai' ? writeOpenAi : writeAnthropic;
  return [...write('requests', requests, nowMs), ...write('tokens', tokens, nowMs)];
}

/** Of a minute's and a day's, the one that will stop the caller first. */
function nearest(minute: RateState | undefined, day: RateState | undefined): RateState | undefined {
  if (minute === undefined || day === undefined) return minute ?? day;
  return day.left < minute.left ? day : minute;
}

function writeOpenAi(what: string, state: RateState | undefined): Headers {
  if (state === undefined) return [];
  return [
    [`x-ratelimit-limit-${what}`, String(state.limit)],
    [`x-ratelimit-remaining-${what}`, String(state.left)],
    [`x-ratelimit-reset-${what}`, duration(state.resetMs)],
  ];
}

function writeAnthropic(what: string, state: RateState | undefined, nowMs: number): Headers {
  if (state === undefined) return [];
  return [
    [`anthropic-ratelimit-${what}-limit`, String(state.limit)],
    [`anthropic-ratelimit-${what}-remaining`, String(state.left)],
    [`anthropic-ratelimit-${what}-reset`, new Date(nowMs + state.resetMs).toISOString().replace(/\.\d+Z$/, 'Z')],
  ];
}

/** As OpenAI writes it: `6m0s`, `1.5s`, `20ms`. */
function duration(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours > 0 ? `${hours}h` : ''}${seconds >= 60 ? `${minutes}m` : ''}${seconds % 60}s`;
}

/**
 * When the same call fits again; a call that never will is not worth another try. Both official clients believe these.
 * @param afterMs undefined where it is not known, or where there is no such time
 */
export function retryHeaders(afterMs: number | undefined): readonly string[] {
  if (afterMs === undefined) return [];
  const ms = Math.max(1, Math.ceil(afterMs));
  return ['retry-after', String(Math.ceil(ms / 1000)), 'retry-after-ms', String(ms)];
}
