import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import type { Prepared } from '../forward/prepared-call.js';
import { RequestLook } from '../route/request-facts.js';
import { providerToolsOf } from './provider-tools.js';
import { pricedBounds, usageBoundsOf, type ModelLimits } from './usage-bounds.js';

const MODEL: ModelLimits = { contextWindow: 100_000, maxOutputTokens: 5_000 };

/** As far as bounds are concerned. */
function callOf(fields: object, change: Partial<Prepared> = {}): Prepared {
  const { dialect = 'openai' } = change;
  const body = Buffer.from(JSON.stringify(fields));
  const operation = change.operation ?? 'chat-completions';
  const facts = new RequestLook({
    ...{ operation, body, admittedAt: 0, dialect, model: 'm', streamed: false },
    request: { headers: {} },
  });
  return { operation, body, facts, assumedUsage: undefined, ...change } as Prepared;
}

const say = (content: unknown): object => ({ messages: [{ role: 'user', content }] });
const promptOf = (fields: object): number => usageBoundsOf(callOf(fields), MODEL).inputTokens;

describe('a prompt', () => {
  it('of text is at most as many tokens as bytes, and no more than the model reads', () => {
    const fields = say('模型');
    expect(promptOf(fields)).toBe(Buffer.byteLength(JSON.stringify(fields)));
    expect(promptOf(say('x'.repeat(200_000)))).toBe(100_000);
  });

  it.each([
    ['a picture', say([{ type: 'image_url', image_url: { url: 'https://x.example/a.png' } }])],
    ['a picture under an escaped name', JSON.parse(`{"messages":[{"content":[{"\\u0069mage_url":{"url":"u"}}]}]}`)],
    ['a document', say([{ type: 'document', source: { type: 'url', url: 'https://x.example/a.pdf' } }])],
    ['a file of Gemini', { contents: [{ parts: [{ fileData: { fileUri: 'f' } }] }] }],
    ['an earlier response', { input: 'go on', previous_response_id: 'r' }],
    ['an item that is only named', { input: [{ type: 'item_reference', id: 'i' }] }],
    ['a stored prompt', { prompt: { id: 'p' } }],
    ['a tool of the provider', { ...say('x'), tools: [{ type: 'web_search' }] }],
    ['a tool of Gemini', { contents: [], tools: [{ googleSearch: {} }] }],
  ])('with %s is as long as the model reads', (_what, fields) => {
    expect(promptOf(fields as object)).toBe(100_000);
  });

  it('with tools of the caller is text', () => {
    const tools = [
      { type: 'function', function: { name: 'f' } },
      { name: 'g', input_schema: {} },
    ];
    expect(promptOf({ ...say('x'), tools })).toBeLessThan(1_000);
    expect(promptOf({ tools: [{ functionDeclarations: [] }], contents: [] })).toBeLessThan(1_000);
  });

  it('nested without end is read all the same', () => {
    const depth = 5_000;
    const body = Buffer.from(`{"messages":${'['.repeat(depth)}{"file_id":"f"}${']'.repeat(depth)}}`);
    const facts = new RequestLook({
      ...{ operation: 'chat-completions', body, admittedAt: 0, dialect: 'openai', model: 'm', streamed: false },
      request: { headers: {} },
    });
    expect(usageBoundsOf({ ...callOf({}), body, facts }, MODEL).inputTokens).toBe(100_000);
  });
});

describe('an answer', () => {
  const answerOf = (fields: object, model: ModelLimits = MODEL): number =>
    usageBoundsOf(callOf({ ...say('x'), ...fields }), model).outputTokens;

  it('is what its caller caps it at, else what the model can give', () => {
    expect(answerOf({ max_tokens: 7 })).toBe(7);
    expect(answerOf({})).toBe(5_000);
    expect(answerOf({ max_tokens: 1_000_000_000 })).toBe(5_000);
    expect(answerOf({}, { contextWindow: 9_000, maxOutputTokens: null })).toBe(9_000);
    expect(answerOf({}, { contextWindow: null, maxOutputTokens: null })).toBe(32_768);
  });

  it('counts as often as it is asked for', () => {
    expect(answerOf({ max_tokens: 7, n: 3 })).toBe(21);
    for (const config of [
      { generationConfig: { maxOutputTokens: 7, candidateCount: 4 } },
      { generation_config: { max_output_tokens: 7, candidate_count: 4 } },
    ]) {
      expect(usageBoundsOf(callOf(config, { dialect: 'gemini' }), MODEL).outputTokens).toBe(28);
    }
    expect(answerOf({ max_tokens: 7, n: -3 })).toBe(7);
  });
});

describe('what the provider does by itself', () => {
  const boundsOf = (fields: object, operation: Prepared['operation']) =>
    usageBoundsOf(callOf({ ...say('x'), ...fields }, { operation }), MODEL);

  it('runs as often as its caller lets it, and each run reads the prompt again', () => {
    const responses = { tools: [{ type: 'web_search' }, { type: 'code_interpreter' }], max_tool_calls: 3 };
    expect(boundsOf(responses, 'responses')).toMatchObject({ inputTokens: 400_000, webSearches: 3 });
    const messages = {
      tools: [
        { type: 'web_search_20250305', name: 'web_search', max_uses: 2 },
        { type: 'web_fetch_20250910', name: 'web_fetch', max_uses: 4 },
      ],
    };
    expect(boundsOf(messages, 'chat-completions')).toMatchObject({ inputTokens: 700_000, webSearches: 2 });
  });

  it.each([
    ['tools[0]', 'responses', { tools: [{ type: 'web_search' }] }],
    ['tools[1]', 'responses', { tools: [{ type: 'function', name: 'f' }, { type: 'file_search' }] }],
    // Counts the vendor's own tools, not those of a server that is only connected.
    ['tools[0]', 'responses', { tools: [{ type: 'mcp', server_url: 'https://x.example' }], max_tool_calls: 2 }],
    // No field of this operation: nobody would heed it.
    ['tools[0]', 'chat-completions', { tools: [{ type: 'web_search' }], max_tool_calls: 2 }],
    ['tools[0]', 'chat-completions', { tools: [{ type: 'web_search_20250305', max_uses: -1 }] }],
    ['tools[0]', 'chat-completions', { tools: [{ type: 'code_execution_20250825', name: 'code_execution' }] }],
    ['tools[0]', 'chat-completions', { tools: [{ functionDeclarations: [], googleSearch: {} }] }],
    ['tools[0]', 'chat-completions', { tools: [{ name: 'f', google_search: {} }] }],
    ['mcp_servers', 'chat-completions', { mcp_servers: [{ url: 'https://x.example' }] }],
    ['web_search_options', 'chat-completions', { web_search_options: {} }],
    ['search_parameters', 'chat-completions', { search_parameters: { mode: 'auto' } }],
    ['enable_search', 'chat-completions', { enable_search: true }],
  ] as const)('is without a bound in %s of %s: %o', (field, operation, fields) => {
    expect(providerToolsOf(fields, operation)?.unboundedField).toBe(field);
  });

  it.each([
    {
      tools: [
        { type: 'function', function: { name: 'f' } },
        { type: 'custom', name: 'g' },
      ],
    },
    { tools: [{ name: 'g', input_schema: {}, cache_control: { type: 'ephemeral' } }] },
    {
      tools: [
        { type: 'bash_20250124', name: 'bash' },
        { type: 'computer_20250124', display_width_px: 1 },
      ],
    },
    { tools: [{ type: 'shell', environment: { type: 'local' } }, { type: 'computer_use_preview' }] },
    { tools: [{ computerUse: { environment: 'ENVIRONMENT_BROWSER' } }] },
    { search_parameters: { mode: 'off' }, enable_search: false, web_search_options: null, plugins: [], tools: 7 },
  ])('is nothing where the caller runs its tools: %o', (fields) => {
    expect(providerToolsOf(fields, 'responses')).toBeUndefined();
  });
});

describe('nothing is reserved', () => {
  it.each([
    ['what counts as nothing', callOf(say('x'), { operation: 'count-tokens', assumedUsage: {} })],
    ['the opening of a session', callOf({}, { operation: 'realtime', session: 'opening' })],
  ])('for %s', (_what, call) => {
    expect(usageBoundsOf(call, MODEL)).toEqual({ inputTokens: 0, outputTokens: 0, requests: 0 });
  });

  it('for what the card does not price', () => {
    const card: RateCardVersion = {
      ...{ id: randomUUID(), effectiveFrom: 0, currency: 'USD', rates: { input: '1' } },
      ...{ contextTiers: [], serviceTiers: {}, windows: [], freeTokensPerMonth: 0 },
    };
    const bounds = { inputTokens: 3, outputTokens: 5, images: 1, audioSeconds: 2, characters: 4, webSearches: 6 };
    expect(pricedBounds(bounds, card)).toEqual({
      ...{ inputTokens: 3, outputTokens: 0, requests: 1 },
      ...{ images: 0, audioSeconds: 0, characters: 0, webSearches: 0 },
    });
  });
});
