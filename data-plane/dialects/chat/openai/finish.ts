import type { FinishReason } from '../chat.js';

/**
 * OpenAI ends a forced tool call and a refusal with `stop`; the other dialects name both, so what was said decides.
 * Words of others: `model_length` and `error` (Mistral), `insufficient_system_resource` (DeepSeek): the answer was cut short.
 */
export function readFinish(
  reason: unknown,
  said: { readonly hasCalls: boolean; readonly hasRefusal: boolean },
): FinishReason {
  switch (reason) {
    case 'length':
    case 'model_length':
    case 'error':
    case 'insufficient_system_resource':
      return 'length';
    case 'content_filter':
      return 'content-filter';
    case 'tool_calls':
    case 'function_call':
      return 'tool-calls';
    default:
      if (said.hasCalls) return 'tool-calls';
      return said.hasRefusal ? 'refusal' : 'stop';
  }
}

/** A refusal that came as a `refusal` ends with `stop`; one that came as text could not be told from an answer that way. */
export function writeFinish(reason: FinishReason, hasRefusal: boolean): string {
  switch (reason) {
    case 'stop':
      return 'stop';
    case 'length':
      return 'length';
    case 'tool-calls':
      return 'tool_calls';
    case 'content-filter':
      return 'content_filter';
    case 'refusal':
      return hasRefusal ? 'stop' : 'content_filter';
  }
}
