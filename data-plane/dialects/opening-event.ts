import { parseJson } from '@pingtoken/shared/wire';

/** https://platform.claude.com/docs/en/build-with-claude/streaming, https://platform.openai.com/docs/api-reference/responses-streaming */
const OPENING_TYPES: ReadonlySet<unknown> = new Set([
  'message_start',
  'ping',
  'response.created',
  'response.in_progress',
  'response.queued',
]);

/**
 * Whether an event of a stream, in any dialect, says no more than that an answer begins: by its type, or as the first chunk of
 * OpenAI's chat, which names the role (and on Azure what was found in the prompt). What is not known is no opening.
 * @param data of the event
 */
export function isOpeningEvent(data: string): boolean {
  let event: unknown;
  try {
    event = parseJson(data);
  } catch {
    return false;
  }
  if (typeof event !== 'object' || event === null) return false;
  if ('error' in event && !isEmpty(event.error)) return false;
  if ('type' in event && OPENING_TYPES.has(event.type)) return true;
  if (!('choices' in event) || !Array.isArray(event.choices) || ('usage' in event && !isEmpty(event.usage)))
    return false;
  return event.choices.every(saysNothing);
}

/** Members of a choice that are no part of what it says. */
const BESIDE: ReadonlySet<string> = new Set(['index', 'content_filter_results', 'content_filter_offsets']);

function saysNothing(choice: unknown): boolean {
  if (typeof choice !== 'object' || choice === null) return false;
  return Object.entries(choice).every(([name, value]: [string, unknown]) => {
    if (BESIDE.has(name) || isEmpty(value)) return true;
    if (name !== 'delta' || typeof value !== 'object' || value === null) return false;
    return Object.entries(value).every(([part, said]) => part === 'role' || isEmpty(said));
  });
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}
