import { z } from 'zod';
import type { ChatRequest, ReasoningWish, ResponseFormat } from '../chat.js';
import { convertGoogleSchema } from './convert-schema.js';
import { count, list, message, number, onlyWhere, refuse, wholeNumber } from './proto-json.js';

/** https://ai.google.dev/gemini-api/docs/thinking; its own examples write the levels in small letters too. */
const thinkingSchema = message({
  thinkingBudget: wholeNumber.optional(),
  thinkingLevel: z.string().optional(),
  includeThoughts: z.boolean().optional(),
}).transform((thinking, context): ReasoningWish => {
  const { thinkingBudget: budget, thinkingLevel, includeThoughts } = thinking;
  const level = thinkingLevel?.toUpperCase();
  if (budget !== undefined && budget < -1) refuse(context, ['thinkingBudget'], 'The field "{field}" is not valid.');
  if (budget !== undefined && level !== undefined) {
    refuse(context, ['thinkingLevel'], 'The field "{field}" cannot be given together with a thinking budget.');
  }
  const effort = level === undefined ? undefined : LEVELS[level];
  if (level !== undefined && effort === undefined && level !== 'THINKING_LEVEL_UNSPECIFIED') {
    refuse(context, ['thinkingLevel'], 'The field "{field}" must be one of MINIMAL, LOW, MEDIUM, HIGH.');
  }
  return {
    ...(effort !== undefined && { effort }),
    ...(budget === 0 && { effort: 'none' as const }),
    ...(budget === -1 && { isAdaptive: true }),
    ...(budget !== undefined && budget > 0 && { budgetTokens: budget }),
    ...(includeThoughts !== undefined && { isVisible: includeThoughts }),
  };
});

const LEVELS: Readonly<Partial<Record<string, NonNullable<ReasoningWish['effort']>>>> = {
  MINIMAL: 'minimal',
  LOW: 'low',
  MEDIUM: 'medium',
  HIGH: 'high',
};

/** Fields without a place elsewhere that are harmless with the value that holds anyway. */
const HARMLESS = {
  responseModalities: onlyWhere((value) => value === undefined || value === 'TEXT' || isTextAlone(value)),
  enableEnhancedCivicAnswers: onlyWhere((value) => value === undefined || value === false),
  audioTimestamp: onlyWhere((value) => value === undefined || value === false),
};

function isTextAlone(value: unknown): boolean {
  return Array.isArray(value) && value.every((modality) => modality === 'TEXT');
}

/** https://ai.google.dev/api/generate-content#generationconfig */
export const generationConfigSchema = message({
  ...HARMLESS,
  candidateCount: count.optional(),
  stopSequences: list(z.string()).optional(),
  maxOutputTokens: count.optional(),
  temperature: number.optional(),
  topP: number.optional(),
  topK: number.optional(),
  seed: wholeNumber.optional(),
  presencePenalty: number.optional(),
  frequencyPenalty: number.optional(),
  responseMimeType: z.string().optional(),
  responseSchema: z.unknown().optional(),
  responseJsonSchema: z.unknown().optional(),
  thinkingConfig: thinkingSchema.optional(),
  responseLogprobs: z.boolean().optional(),
  logprobs: count.optional(),
  mediaResolution: z.string().optional(),
});
type GenerationConfig = z.output<typeof generationConfigSchema>;

const PATH = 'generationConfig';

export function readGeneration(config: GenerationConfig, context: z.RefinementCtx): Partial<ChatRequest> {
  const responseFormat = readResponseFormat(config, context);
  if (config.logprobs !== undefined && config.responseLogprobs !== true) {
    refuse(context, [PATH, 'logprobs'], 'The field "{field}" can be given with "responseLogprobs": true only.');
  }
  const read = {
    answerCount: config.candidateCount,
    stop: config.stopSequences,
    maxOutputTokens: config.maxOutputTokens,
    temperature: config.temperature,
    topP: config.topP,
    topK: config.topK,
    seed: config.seed,
    presencePenalty: config.presencePenalty,
    frequencyPenalty: config.frequencyPenalty,
    responseFormat,
    reasoning: config.thinkingConfig,
    logprobs: config.responseLogprobs === true ? { top: config.logprobs ?? 0 } : undefined,
  };
  // What was not given is absent, not undefined.
  return Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
}

/** A schema has no name in Gemini; where another vendor must have one, it is "response". */
function readResponseFormat(config: GenerationConfig, context: z.RefinementCtx): ResponseFormat | undefined {
  const { responseMimeType: mediaType, responseSchema, responseJsonSchema } = config;
  if (mediaType !== undefined && mediaType !== 'text/plain' && mediaType !== 'application/json') {
    refuse(context, [PATH, 'responseMimeType']);
    // What the schema says is about that media type alone.
    if (responseSchema !== undefined) refuse(context, [PATH, 'responseSchema']);
    if (responseJsonSchema !== undefined) refuse(context, [PATH, 'responseJsonSchema']);
    return undefined;
  }
  const schema = responseJsonSchema ?? convertGoogleSchema(responseSchema);
  if (schema === undefined) return mediaType === 'application/json' ? { kind: 'json' } : undefined;
  if (responseJsonSchema !== undefined && responseSchema !== undefined) {
    refuse(context, [PATH, 'responseJsonSchema'], 'The field "{field}" cannot be given together with another schema.');
  }
  if (mediaType !== 'application/json') {
    const field = responseJsonSchema === undefined ? 'responseSchema' : 'responseJsonSchema';
    refuse(context, [PATH, field], 'The field "{field}" can be given with the MIME type application/json only.');
  }
  return { kind: 'json-schema', name: 'response', schema };
}
