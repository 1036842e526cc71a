import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { anthropicChat } from './anthropic/anthropic.js';
import type { ChatDialect } from './chat.js';
import { geminiChat } from './gemini/gemini.js';
import { openAiChat } from './openai/openai.js';

/** The one place that knows them all. */
export const CHAT_DIALECTS: Readonly<Record<Dialect, ChatDialect>> = {
  openai: openAiChat,
  anthropic: anthropicChat,
  gemini: geminiChat,
};
