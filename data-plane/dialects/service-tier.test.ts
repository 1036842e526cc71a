import { describe, expect, it } from 'vitest';
import { readServiceTier } from './service-tier.js';

describe('the service tier of an answer', () => {
  it.each([
    ['OpenAI’s chat', { service_tier: 'flex', choices: [] }, 'flex'],
    [
      'OpenAI’s response that is complete',
      { type: 'response.completed', response: { service_tier: 'priority' } },
      'priority',
    ],
    ['OpenAI’s response that is not yet', { type: 'response.created', response: { service_tier: 'auto' } }, undefined],
    ['OpenAI’s scale tier, which is capacity', { service_tier: 'scale' }, 'standard'],
    ['Groq’s', { service_tier: 'on_demand' }, 'standard'],
    ['Anthropic’s message', { usage: { service_tier: 'batch' } }, 'batch'],
    ['Anthropic’s stream', { type: 'message_start', message: { usage: { service_tier: 'priority' } } }, 'priority'],
    ['Google’s Gemini', { usageMetadata: { serviceTier: 'flex' } }, 'flex'],
    ['Google’s Vertex AI', { usageMetadata: { trafficType: 'ON_DEMAND_PRIORITY' } }, 'priority'],
    ['nobody', { choices: [] }, undefined],
    ['null', { service_tier: null, usage: null }, undefined],
    ['a word that nobody knows', { service_tier: 'platinum' }, undefined],
    ['an inherited word', { service_tier: 'constructor' }, undefined],
    ['a text', 'service_tier', undefined],
    ['nothing', undefined, undefined],
  ])('of %s', (_name, value, tier) => {
    expect(readServiceTier(value)).toBe(tier);
  });
});
