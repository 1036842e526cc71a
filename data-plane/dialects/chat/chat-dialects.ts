import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { anthropicChat } from './anthropic/anthropic.js';
import type { ChatDialect, ChatFeature, FieldFault } from './chat.js';
import { geminiChat } from './gemini/gemini.js';
import { openAiChat } from './openai/openai.js';

/** The one place that knows them all. */
export const CHAT_DIALECTS: Readonly<Record<Dialect, ChatDialect>> = {
  openai: openAiChat,
  anthropic: anthropicChat,
  gemini: geminiChat,
};

/** What the caller is told of a feature that the provider's dialect has no place for. */
export function faultOf(feature: ChatFeature, dialect: Dialect): FieldFault {
  const field = CHAT_DIALECTS[dialect].fieldNames[feature];
  return { field, message: `The field "${field}" cannot be used with this model.` };
}
