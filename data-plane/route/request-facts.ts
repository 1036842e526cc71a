import type { IncomingMessage } from 'node:http';
import type { Capability, Dialect } from '@pingtoken/shared/config-snapshot';
import type { RequestFacts } from '@pingtoken/shared/route-candidates';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { parseJson } from '@pingtoken/shared/wire';
import { answerCapOf, leavesAnswerUncapped } from '../dialects/answer-cap.js';
import type { ChatRequest, MediaPart } from '../dialects/chat/chat.js';
import { CHAT_DIALECTS } from '../dialects/chat/chat-dialects.js';

/** A call as far as it has to be known for its request to be looked into. */
export interface LookedInto {
  readonly operation: UsageEvent['operation'];
  readonly admittedAt: number;
  readonly dialect: Dialect;
  readonly model: string;
  readonly streamed: boolean;
  readonly request: Pick<IncomingMessage, 'headers'>;
  readonly body: Buffer;
}

/** Names the session that a call belongs to; the calls of one session go to one target where a route is sticky. */
const SESSION_HEADER = 'x-pingtoken-session';

const MAX_KEY_CHARACTERS = 512;

/**
 * What routing may know of a request. Nothing of the body is read before a route asks for it: most do not, and then a call
 * pays for one object.
 */
export class RequestLook implements RequestFacts {
  /** Where this data plane stands. */
  region: string | null = null;
  #fields: Fields | undefined;
  #needs: readonly Capability[] | undefined;

  constructor(private readonly call: LookedInto) {}

  get operation(): UsageEvent['operation'] {
    return this.call.operation;
  }

  get bodyBytes(): number {
    return this.call.body.length;
  }

  get at(): number {
    return this.call.admittedAt;
  }

  needs(): readonly Capability[] {
    this.#needs ??= this.call.operation === 'chat-completions' ? needsOf(this.#readChat()) : [];
    return this.#needs;
  }

  answerCap(): number | undefined {
    return answerCapOf(this.#read(), this.call);
  }

  /** Whether a cap could be put in without changing a word of the caller's. */
  isUncapped(): boolean {
    return leavesAnswerUncapped(this.#read(), this.call);
  }

  stickyKey(): string | undefined {
    const session = this.call.request.headers[SESSION_HEADER];
    if (isKey(session)) return `session ${session}`;
    const { prompt_cache_key, user, metadata } = this.#read();
    if (isKey(prompt_cache_key)) return `cache ${prompt_cache_key}`;
    const person = isKey(user) ? user : isObject(metadata) ? metadata['user_id'] : undefined;
    return isKey(person) ? `user ${person}` : undefined;
  }

  /** Top-level members of the body; none where it is no JSON object. */
  fields(): Fields {
    return this.#read();
  }

  #read(): Fields {
    this.#fields ??= readFields(this.call.body);
    return this.#fields;
  }

  #readChat(): ChatRequest | undefined {
    const { dialect, model, streamed } = this.call;
    try {
      const read = CHAT_DIALECTS[dialect].readRequest(this.#read(), { model, streamed });
      return 'unreadable' in read ? undefined : read;
    } catch {
      // What cannot be read is its provider's to refuse.
      return undefined;
    }
  }
}

type Fields = Readonly<Record<string, unknown>>;

function readFields(body: Buffer): Fields {
  try {
    const fields = parseJson(body.toString());
    return isObject(fields) ? fields : {};
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isKey(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_KEY_CHARACTERS;
}

function needsOf(request: ChatRequest | undefined): readonly Capability[] {
  if (request === undefined) return [];
  const needs = new Set<Capability>();
  if (request.tools.length > 0) needs.add('tools');
  if (request.responseFormat?.kind === 'json-schema') needs.add('json-schema');
  if (request.reasoning !== undefined && request.reasoning.effort !== 'none') needs.add('reasoning');
  for (const { content } of request.messages) {
    for (const part of content) {
      if (part.kind === 'media') needs.add(needOf(part));
      if (part.kind !== 'tool-result') continue;
      for (const inner of part.content) if (inner.kind === 'media') needs.add(needOf(inner));
    }
  }
  return [...needs];
}

/** A URL without a type is a picture's: no dialect takes anything else that way. */
function needOf({ mediaType = 'image/*' }: MediaPart): Capability {
  if (mediaType === 'application/pdf') return 'pdf';
  return mediaType.startsWith('audio/') ? 'audio-input' : 'vision';
}
