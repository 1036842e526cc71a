import type {
  AssistantPart,
  CacheMark,
  ChatFeature,
  ChatMessage,
  Json,
  MediaPart,
  TextPart,
  ToolResultPart,
  UserMessage,
} from '../chat.js';
import { isObject, parseJsonExactly } from '../json.js';
import { defined } from './fields.js';

/** The content of messages: https://platform.claude.com/docs/en/api/messages#body-messages */
type Block = Readonly<Record<string, unknown>>;

interface WrittenMessage {
  readonly role: 'user' | 'assistant';
  readonly content: readonly Block[];
}

/** Turns of one role that follow each other become one, for the results of one turn's calls must come in one message. */
export function writeMessages(
  messages: readonly ChatMessage[],
  unsupported: Set<ChatFeature>,
): readonly WrittenMessage[] {
  const written: { role: WrittenMessage['role']; content: Block[] }[] = [];
  for (const message of messages) {
    const blocks =
      message.role === 'user'
        ? message.content.flatMap((part) => writeUserPart(part, unsupported))
        : message.content.flatMap(writeAssistantPart);
    if (blocks.length === 0) continue;
    const last = written.at(-1);
    if (last?.role === message.role) last.content.push(...blocks);
    else written.push({ role: message.role, content: blocks });
  }
  return written.map(({ role, content }) => ({ role, content: resultsFirst(content) }));
}

/** A result that stands behind a text is an error to the vendor. */
function resultsFirst(blocks: readonly Block[]): readonly Block[] {
  const isResult = (block: Block): boolean => block['type'] === 'tool_result';
  return [...blocks.filter(isResult), ...blocks.filter((block) => !isResult(block))];
}

/** Blank texts are left out, for they say nothing and the vendor refuses them. */
export function writeTexts(parts: readonly TextPart[]): readonly Block[] {
  return parts
    .filter(({ text }) => text.trim() !== '')
    .map(({ text, cache }) => ({ type: 'text', text, ...writeCacheMark(cache) }));
}

export function writeCacheMark(cache: CacheMark | undefined): Block {
  return cache === undefined ? {} : { cache_control: { type: 'ephemeral', ttl: cache.ttl } };
}

function writeUserPart(part: UserMessage['content'][number], unsupported: Set<ChatFeature>): readonly Block[] {
  switch (part.kind) {
    case 'text':
      return writeTexts([part]);
    case 'media':
      return writeMedia(part, unsupported);
    case 'tool-result':
      return [writeToolResult(part, unsupported)];
  }
}

function writeToolResult(part: ToolResultPart, unsupported: Set<ChatFeature>): Block {
  const inner = new Set<ChatFeature>();
  const [first] = part.content;
  const content =
    part.content.length === 1 && first?.kind === 'text' && first.cache === undefined
      ? first.text
      : part.content.flatMap((item) => (item.kind === 'text' ? writeTexts([item]) : writeMedia(item, inner)));
  for (const feature of inner) unsupported.add(feature === 'media' ? 'toolResult.media' : feature);
  return defined({
    type: 'tool_result',
    tool_use_id: writeCallId(part.callId),
    content: part.content.length === 0 ? undefined : content,
    is_error: part.isError,
    ...writeCacheMark(part.cache),
  });
}

function writeAssistantPart(part: AssistantPart): readonly Block[] {
  switch (part.kind) {
    case 'text':
      return writeTexts([part]);
    // The vendor has no such part in a conversation; it is what the model said.
    case 'refusal':
      return writeTexts([{ kind: 'text', text: part.text }]);
    case 'reasoning':
      if (part.redacted !== undefined) return [{ type: 'redacted_thinking', data: part.redacted }];
      // The vendor takes back signed thoughts alone, and reads those of former turns no more than others do.
      return part.signature === undefined ? [] : [{ type: 'thinking', thinking: part.text, signature: part.signature }];
    case 'tool-call':
      return [
        {
          type: 'tool_use',
          id: writeCallId(part.id),
          name: part.name,
          input: parseArguments(part.argumentsJson),
          ...writeCacheMark(part.cache),
        },
      ];
  }
}

/** The vendor takes letters, digits, `_` and `-`; others' ids hold more. The same id is always written the same. */
function writeCallId(id: string): string {
  return id.replace(/[^a-zA-Z0-9_-]/gu, (character) => `_x${(character.codePointAt(0) ?? 0).toString(16)}_`);
}

/**
 * A model may have been cut off in the middle of its arguments. What is no object is wrapped as the vendor advises:
 * https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
 */
export function parseArguments(text: string): Json {
  if (text.trim() === '') return {};
  try {
    const input = parseJsonExactly(text);
    if (isObject(input)) return input;
  } catch {
    // Said below.
  }
  return { INVALID_JSON: text };
}

const IMAGE_TYPES = new Set(['image/jpeg', 'image/png', 'image/gif', 'image/webp']);

function writeMedia(part: MediaPart, unsupported: Set<ChatFeature>): readonly Block[] {
  if (part.detail === 'low') unsupported.add('media.detail');
  const mediaType = plainType(part);
  const cache = writeCacheMark(part.cache);
  const title = part.fileName === undefined ? {} : { title: part.fileName };
  if (part.source.kind === 'url') {
    const isDocument = mediaType === 'application/pdf';
    const isImage = mediaType === undefined || IMAGE_TYPES.has(mediaType) || mediaType === 'image/*';
    if (!isDocument && !isImage) return without(unsupported, 'media');
    if (!part.source.url.startsWith('https://')) return without(unsupported, 'media.url');
    const source = { type: 'url', url: part.source.url };
    return [isDocument ? { type: 'document', source, ...title, ...cache } : { type: 'image', source, ...cache }];
  }
  const { data } = part.source;
  if (mediaType !== undefined && IMAGE_TYPES.has(mediaType)) {
    return [{ type: 'image', source: { type: 'base64', media_type: mediaType, data }, ...cache }];
  }
  if (mediaType === 'application/pdf') {
    return [{ type: 'document', source: { type: 'base64', media_type: mediaType, data }, ...title, ...cache }];
  }
  const text = mediaType?.startsWith('text/') === true ? decodeText(data) : undefined;
  if (text === undefined) return without(unsupported, 'media');
  return [{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: text }, ...title, ...cache }];
}

function without(unsupported: Set<ChatFeature>, feature: ChatFeature): readonly Block[] {
  unsupported.add(feature);
  return [];
}

/** Without its parameters; a URL without a type is an image's unless its path says that it is a PDF's. */
function plainType({ mediaType, source }: MediaPart): string | undefined {
  const type = mediaType?.split(';')[0]?.trim().toLowerCase();
  if (type === 'image/jpg') return 'image/jpeg';
  if (type === undefined && source.kind === 'url' && /\.pdf(?:[?#]|$)/i.test(source.url)) return 'application/pdf';
  return type;
}

function decodeText(base64: string): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
}
