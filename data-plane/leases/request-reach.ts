/** Top-level members of a request's body, as they were parsed. */
export type Fields = Readonly<Record<string, unknown>>;

/** Members by which a message names what is not text, or lies elsewhere; in any dialect. */
const MEDIA_MEMBERS: ReadonlySet<string> = new Set([
  ...['image_url', 'input_audio', 'video_url', 'audio', 'file', 'file_id', 'file_url', 'file_data', 'image_file'],
  ...['source', 'inlineData', 'inline_data', 'fileData', 'item_reference', 'container_id'],
]);
/** Members of a request that bring in what was said, or written, before. */
const EARLIER = ['previous_response_id', 'conversation', 'prompt_id', 'cachedContent', 'cached_content'] as const;
const MESSAGES = ['messages', 'input', 'contents', 'system', 'systemInstruction', 'system_instruction'] as const;

/**
 * Whether a prompt can have more tokens than its request has bytes: media are counted by their size in pixels or seconds, and
 * what is only named may be of any length.
 */
export function bringsMore(fields: Fields): boolean {
  if (EARLIER.some((name) => isPresent(fields[name]))) return true;
  // A stored prompt is an object; a text to go on from is not.
  if (isObject(fields['prompt']) && !Array.isArray(fields['prompt'])) return true;
  return MESSAGES.some((name) => namesMedia(fields[name]));
}

/** By hand and without recursion: the depth of a caller's JSON is its own choice. */
function namesMedia(value: unknown): boolean {
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (Array.isArray(next)) {
      for (const item of next) if (isObject(item)) open.push(item);
    } else if (isObject(next)) {
      if (next['type'] === 'item_reference') return true;
      for (const [name, member] of Object.entries(next)) {
        if (MEDIA_MEMBERS.has(name)) return true;
        if (isObject(member)) open.push(member);
      }
    }
  }
  return false;
}

/** As many answers as are made of one prompt, and charged. At most what any vendor takes. */
export function choicesOf(fields: Fields): number {
  const ofGemini = [fields['generationConfig'], fields['generation_config']].flatMap((config) =>
    isObject(config) ? [config['candidateCount'], config['candidate_count']] : [],
  );
  const counts = [fields['n'], fields['best_of'], ...ofGemini].filter(
    (count): count is number => Number.isSafeInteger(count) && Number(count) > 0,
  );
  return Math.min(Math.max(1, ...counts), MAX_CHOICES);
}

const MAX_CHOICES = 128;

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}
