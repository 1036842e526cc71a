import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import type { UsageBounds } from '@pingtoken/shared/dearest-price';
import {
  ANSWER_DIMENSIONS,
  PROMPT_DIMENSIONS,
  type Dimension,
  type RateCardVersion,
} from '@pingtoken/shared/rate-card';
import type { Prepared } from '../forward/prepared-call.js';
import { hasVendorTools, providerToolsOf } from './provider-tools.js';
import { bringsMore, choicesOf, type Fields } from './request-reach.js';

/** What a model takes and gives at most; null where the operator has not said. */
export type ModelLimits = Pick<ConfigObjectOf<'model'>, 'contextWindow' | 'maxOutputTokens'>;

/** Of a model whose limits are not known. What a call uses beyond is the operator's loss, who can state them. */
const USUAL_CONTEXT = 131_072;
const USUAL_ANSWER = 32_768;
/** Bytes of one second of speech, compressed as hard as is usual: 4 kbit/s. */
const AUDIO_BYTES_A_SECOND = 500;
/** Of what is said in a session, and of what is searched for where the caller sets no bound and pays afterwards. */
const SESSION_AUDIO_SECONDS = 600;
const USUAL_SEARCHES = 10;

const NOTHING: UsageBounds = { inputTokens: 0, outputTokens: 0, requests: 0 };

/** What a call's use is bounded by. */
export type BoundedCall = Pick<Prepared, 'operation' | 'body' | 'assumedUsage' | 'facts' | 'session'>;

/**
 * The most that a call can use of a model: a text has at most as many tokens as it has UTF-8 bytes, and an answer as many as its
 * caller lets it have, else as the model can give. Nothing is tokenised, and nothing asked.
 * @param model undefined for what is no model's: things that providers keep, and what is passed through
 * @param answerCap tokens that the answer is held to, where its caller has named no cap
 */
export function usageBoundsOf(call: BoundedCall, model: ModelLimits | undefined, answerCap?: number): UsageBounds {
  if (call.session === 'opening') return NOTHING;
  if (call.session === 'turn') return { ...wholeModel(model), audioSeconds: SESSION_AUDIO_SECONDS };
  if (call.operation === 'passthrough') return { ...NOTHING, requests: 1 };
  const assumed = call.assumedUsage;
  if (assumed !== undefined && Object.keys(assumed).length === 0) return NOTHING;
  const bytes = call.body.length;
  const context = model?.contextWindow ?? USUAL_CONTEXT;
  const images = assumed?.image ?? 1;
  switch (call.operation) {
    case 'embeddings':
    case 'moderations':
    case 'rerank':
      // Of many texts, each of which has the model's context for itself.
      return { inputTokens: bytes, outputTokens: 0 };
    case 'images':
      return { inputTokens: Math.min(bytes, context), outputTokens: answerOf(model) * images, images };
    case 'speech':
      return { inputTokens: bytes, outputTokens: answerOf(model), characters: assumed?.characters ?? bytes };
    case 'transcriptions':
    case 'translations':
      return { ...wholeModel(model), audioSeconds: Math.ceil(bytes / AUDIO_BYTES_A_SECOND) };
    case 'realtime':
    case 'batches':
    case 'count-tokens':
    case 'chat-completions':
    case 'completions':
    case 'responses':
      return conversationBounds(call, model, answerCap);
  }
}

function conversationBounds(
  { facts, body, operation }: BoundedCall,
  model: ModelLimits | undefined,
  answerCap = facts?.answerCap(),
): UsageBounds {
  const fields: Fields = facts?.fields() ?? {};
  const answer = Math.min(answerCap ?? answerOf(model), model?.maxOutputTokens ?? Number.MAX_SAFE_INTEGER);
  const tools = providerToolsOf(fields, operation);
  const known = model?.contextWindow ?? null;
  const isBoundedByBytes = tools === undefined && !bringsMore(fields) && !hasVendorTools(fields);
  const prompt = isBoundedByBytes ? Math.min(body.length, known ?? body.length) : (known ?? USUAL_CONTEXT);
  return {
    // After each run of a tool the model reads its prompt again, which may have grown to all that it can read.
    inputTokens: prompt * (1 + (tools?.bound?.runs ?? 0)),
    outputTokens: answer * choicesOf(fields),
    ...(tools !== undefined && { webSearches: tools.bound?.searches ?? (tools.searches ? USUAL_SEARCHES : 0) }),
  };
}

/** Tokens of one answer that its caller has not capped. */
export const answerOf = (model: ModelLimits | undefined): number =>
  model?.maxOutputTokens ?? Math.min(model?.contextWindow ?? USUAL_ANSWER, USUAL_CONTEXT);

const wholeModel = (model: ModelLimits | undefined): UsageBounds => ({
  inputTokens: model?.contextWindow ?? USUAL_CONTEXT,
  outputTokens: answerOf(model),
});

/** Without what a card states no price for: such use cannot be charged, and so cannot be reserved for. */
export function pricedBounds(bounds: UsageBounds, { rates }: RateCardVersion): UsageBounds {
  const isPriced = (...dimensions: readonly Dimension[]): boolean =>
    dimensions.some((dimension) => Object.hasOwn(rates, dimension));
  return {
    inputTokens: isPriced(...PROMPT_DIMENSIONS) ? bounds.inputTokens : 0,
    outputTokens: isPriced(...ANSWER_DIMENSIONS) ? bounds.outputTokens : 0,
    requests: bounds.requests ?? 1,
    images: isPriced('image') ? (bounds.images ?? 0) : 0,
    webSearches: isPriced('webSearch') ? (bounds.webSearches ?? 0) : 0,
    audioSeconds: isPriced('audioSeconds') ? (bounds.audioSeconds ?? 0) : 0,
    characters: isPriced('characters') ? (bounds.characters ?? 0) : 0,
  };
}
