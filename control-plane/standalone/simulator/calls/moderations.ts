import { z } from 'zod';
import { decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { modelNotFound } from '../errors.js';
import { findModel } from '../models.js';
import { jsonPayload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import { NO_TOKENS, promptTokens } from '../tokens.js';

const part = z.object({ type: z.string(), text: z.string().optional() });
const schema = z.object({
  model: z.string().min(1).default('sim-moderation'),
  input: z.union([z.string(), z.array(z.string()).min(1), z.array(part).min(1)]),
});

const CATEGORIES = [
  'harassment',
  'harassment/threatening',
  'hate',
  'hate/threatening',
  'illicit',
  'illicit/violent',
  'self-harm',
  'self-harm/instructions',
  'self-harm/intent',
  'sexual',
  'sexual/minors',
  'violence',
  'violence/graphic',
] as const;

/** `POST /v1/moderations`. A text is flagged for each category that it names. It reports no usage, as OpenAI's does not. */
export function decideModerations(call: ProviderCall): Decision {
  const request = parseRequest(call, schema);
  if ('status' in request) return refuse(call, request);
  const model = findModel(request.value.model, 'moderation');
  if (!model) return refuse(call, modelNotFound(request.value.model));
  const texts = textsOf(request.value.input);
  const faults = gatherFaults(call, texts.at(-1) ?? '', model);
  if ('status' in faults) return refuse(call, faults);
  const results = texts.map(judge);
  return decide(call, {
    model,
    faults: faults.value,
    tokens: { ...NO_TOKENS, prompt: promptTokens(texts) },
    answer: () => jsonPayload({ id: `modr-sim${call.callNumber}`, model: model.id, results }),
  });
}

/** The parts of one input are one text. */
function textsOf(input: z.infer<typeof schema>['input']): string[] {
  if (typeof input === 'string') return [input];
  const isText = (each: string | z.infer<typeof part>): each is string => typeof each === 'string';
  if (input.every(isText)) return [...input];
  return [input.map((each) => (isText(each) ? each : (each.text ?? ''))).join(' ')];
}

function judge(text: string): object {
  const found = new Set<string>(CATEGORIES.filter((category) => text.toLowerCase().includes(category)));
  const fill = <T>(value: (category: string) => T) =>
    Object.fromEntries(CATEGORIES.map((category) => [category, value(category)]));
  return {
    flagged: found.size > 0,
    categories: fill((category) => found.has(category)),
    category_scores: fill((category) => (found.has(category) ? 0.97 : 0.01)),
    category_applied_input_types: fill(() => ['text']),
  };
}
