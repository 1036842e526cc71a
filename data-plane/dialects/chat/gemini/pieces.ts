import type { AssistantPart, ChatMessage, ReasoningPart, UserMessage } from '../chat.js';

/**
 * Turns of one role in a row as one turn: Gemini wants the roles to alternate, and its own clients keep a streamed answer
 * as a turn for each of its chunks.
 */
export function joinTurns(turns: readonly ChatMessage[]): ChatMessage[] {
  const joined: (
    | { readonly role: 'user'; readonly content: UserMessage['content'][number][] }
    | { readonly role: 'assistant'; readonly content: AssistantPart[] }
  )[] = [];
  for (const turn of turns) {
    if (turn.content.length === 0) continue;
    const last = joined.at(-1);
    if (turn.role === 'user') {
      if (last?.role === 'user') for (const part of turn.content) last.content.push(part);
      else joined.push({ role: 'user', content: [...turn.content] });
    } else if (last?.role === 'assistant') for (const part of turn.content) last.content.push(part);
    else joined.push({ role: 'assistant', content: [...turn.content] });
  }
  return joined;
}

/**
 * Puts together what streams cut to pieces, as it is found in the history of a caller that kept the pieces: text with the
 * text behind it, and a thought with its rest and the signature that follows as a part of its own. Another vendor checks a
 * signature against the whole thought.
 */
export function joinPieces(parts: readonly AssistantPart[]): AssistantPart[] {
  const joined: AssistantPart[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (last?.kind === 'text' && part.kind === 'text') {
      joined[joined.length - 1] = { ...last, text: last.text + part.text };
    } else if (
      last?.kind === 'reasoning' &&
      part.kind === 'reasoning' &&
      !isSealed(last) &&
      part.redacted === undefined
    ) {
      joined[joined.length - 1] = { ...part, text: last.text + part.text };
    } else joined.push(part);
  }
  return joined;
}

function isSealed(part: ReasoningPart): boolean {
  return part.signature !== undefined || part.redacted !== undefined;
}
