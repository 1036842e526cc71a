import type { ServiceTier } from '@pingtoken/shared/rate-card';

/**
 * The vendors' words for how a call was served. What was only asked for (`auto`) says nothing, and of tiers that are sold as
 * capacity and not by the token (`scale`, provisioned throughput) the tokens are priced as the standard's.
 */
const TIERS: ReadonlyMap<unknown, ServiceTier> = new Map<unknown, ServiceTier>([
  ['default', 'standard'],
  ['standard', 'standard'],
  ['on_demand', 'standard'],
  ['scale', 'standard'],
  ['flex', 'flex'],
  ['priority', 'priority'],
  ['batch', 'batch'],
  // Google's Vertex AI: https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse
  ['ON_DEMAND', 'standard'],
  ['PROVISIONED_THROUGHPUT', 'standard'],
  ['ON_DEMAND_FLEX', 'flex'],
  ['ON_DEMAND_PRIORITY', 'priority'],
]);

/** Google's Gemini API says it in the head of every answer. https://ai.google.dev/gemini-api/docs/priority-inference */
export const SERVICE_TIER_HEADER = 'x-gemini-service-tier';

/** @returns undefined for a word that names no tier */
export function tierOf(word: unknown): ServiceTier | undefined {
  return TIERS.get(word);
}

/**
 * The tier that an answer, or an event of its stream, says it was served by: OpenAI at the top, or in the response that an
 * event is about; Anthropic in the usage, or in that of the message that begins; Google in its usage.
 * https://platform.openai.com/docs/api-reference/chat/object#chat/object-service_tier
 * https://platform.claude.com/docs/en/api/service-tiers
 */
export function readServiceTier(value: unknown): ServiceTier | undefined {
  const { service_tier: own, response, usage, message, usageMetadata } = fieldsOf(value);
  const google = fieldsOf(usageMetadata);
  return (
    tierOf(own) ??
    tierOf(fieldsOf(response)['service_tier']) ??
    tierOf(fieldsOf(usage)['service_tier']) ??
    tierOf(fieldsOf(fieldsOf(message)['usage'])['service_tier']) ??
    tierOf(google['serviceTier']) ??
    tierOf(google['trafficType'])
  );
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : NONE;
}

const NONE = {};
