import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { anthropicTalker } from './anthropic-talker.js';
import type { ClientOptions, Talk } from './conversation.js';
import { geminiTalker } from './gemini-talker.js';
import { openAiTalker } from './openai-talker.js';

/** The official client of each dialect. */
export const TALKERS: Readonly<Record<Dialect, (options: ClientOptions) => Talk>> = {
  openai: openAiTalker,
  anthropic: anthropicTalker,
  gemini: geminiTalker,
};

export interface Pair {
  readonly caller: Dialect;
  readonly provider: Dialect;
  readonly streamed: boolean;
}

const DIALECTS: readonly Dialect[] = ['openai', 'anthropic', 'gemini'];

/** The nine pairs, each streamed and not. */
export const PAIRS: readonly Pair[] = DIALECTS.flatMap((caller) =>
  DIALECTS.flatMap((provider) => [true, false].map((streamed) => ({ caller, provider, streamed }))),
);
