import type {
  AssistantMessage,
  AssistantPart,
  CacheMark,
  ChatMessage,
  MediaPart,
  TextPart,
  ToolCallPart,
  ToolResultPart,
  UserMessage,
} from '../chat.js';
import { isObject, stringifyExactly } from '../json.js';
import { defined, readFields, type Fields, type Refusals } from './fields.js';

/**
 * The content of messages: https://platform.claude.com/docs/en/api/messages#body-messages
 * What a provider keeps or runs on its own side (files, searches, code execution) no other provider has, and it is refused.
 */
interface Conversation {
  readonly refusals: Refusals;
  readonly system: TextPart[];
  readonly messages: ChatMessage[];
  /** By the id of the call, for its result names the id alone. */
  readonly toolNames: Map<string, string>;
}

export function readMessages(
  list: readonly unknown[],
  refusals: Refusals,
): { readonly system: readonly TextPart[]; readonly messages: readonly ChatMessage[] } {
  const conversation: Conversation = { refusals, system: [], messages: [], toolNames: new Map() };
  for (const [index, value] of list.entries()) {
    readFields({ value, path: `messages.${index}`, refusals }, (fields) => {
      readMessage(fields, conversation);
    });
  }
  return conversation;
}

function readMessage(fields: Fields, conversation: Conversation): void {
  const role = fields.required('role');
  switch (role) {
    case 'user':
      conversation.messages.push({ role, content: readUserContent(fields, conversation) });
      return;
    case 'assistant':
      conversation.messages.push({ role, content: readAssistantContent(fields, conversation) });
      return;
    // https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    case 'system':
      conversation.system.push(...readTextContent(fields, 'content'));
      return;
    default:
      fields.refusals.refuse(fields.at('role'), 'The role is one of user, assistant and system.');
  }
}

/** A text, or a list of text blocks, as instructions are given. */
export function readTextContent(fields: Fields, name: string): readonly TextPart[] {
  return readBlocks<TextPart>(fields, name, (block, type) => (type === 'text' ? readText(block) : undefined));
}

function readUserContent(fields: Fields, conversation: Conversation): UserMessage['content'] {
  return readBlocks(fields, 'content', (block, type) =>
    type === 'tool_result' ? readToolResult(block, conversation) : readGivenBlock(block, type),
  );
}

function readAssistantContent(fields: Fields, conversation: Conversation): AssistantMessage['content'] {
  return readBlocks<AssistantPart>(fields, 'content', (block, type) => {
    switch (type) {
      case 'text':
        return readText(block);
      case 'thinking': {
        const signature = block.string('signature');
        const text = block.required('thinking');
        // Empty where another vendor thought, who signs nothing.
        return { kind: 'reasoning', text, ...(signature === undefined || signature === '' ? {} : { signature }) };
      }
      case 'redacted_thinking':
        return { kind: 'reasoning', text: '', redacted: block.required('data') };
      case 'tool_use':
        return readToolUse(block, conversation);
      default:
        return undefined;
    }
  });
}

/** @param read gives undefined for a type that has no place elsewhere, or for a block that it refused or left out */
function readBlocks<Part>(
  fields: Fields,
  name: string,
  read: (block: Fields, type: string) => Part | TextPart | undefined,
): (Part | TextPart)[] {
  const content = fields.any(name);
  if (content === undefined) return [];
  if (typeof content === 'string') return [{ kind: 'text', text: content }];
  if (!Array.isArray(content)) {
    fields.refusals.refuse(fields.at(name), 'A string or a list of blocks is needed here.');
    return [];
  }
  const parts: (Part | TextPart)[] = [];
  for (const [index, value] of (content as readonly unknown[]).entries()) {
    const part = readFields({ value, path: `${fields.at(name)}.${index}`, refusals: fields.refusals }, (block) => {
      const type = block.required('type');
      const found = read(block, type);
      if (found === undefined) {
        block.refusals.leaveOut(block.at('type'), `Blocks of the type ${type} cannot be translated here.`);
      }
      return found;
    });
    if (part !== undefined) parts.push(part);
  }
  return parts;
}

function readGivenBlock(block: Fields, type: string): TextPart | MediaPart | undefined {
  switch (type) {
    case 'text':
      return readText(block);
    case 'image':
      return readImage(block);
    case 'document':
      return readDocument(block);
    default:
      return undefined;
  }
}

function readText(block: Fields): TextPart {
  block.ignore('citations', isEmptyList, 'Citations cannot be translated.');
  return { kind: 'text', text: block.required('text'), ...readCacheMark(block) };
}

function readImage(block: Fields): MediaPart | undefined {
  block.ignore(
    'transformations',
    (value) => isObject(value) && (value['oversized_image'] ?? 'downsize') === 'downsize',
    'Only the default of the transformations can be translated.',
  );
  const cache = readCacheMark(block);
  return block.object('source', (source): MediaPart | undefined => {
    const type = source.required('type');
    if (type === 'base64') {
      const mediaType = source.string('media_type');
      return { kind: 'media', mediaType, source: { kind: 'base64', data: source.required('data') }, ...cache };
    }
    if (type === 'url') {
      return {
        kind: 'media',
        mediaType: undefined,
        source: { kind: 'url', url: source.required('url') },
        ...cache,
      };
    }
    source.refusals.leaveOut(source.at('type'), 'The source of an image has to be base64 or url.');
    return undefined;
  });
}

function readDocument(block: Fields): MediaPart | undefined {
  block.ignore('citations', (value) => isObject(value) && value['enabled'] !== true, 'Citations cannot be translated.');
  block.ignore('context', (value) => value === '', 'The context of a document cannot be translated; say it as text.');
  const about = defined({ fileName: block.string('title'), ...readCacheMark(block) });
  return block.object('source', (source): MediaPart | undefined => {
    const type = source.required('type');
    const pdf = { kind: 'media', mediaType: 'application/pdf' } as const;
    switch (type) {
      case 'base64':
        source.expect('media_type', (value) => value === pdf.mediaType, 'The media type has to be application/pdf.');
        return { ...pdf, source: { kind: 'base64', data: source.required('data') }, ...about };
      case 'url':
        return { ...pdf, source: { kind: 'url', url: source.required('url') }, ...about };
      case 'text': {
        source.expect('media_type', (value) => value === 'text/plain', 'The media type has to be text/plain.');
        const data = Buffer.from(source.required('data')).toString('base64');
        return { kind: 'media', mediaType: 'text/plain', source: { kind: 'base64', data }, ...about };
      }
      default:
        source.refusals.leaveOut(source.at('type'), 'The source of a document has to be base64, url or text.');
        return undefined;
    }
  });
}

function readToolResult(block: Fields, conversation: Conversation): ToolResultPart | undefined {
  const callId = block.required('tool_use_id');
  const toolName = conversation.toolNames.get(callId);
  if (toolName === undefined) {
    block.refusals.refuse(block.at('tool_use_id'), 'No tool_use block before it has this id.');
    return undefined;
  }
  block.ignore('toolset_name', () => false, 'Toolsets of the provider cannot be translated.');
  const isError = block.boolean('is_error');
  const content = readBlocks(block, 'content', readGivenBlock);
  return {
    kind: 'tool-result',
    callId,
    toolName,
    content,
    ...defined({ isError, ...readCacheMark(block) }),
  };
}

function readToolUse(block: Fields, conversation: Conversation): ToolCallPart {
  const id = block.required('id');
  const name = block.required('name');
  conversation.toolNames.set(id, name);
  const input = block.any('input') ?? {};
  if (!isObject(input)) block.refusals.refuse(block.at('input'), 'An object is needed here.');
  const isDirect = (value: unknown): boolean => isObject(value) && value['type'] === 'direct';
  block.ignore('caller', isDirect, 'Calls by a tool of the provider cannot be translated.');
  block.ignore('toolset_name', () => false, 'Toolsets of the provider cannot be translated.');
  return {
    kind: 'tool-call',
    id,
    name,
    argumentsJson: stringifyExactly(input),
    // Ours: see `writeToolUse` of write-answer.ts.
    ...defined({ signature: block.string('signature'), ...readCacheMark(block) }),
  };
}

/** https://platform.claude.com/docs/en/build-with-claude/prompt-caching; five minutes where no time is given. */
export function readCacheMark(fields: Fields): { readonly cache?: CacheMark } {
  const cache = fields.object('cache_control', (control): CacheMark | undefined => {
    control.expect('type', (value) => value === 'ephemeral', 'The type has to be ephemeral.');
    const ttl = control.string('ttl') ?? '5m';
    if (ttl === '5m' || ttl === '1h') return { ttl };
    control.refusals.refuse(control.at('ttl'), 'The time has to be 5m or 1h.');
    return undefined;
  });
  return cache === undefined ? {} : { cache };
}

/** @returns whether a value is a list of nothing */
export function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}
