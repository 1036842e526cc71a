import { parseJson } from '@pingtoken/shared/wire';
import type { AssistantPart, ChatEvent, ChatStreamReader } from '../chat.js';
import { parseJsonExactly } from '../json.js';
import { readStreamError } from './errors.js';
import { readFinishReason } from './finish-reasons.js';
import { readLogprobs } from './logprobs.js';
import { makeCallId, parseModelPart, readModelPart } from './parts.js';
import { isAnswer, readCandidates, readName, type Candidate } from './read-answer.js';
import { createUsageTracker } from './usage.js';

/** What is known of one candidate so far. */
interface Choice {
  calls: number;
  /** Whether a signature that comes now belongs to a thought. */
  isInThought: boolean;
  hasFinished: boolean;
}

/**
 * Reads the answers of `streamGenerateContent?alt=sse`: each event is a `GenerateContentResponse` with the next parts of its
 * candidates, and the last has their `finishReason`. https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
 */
export function createStreamReader(): ChatStreamReader {
  const choices = new Map<number, Choice>();
  const usage = createUsageTracker();
  let answerId: string | undefined;
  let hasFailed = false;

  function choiceOf(index: number): Choice {
    const known = choices.get(index);
    if (known !== undefined) return known;
    const choice = { calls: 0, isInThought: false, hasFinished: false };
    choices.set(index, choice);
    return choice;
  }

  function readCandidate({ index, parts, finishReason, logprobsResult }: Candidate, events: ChatEvent[]): void {
    const choice = choiceOf(index);
    if (choice.hasFinished) return;
    const logprobs = logprobsResult === undefined ? undefined : readLogprobs(logprobsResult);
    if (logprobs !== undefined) events.push({ kind: 'text', choice: index, text: '', logprobs });
    for (const value of parts) {
      const part = parseModelPart(value);
      if (part === undefined) continue;
      const callId = part.functionCall === undefined ? '' : makeCallId(answerId ?? '', index, choice.calls);
      for (const piece of readModelPart(part, callId)) pushPiece(piece, index, choice, events);
    }
    if (finishReason === undefined) return;
    choice.hasFinished = true;
    events.push({ kind: 'finish', choice: index, reason: readFinishReason(finishReason, choice.calls > 0) });
  }

  return {
    push({ data }) {
      const chunk = hasFailed ? undefined : parse(data);
      const error = readStreamError(chunk);
      if (error !== undefined) {
        hasFailed = true;
        return [{ kind: 'error', error }];
      }
      if (!isAnswer(chunk)) return [];
      const events: ChatEvent[] = [];
      if (answerId === undefined) {
        answerId = readName(chunk['responseId']);
        events.push({ kind: 'start', id: answerId, model: readName(chunk['modelVersion']) });
      }
      for (const candidate of readCandidates(chunk)) readCandidate(candidate, events);
      // A prompt that Google blocked has no candidates, and no event after the one that says so.
      if (isBlocked(chunk) && choices.size === 0) readCandidate(BLOCKED, events);
      const total = usage.add(chunk);
      if (total !== undefined) {
        events.push({ kind: 'usage', usage: total, ...(usage.countsPromptOnly() && { ofPromptOnly: true }) });
      }
      return events;
    },
    end: () => !hasFailed && choices.size > 0 && [...choices.values()].every((choice) => choice.hasFinished),
  };
}

const BLOCKED: Candidate = { index: 0, parts: [], finishReason: 'SAFETY', logprobsResult: undefined };

function isBlocked({ promptFeedback }: Readonly<Record<string, unknown>>): boolean {
  return typeof promptFeedback === 'object' && promptFeedback !== null && 'blockReason' in promptFeedback;
}

function pushPiece(piece: AssistantPart, choice: number, state: Choice, events: ChatEvent[]): void {
  switch (piece.kind) {
    case 'text':
    case 'refusal':
      state.isInThought = false;
      events.push({ kind: piece.kind, choice, text: piece.text });
      return;
    case 'reasoning':
      if (piece.redacted !== undefined) events.push({ kind: 'reasoning-redacted', choice, data: piece.redacted });
      // A signature of its own begins a thought without words, unless it ends one.
      else if (piece.text !== '' || !state.isInThought) events.push({ kind: 'reasoning', choice, text: piece.text });
      if (piece.signature !== undefined) {
        events.push({ kind: 'reasoning-signature', choice, signature: piece.signature });
      }
      state.isInThought = piece.redacted === undefined && piece.signature === undefined;
      return;
    case 'tool-call': {
      const { id, name, signature, argumentsJson } = piece;
      const index = state.calls++;
      state.isInThought = false;
      events.push({ kind: 'tool-call', choice, index, id, name, ...(signature !== undefined && { signature }) });
      events.push({ kind: 'tool-arguments', choice, index, json: argumentsJson });
    }
  }
}

/** Only the arguments of calls can hold numbers that a double would alter, and to keep them takes longer. */
function parse(data: string): unknown {
  try {
    return data.includes('"functionCall"') ? parseJsonExactly(data) : parseJson(data);
  } catch {
    return undefined;
  }
}
