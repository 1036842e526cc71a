import type { Faults } from '../directives.js';
import type { Chunk } from '../payload.js';
import { NO_TOKENS, type TokenCount } from '../tokens.js';
import { callInput, partText, type AnswerPart, type ChatAnswer } from './answer.js';

interface Identity {
  readonly id: string;
  readonly model: string;
}

/** Gemini's usage object: what was thought is not part of `candidatesTokenCount`, and zeros are left out as it does. */
function geminiUsage(tokens: TokenCount, faults: Faults): object | undefined {
  if (faults.usage === 'none') return undefined;
  const shown = faults.usage === 'zero' ? NO_TOKENS : tokens;
  return {
    promptTokenCount: shown.prompt,
    candidatesTokenCount: shown.completion - shown.reasoning,
    totalTokenCount: shown.prompt + shown.completion,
    promptTokensDetails: [{ modality: 'TEXT', tokenCount: shown.prompt }],
    ...(shown.cached > 0 && {
      cachedContentTokenCount: shown.cached,
      cacheTokensDetails: [{ modality: 'TEXT', tokenCount: shown.cached }],
    }),
    ...(shown.reasoning > 0 && { thoughtsTokenCount: shown.reasoning }),
  };
}

const FINISH_REASONS = { stop: 'STOP', length: 'MAX_TOKENS', tools: 'STOP', refusal: 'SAFETY' } as const;

/** The answer as one GenerateContentResponse. */
export function contentObject(identity: Identity, answer: ChatAnswer, faults: Faults): object {
  const parts = answer.parts.map((part) => wholePart(part, answer));
  return {
    candidates: Array.from({ length: answer.choices }, (_, index) => ({
      content: { parts, role: 'model' },
      finishReason: FINISH_REASONS[answer.finish],
      index,
    })),
    usageMetadata: geminiUsage(answer.tokens, faults),
    ...envelope(identity),
  };
}

/**
 * The answer as the events of a stream: for each candidate one event a token, calls whole, and an empty last part with the
 * finish reason. Each event tells the usage so far, and the very last the whole.
 */
export function* contentChunks(identity: Identity, answer: ChatAnswer, faults: Faults): Generator<Chunk> {
  let sent: TokenCount = { ...answer.tokens, completion: 0, reasoning: 0 };
  const chunk = (
    index: number,
    part: object,
    spent: { tokens: number; thought: boolean },
    finishReason?: string,
  ): Chunk => {
    const { tokens, thought } = spent;
    sent = { ...sent, completion: sent.completion + tokens, reasoning: sent.reasoning + (thought ? tokens : 0) };
    const isLast = finishReason !== undefined && index === answer.choices - 1;
    const usageMetadata = geminiUsage(isLast ? answer.tokens : sent, faults);
    const candidate = { content: { parts: [part], role: 'model' }, ...(finishReason && { finishReason }), index };
    const json = JSON.stringify({ candidates: [candidate], usageMetadata, ...envelope(identity) });
    return { json, tokens, tellsUsage: isLast && usageMetadata !== undefined };
  };
  for (let index = 0; index < answer.choices; index += 1) {
    const hidden = answer.hiddenReasoningTokens;
    if (hidden > 0) yield chunk(index, { text: '' }, { tokens: hidden, thought: true });
    for (const part of answer.parts) {
      const thought = part.kind === 'reasoning';
      if (part.kind === 'call') {
        yield chunk(index, wholePart(part, answer), { tokens: part.tokens, thought });
        continue;
      }
      for (let at = 0; at < part.tokens; at += 1) {
        const isSigned = thought && at === part.tokens - 1;
        const signature = isSigned && { thoughtSignature: answer.signature };
        yield chunk(
          index,
          { text: part.tokenAt(at), ...(thought && { thought }), ...signature },
          { tokens: 1, thought },
        );
      }
    }
    yield chunk(index, { text: '' }, { tokens: 0, thought: false }, FINISH_REASONS[answer.finish]);
  }
}

function envelope({ id, model }: Identity): object {
  return { modelVersion: model, responseId: id };
}

/** What was thought is signed; so is the first call, which Gemini wants back with its signature. */
function wholePart(part: AnswerPart, answer: ChatAnswer): object {
  switch (part.kind) {
    case 'call': {
      const isSigned = answer.tokens.reasoning > 0 && part === answer.parts.find(({ kind }) => kind === 'call');
      const functionCall = { id: part.id, name: part.name, args: callInput(part) };
      return { functionCall, ...(isSigned && { thoughtSignature: answer.signature }) };
    }
    case 'reasoning':
      return { text: partText(part), thought: true, thoughtSignature: answer.signature };
    case 'text':
    case 'refusal':
      return { text: partText(part) };
  }
}
