import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { MODEL, startPairGateways, type PairGateways } from './pair-gateways.js';
import { GRAMMARS, readEvents } from './stream-grammar.js';
import { PAIRS } from './talkers.js';

let gateways: PairGateways;
beforeAll(async () => {
  gateways = await startPairGateways();
});
afterAll(() => gateways.close());

interface Wanted {
  readonly text: string;
  readonly tools?: boolean;
  readonly reasons?: boolean;
  readonly maxTokens?: number;
  readonly wantsUsage?: boolean;
}

const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const NAMES = ['weather', 'clock'];

/** The bare request of each dialect, without a client in between. */
const REQUESTS: Readonly<Record<Dialect, (wanted: Wanted) => { readonly path: string; readonly body: object }>> = {
  openai: ({ text, tools, reasons, maxTokens, wantsUsage }) => ({
    path: '/v1/chat/completions',
    body: {
      model: MODEL,
      stream: true,
      messages: [{ role: 'user', content: text }],
      ...(wantsUsage === true && { stream_options: { include_usage: true } }),
      ...(maxTokens !== undefined && { max_completion_tokens: maxTokens }),
      ...(reasons === true && { reasoning_effort: 'low' }),
      ...(tools === true && {
        tools: NAMES.map((name) => ({ type: 'function', function: { name, parameters: PARAMETERS } })),
      }),
    },
  }),
  anthropic: ({ text, tools, reasons, maxTokens }) => ({
    path: '/v1/messages',
    body: {
      model: MODEL,
      stream: true,
      max_tokens: maxTokens ?? 4000,
      messages: [{ role: 'user', content: text }],
      ...(reasons === true && { thinking: { type: 'enabled', budget_tokens: 1024 } }),
      ...(tools === true && { tools: NAMES.map((name) => ({ name, input_schema: PARAMETERS })) }),
    },
  }),
  gemini: ({ text, tools, reasons, maxTokens }) => ({
    path: `/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`,
    body: {
      contents: [{ role: 'user', parts: [{ text }] }],
      generationConfig: {
        ...(maxTokens !== undefined && { maxOutputTokens: maxTokens }),
        ...(reasons === true && { thinkingConfig: { thinkingBudget: 1024, includeThoughts: true } }),
      },
      ...(tools === true && {
        tools: [{ functionDeclarations: NAMES.map((name) => ({ name, parametersJsonSchema: PARAMETERS })) }],
      }),
    },
  }),
};

/** Relayed as it comes, an answer bears the provider's own name of its model. */
const OWN_NAMES = { openai: 'pingtoken-sim-small', anthropic: 'sim-anthropic', gemini: 'sim-gemini' } as const;

const SCENES: readonly (Wanted & { readonly scene: string })[] = [
  { scene: 'a text', text: 'Say something' },
  { scene: 'a text whose use is asked for', text: 'Say something', wantsUsage: true },
  { scene: 'an answer of no words', text: '[[sim tokens=0]]' },
  { scene: 'thoughts and a text', text: 'Think', reasons: true },
  { scene: 'thoughts and parallel calls', text: 'use both tools', tools: true, reasons: true, wantsUsage: true },
  { scene: 'calls that were cut off', text: 'use both tools', tools: true, maxTokens: 2 },
  { scene: 'an answer that was cut off', text: 'Say much', maxTokens: 3 },
  { scene: 'a refusal', text: 'Please refuse.' },
  { scene: 'comments, CRLF and bytes one by one', text: '[[sim comments crlf split=1 tokens=5]]' },
];

describe.each(PAIRS.filter(({ streamed }) => streamed))('$caller from $provider', ({ caller, provider }) => {
  it.each(SCENES)('has the events of its own grammar: $scene', async (scene) => {
    const { url, config } = gateways.of(provider);
    const { path, body } = REQUESTS[caller](scene);
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${config.bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const model = caller === provider ? OWN_NAMES[provider] : MODEL;
    GRAMMARS[caller](readEvents(await response.text()), {
      model,
      wantsUsage: caller === 'openai' && scene.wantsUsage === true,
      // What is said of a refusal stands in the reason of its end.
      mayBeEmpty: scene.text.includes('tokens=0') || scene.text.includes('refuse'),
    });
  });
});
