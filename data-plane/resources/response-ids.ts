import type { AccountOf } from './accounts.js';
import type { IdSealer } from './sealed-id.js';

/**
 * Seals the ids of responses in an answer as it passes, whole body or stream: the values of the members that hold one, and
 * no other byte. A quote that stands in a text is escaped, so what looks like such a member outside of a text is one.
 * https://platform.openai.com/docs/api-reference/responses/object
 */
export interface ResponseIdSealer {
  push(chunk: Buffer): Buffer;
  /** @returns what was held back, because an id might have gone on */
  end(): Buffer;
}

const ID = /"(resp_[A-Za-z0-9_-]{1,500})"/g;
/** The member that a value belongs to. */
const MEMBER_BEFORE = /(?:^|[^\\])"(?:id|previous_response_id|response_id)"\s*:\s*$/;
/** What may become an id with the next bytes. */
const UNFINISHED = /"(?:r(?:e(?:s(?:p(?:_[A-Za-z0-9_-]{0,500})?)?)?)?)?$/;
/** Its last quote is no beginning. */
const FINISHED = /"resp_[A-Za-z0-9_-]{1,500}"$/;
const MAX_TAIL_CHARACTERS = 512;
const MARK = Buffer.from('resp_');
const QUOTE = 0x22;
/** Longer than any of the members with the blanks about its colon. */
const CONTEXT_CHARACTERS = 64;

export function createResponseIdSealer(sealer: IdSealer, account: AccountOf): ResponseIdSealer {
  let held = '';
  let context = '';
  // Of a thing that stands for its account nothing else goes in: one response has one id.
  const { providerId, credentialId, model } = account;
  const seal = (rawId: string): string => sealer.seal({ kind: 'response', providerId, credentialId, model, rawId });

  function take(text: string): Buffer {
    const seen = context + text;
    const shift = context.length;
    context = seen.slice(-CONTEXT_CHARACTERS);
    const edited = text.replace(ID, (whole, rawId: string, at: number) => {
      const before = seen.slice(Math.max(0, shift + at - CONTEXT_CHARACTERS), shift + at);
      return MEMBER_BEFORE.test(before) ? `"${seal(rawId)}"` : whole;
    });
    return Buffer.from(edited, 'latin1');
  }

  return {
    push: (chunk) => {
      // Most pieces of a stream hold none, nor its beginning.
      if (held === '' && !chunk.includes(MARK) && chunk.lastIndexOf(QUOTE) < chunk.length - MARK.length) {
        context = (context + chunk.toString('latin1', Math.max(0, chunk.length - CONTEXT_CHARACTERS))).slice(
          -CONTEXT_CHARACTERS,
        );
        return chunk;
      }
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
