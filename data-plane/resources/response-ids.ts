import type { AccountOf } from './accounts.js';
import type { IdSealer } from './sealed-id.js';

/**
 * Seals the ids of responses, of their items and of spoken answers in an answer as it passes, whole body or stream: the values
 * of the members that hold one, and no other byte. A quote that stands in a text is escaped, so what looks like such a member
 * outside of a text is one.
 * https://platform.openai.com/docs/api-reference/responses/object
 */
export interface ResponseIdSealer {
  push(chunk: Buffer): Buffer;
  /** @returns what was held back, because an id might have gone on */
  end(): Buffer;
}

export interface ResponseIdSealerOptions {
  /** Called with the provider's id of each response, not of those that it names, before the piece that names it goes on. */
  readonly onResponse?: (rawId: string) => void;
}

/**
 * What ids of items begin with, by the vendor's types of items; those of conversations, containers and the like are no items.
 * https://platform.openai.com/docs/api-reference/responses/list
 */
const ITEM_PREFIXES = [
  ...['msg', 'rs', 'fc', 'fco', 'ctc', 'ctco', 'ws', 'fs', 'ci', 'ig', 'cu', 'cuo', 'mcp', 'mcpl', 'mcpr', 'mcpa'],
  ...['lsh', 'lsho', 'sh', 'sho', 'ap', 'apo', 'cmp', 'tsc', 'tso', 'item'],
];
const PREFIX = `(?:resp|audio|${ITEM_PREFIXES.join('|')})_`;

const ID = new RegExp(`"(${PREFIX}[A-Za-z0-9_-]{1,500})"`, 'g');
/** The member that a value belongs to. */
const MEMBER_BEFORE =
  /(?:^|[^\\])"(id|item_id|previous_response_id|response_id|approval_request_id|first_id|last_id)"\s*:\s*$/;
/** What may become an id with the next bytes. */
const UNFINISHED = /"(?:[a-z]{0,5}|[a-z]{2,5}_[A-Za-z0-9_-]{0,500})$/;
/** Its last quote is no beginning. */
const FINISHED = new RegExp(`"${PREFIX}[A-Za-z0-9_-]{1,500}"$`);
const MAX_TAIL_CHARACTERS = 520;
/** Longer than any of the members with the blanks about its colon. */
const CONTEXT_CHARACTERS = 64;

export function createResponseIdSealer(
  sealer: IdSealer,
  account: AccountOf,
  { onResponse }: ResponseIdSealerOptions = {},
): ResponseIdSealer {
  let held = '';
  let context = '';
  // Every event of a stream names its item.
  const sealed = new Map<string, string>();
  // Of a thing that stands for its account nothing else goes in: one response has one id.
  const { providerId, credentialId, model } = account;

  function seal(rawId: string, member: string): string {
    const kind = rawId.startsWith('resp_') ? 'response' : rawId.startsWith('audio_') ? 'audio' : 'item';
    if (kind === 'response' && member === 'id') onResponse?.(rawId);
    const known = sealed.get(rawId) ?? sealer.seal({ kind, providerId, credentialId, model, rawId });
    sealed.set(rawId, known);
    return known;
  }

  function take(text: string): Buffer {
    const seen = context + text;
    const shift = context.length;
    context = seen.slice(-CONTEXT_CHARACTERS);
    const edited = text.replace(ID, (whole, rawId: string, at: number) => {
      const before = seen.slice(Math.max(0, shift + at - CONTEXT_CHARACTERS), shift + at);
      const [, member] = MEMBER_BEFORE.exec(before) ?? [];
      return member === undefined ? whole : `"${seal(rawId, member)}"`;
    });
    return Buffer.from(edited, 'latin1');
  }

  return {
    push: (chunk) => {
      const text = held + chunk.toString('latin1');
      const end = unfinishedAt(text);
      held = text.slice(end);
      return take(text.slice(0, end));
    },
    end: () => take(held),
  };
}

/** @returns where the text stops being certain */
function unfinishedAt(text: string): number {
  const tail = text.slice(-MAX_TAIL_CHARACTERS);
  const at = FINISHED.test(tail) ? undefined : UNFINISHED.exec(tail)?.index;
  return at === undefined ? text.length : text.length - tail.length + at;
}
