import { z } from 'zod';
import type { ChatDialect, ChatMessage, ChatRequest, FieldFault, MediaPart, UnreadableRequest } from '../chat.js';
import { isObject } from '../json.js';
import { leaveOut, message, onlyWhere, refuse } from './proto-json.js';
import { contentsSchema, readDetail, systemInstructionSchema } from './read-contents.js';
import { generationConfigSchema, readGeneration } from './read-generation.js';
import { readToolRules, toolConfigSchema, toolsSchema } from './read-tools.js';

/**
 * Fields that no other vendor has, harmless with these values: safety settings that ask for no filter ask others for
 * nothing; `labels` are the caller's notes to its own bill; `store` false is what the platform does anyway.
 * `cachedContent` is among the fields that are unknown here: what it names lies with Google.
 */
const HARMLESS = {
  safetySettings: onlyWhere((value) => value === undefined || (Array.isArray(value) && value.every(asksForNoFilter))),
  labels: z.unknown().optional(),
  store: onlyWhere((value) => value === undefined || value === false),
};

/** https://ai.google.dev/api/generate-content#request-body */
const requestSchema = message({
  ...HARMLESS,
  /** Repeats the path's. */
  model: z.string().optional(),
  contents: contentsSchema,
  systemInstruction: systemInstructionSchema.optional(),
  tools: toolsSchema.optional(),
  toolConfig: toolConfigSchema.optional(),
  generationConfig: generationConfigSchema.optional(),
  serviceTier: z.string().optional(),
}).transform((body, context): Omit<ChatRequest, 'streamed'> => {
  const detail = readDetail(body.generationConfig?.mediaResolution, () => {
    refuse(context, ['generationConfig', 'mediaResolution']);
  });
  return {
    model: body.model?.replace(/^models\//, '') ?? '',
    system: body.systemInstruction ?? [],
    messages: detail === undefined ? body.contents : body.contents.map((turn) => applyDetail(turn, detail)),
    ...readToolRules(body.tools ?? [], body.toolConfig, context),
    ...(body.generationConfig !== undefined && readGeneration(body.generationConfig, context)),
    ...readServiceTier(body.serviceTier),
    wantsStreamUsage: true,
  };
});

/** Some fields are looked at only when what they are part of can be read. */
const MAX_READINGS = 8;

/**
 * Reads a `GenerateContentRequest`; the path names the model, and with its last word whether the answer is streamed. Where it
 * says what has no place elsewhere, it is read again without.
 */
export const readRequest: ChatDialect['readRequest'] = (body, path): ChatRequest | UnreadableRequest => {
  const inexpressible: FieldFault[] = [];
  let rest = body;
  for (let reading = 0; reading < MAX_READINGS; reading += 1) {
    const parsed = requestSchema.safeParse(rest);
    if (parsed.success) {
      const request = { ...parsed.data, model: path.model ?? parsed.data.model, streamed: path.streamed ?? false };
      return inexpressible.length === 0 ? request : { ...request, inexpressible };
    }
    const without = leaveOut(rest, parsed.error);
    if ('unreadable' in without) return without;
    inexpressible.push(...without.leftOut);
    rest = without.rest;
  }
  const [first] = inexpressible;
  return { unreadable: first ?? { field: '', message: 'The request is not valid.' } };
};

/** The words of the neutral form are OpenAI's. https://ai.google.dev/gemini-api/docs/flex-inference */
function readServiceTier(word: string | undefined): { serviceTier?: string } {
  const tier = word?.toLowerCase();
  if (tier === undefined || tier === 'unspecified') return {};
  return { serviceTier: tier === 'standard' ? 'default' : tier };
}

function asksForNoFilter(setting: unknown): boolean {
  const threshold = isObject(setting) ? setting['threshold'] : undefined;
  return threshold === 'BLOCK_NONE' || threshold === 'OFF' || threshold === 'HARM_BLOCK_THRESHOLD_UNSPECIFIED';
}

/** What a part says of itself goes before what is said of all. */
function applyDetail(turn: ChatMessage, detail: NonNullable<MediaPart['detail']>): ChatMessage {
  if (turn.role === 'assistant') return turn;
  return { ...turn, content: turn.content.map((part) => (part.kind === 'media' ? { detail, ...part } : part)) };
}
