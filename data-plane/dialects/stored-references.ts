import { parseJson } from '@pingtoken/shared/wire';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { findObjects, findValues, type FoundMember, type FoundObject } from './json-objects.js';
import type { Range } from './json-scanner.js';
import { KeyMarks } from './key-marks.js';

/** What a provider keeps for the account that a credential is of. */
export type StoredKind =
  | 'file'
  | 'response'
  | 'conversation'
  | 'item'
  | 'prompt'
  | 'container'
  | 'vector-store'
  | 'skill'
  | 'voice'
  | 'audio'
  | 'cached-content'
  | 'search-store';

/** A place in a body that names something which the provider keeps. */
export interface StoredReference {
  readonly kind: StoredKind;
  /** The caller's word for it: `previous_response_id`. */
  readonly field: string;
  /** Undefined where it is not a text. */
  readonly id: string | undefined;
  /** Of the JSON value, quotes included. */
  readonly range: Range;
  /** The thing is given too: the id is not needed, and may be left out. */
  readonly isGiven?: true;
}

/**
 * How a member names something: by its `value`, or the id of the object that it is; by such an `id` alone; by being there at
 * all (`presence`); by a value that is an address in the vendor's own storage (`uri`).
 */
interface Rule {
  readonly kind: StoredKind;
  readonly by: 'value' | 'id' | 'presence' | 'uri';
  /** A member of the body itself, and of nothing in it. */
  readonly isTopLevel?: true;
}

interface Rules {
  /** By the key in lower case. */
  readonly members: Readonly<Record<string, Rule>>;
  /** Keys of what the caller's own program has given shape: schemas, arguments. */
  readonly skips: ReadonlySet<string>;
  readonly hasItems?: true;
  readonly marks: KeyMarks;
}

const file: Rule = { kind: 'file', by: 'value' };
const OPENAI_MEMBERS = {
  file_id: file,
  file_ids: file,
  voice: { kind: 'voice', by: 'id' },
} as const satisfies Rules['members'];
const OPENAI_SKIPS = ['parameters', 'schema', 'input_schema', 'metadata', 'headers', 'logit_bias'];

/** https://platform.openai.com/docs/api-reference/chat/create */
const CHAT = rulesOf({ ...OPENAI_MEMBERS, audio: { kind: 'audio', by: 'id' } }, OPENAI_SKIPS);
const MEDIA = rulesOf(OPENAI_MEMBERS, []);

/** https://platform.openai.com/docs/api-reference/responses/create */
const RESPONSES: Rules = {
  ...rulesOf(
    {
      ...OPENAI_MEMBERS,
      previous_response_id: { kind: 'response', by: 'value', isTopLevel: true },
      conversation: { kind: 'conversation', by: 'value', isTopLevel: true },
      prompt: { kind: 'prompt', by: 'value', isTopLevel: true },
      container: { kind: 'container', by: 'value' },
      container_id: { kind: 'container', by: 'value' },
      vector_store_id: { kind: 'vector-store', by: 'value' },
      vector_store_ids: { kind: 'vector-store', by: 'value' },
      skill_id: { kind: 'skill', by: 'value' },
    },
    OPENAI_SKIPS,
    ['id'],
  ),
  hasItems: true,
};

/** https://platform.claude.com/docs/en/api/messages */
const MESSAGES = rulesOf(
  {
    file_id: file,
    container: { kind: 'container', by: 'value' },
    container_id: { kind: 'container', by: 'value' },
    skill_id: { kind: 'skill', by: 'value' },
  },
  ['input', 'input_schema', 'schema', 'metadata'],
);

/** Of the body, or of the request in it whose tokens are to be counted. */
const cachedContent: Rule = { kind: 'cached-content', by: 'value' };
const fileUri: Rule = { kind: 'file', by: 'uri' };
const searchStore: Rule = { kind: 'search-store', by: 'presence' };

/** Google reads a field in both spellings. https://ai.google.dev/api/generate-content, https://ai.google.dev/api/caching */
const CONTENT = rulesOf(
  {
    cachedcontent: cachedContent,
    cached_content: cachedContent,
    fileuri: fileUri,
    file_uri: fileUri,
    filesearchstorenames: searchStore,
    file_search_store_names: searchStore,
    vertexaisearch: searchStore,
    vertex_ai_search: searchStore,
    vertexragstore: searchStore,
    vertex_rag_store: searchStore,
  },
  [
    ...['args', 'response', 'labels', 'parameters', 'parametersJsonSchema', 'parameters_json_schema'],
    ...['responseSchema', 'response_schema', 'responseJsonSchema', 'response_json_schema', '_responseJsonSchema'],
  ],
);

function rulesOf(members: Rules['members'], skips: readonly string[], marks: readonly string[] = []): Rules {
  return { members, skips: new Set(skips), marks: new KeyMarks([...Object.keys(members), ...marks]) };
}

const OPENAI: Readonly<Partial<Record<UsageEvent['operation'], Rules>>> = {
  'chat-completions': CHAT,
  responses: RESPONSES,
  images: MEDIA,
  speech: MEDIA,
};

const NONE: readonly StoredReference[] = Object.freeze([]);

/**
 * Finds what a body says of things that the provider keeps. Many tenants share one of the operator's accounts there, and the
 * provider would give any of them what another one left.
 * @param bytes valid JSON
 */
export function findStoredReferences(
  dialect: Dialect,
  operation: UsageEvent['operation'],
  bytes: Buffer,
): readonly StoredReference[] {
  const rules = { openai: OPENAI[operation], anthropic: MESSAGES, gemini: CONTENT }[dialect];
  if (rules?.marks.mayBeIn(bytes) !== true) return NONE;
  return findObjects(bytes, (key) => rules.skips.has(key)).flatMap((object) => [
    ...object.members.flatMap((member) => referencesOf(bytes, object, member, rules)),
    ...(rules.hasItems === true ? itemOf(bytes, object) : []),
  ]);
}

function referencesOf(
  bytes: Buffer,
  { isBody }: FoundObject,
  { key, range }: FoundMember,
  { members }: Rules,
): readonly StoredReference[] {
  // As readers that take a key in any case fold it.
  const folded = key.toUpperCase().toLowerCase();
  const rule = Object.hasOwn(members, folded) ? members[folded] : undefined;
  if (rule === undefined || (rule.isTopLevel === true && !isBody)) return NONE;
  const { kind, by } = rule;
  return findValues(bytes, range).flatMap((value): readonly StoredReference[] => {
    const read = readValue(bytes, value);
    if (read === null) return NONE;
    if (typeof read === 'object' && by !== 'presence')
      return idsOf(bytes, value).map((id) => ({ kind, field: key, ...id }));
    if (by === 'id' || (by === 'uri' && !isOwnStorage(read))) return NONE;
    return [{ kind, field: key, id: typeof read === 'string' ? read : undefined, range: value }];
  });
}

/** The ids that an object has of itself. */
function idsOf(bytes: Buffer, range: Range): readonly Pick<StoredReference, 'id' | 'range'>[] {
  const [object] = findObjects(bytes.subarray(range.start, range.end), () => true);
  return (object?.members ?? [])
    .filter(({ key }) => key.toLowerCase() === 'id')
    .map(({ range: { start, end } }) => ({ start: range.start + start, end: range.start + end }))
    .filter((value) => readValue(bytes, value) !== null)
    .map((value) => {
      const id = readValue(bytes, value);
      return { id: typeof id === 'string' ? id : undefined, range: value };
    });
}

/**
 * Items of an earlier response: those that are named and not given are references, also those that leave their type out, and
 * pictures that are to be changed. What the model thought, and what tools of the provider's have done, is given in part only:
 * the provider looks for the rest by its id. A message, a call of the caller's own tools and its result are given whole.
 */
function itemOf(bytes: Buffer, { members, parent }: FoundObject): readonly StoredReference[] {
  if (parent !== 'input') return NONE;
  const types = members.filter(({ key }) => key === 'type').map(({ range }) => readValue(bytes, range));
  const has = (...keys: readonly string[]): boolean => members.some(({ key }) => keys.includes(key));
  const isReference =
    types.includes('item_reference') ||
    (types.every((type) => type === null) && !has('role', 'content')) ||
    (types.includes('image_generation_call') && !has('result'));
  const isGiven = types.every((type) => type === null || GIVEN_WHOLE.has(type));
  return members.flatMap(({ key, range }): readonly StoredReference[] => {
    const id = key === 'id' ? readValue(bytes, range) : null;
    if (id === null) return NONE;
    // What is no id of the vendor's form nobody looks for there.
    if (!isReference && (typeof id !== 'string' || !VENDOR_ID.test(id))) return NONE;
    const item = { kind: 'item', field: 'id', id: typeof id === 'string' ? id : undefined, range } as const;
    return [!isReference && isGiven ? { ...item, isGiven } : item];
  });
}

const GIVEN_WHOLE: ReadonlySet<unknown> = new Set([
  ...['message', 'function_call', 'function_call_output', 'custom_tool_call', 'custom_tool_call_output'],
  // With its picture; without, it is a reference.
  'image_generation_call',
]);
const VENDOR_ID = /^[a-z]{2,5}_/;

function readValue(bytes: Buffer, { start, end }: Range): unknown {
  return parseJson(bytes.toString('utf8', start, end));
}

/** Addresses that only our own account may read; any other is the public's, or the caller's to give. */
function isOwnStorage(uri: unknown): boolean {
  if (typeof uri !== 'string') return true;
  if (!URL.canParse(uri)) return true;
  const { protocol, hostname } = new URL(uri);
  if (protocol !== 'https:' && protocol !== 'http:') return true;
  return OWN_HOSTS.test(hostname.replace(/\.$/, ''));
}

/** https://ai.google.dev/api/files: `https://generativelanguage.googleapis.com/v1beta/files/…` */
const OWN_HOSTS = /(?:^|[.-])(?:generativelanguage|aiplatform)\.googleapis\.com$/;
