import { describe, expect, it } from 'vitest';
import type { ChatMessage, ChatRequest } from '../chat.js';
import { anthropicChat } from './anthropic.js';
import { budgetOfEffort, effortOfBudget } from './thinking.js';
import { DEFAULT_MAX_TOKENS } from './write-request.js';

const minimal: ChatRequest = {
  model: 'alias',
  streamed: false,
  system: [],
  messages: [{ role: 'user', content: [{ kind: 'text', text: 'Hi' }] }],
  tools: [],
  wantsStreamUsage: true,
};
const tool = { name: 'f', parameters: { type: 'object' } };
const result = (callId: string): ChatMessage => ({
  role: 'user',
  content: [{ kind: 'tool-result', callId, toolName: 'f', content: [{ kind: 'text', text: 'ok' }] }],
});

/** Models of each kind: sampling free and thinking by budget; one sampler and a budget; neither sampling nor a budget. */
const OLD = 'claude-3-7-sonnet-20250219';
const MIDDLE = 'claude-haiku-4-5-20251001';
const NEW = 'claude-sonnet-5';

const write = (fields: Partial<ChatRequest>, model = OLD) =>
  anthropicChat.writeRequest({ ...minimal, ...fields }, model);
const media = (
  mediaType: string | undefined,
  source: { kind: 'base64'; data: string } | { kind: 'url'; url: string },
) => write({ messages: [{ role: 'user', content: [{ kind: 'media', mediaType, source }] }] });

describe('a request written for the Messages API', () => {
  it('names the provider’s model and a limit, which the vendor needs, and nothing that was not asked for', () => {
    expect(write({})).toEqual({
      body: {
        model: OLD,
        max_tokens: DEFAULT_MAX_TOKENS,
        messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
      },
      unsupported: [],
    });
  });

  it('joins the turns of one role, with the results of calls at the front', () => {
    const messages: ChatMessage[] = [
      { role: 'assistant', content: [{ kind: 'tool-call', id: 'a', name: 'f', argumentsJson: '{}' }] },
      { role: 'assistant', content: [{ kind: 'tool-call', id: 'b:1', name: 'f', argumentsJson: '' }] },
      { role: 'user', content: [{ kind: 'text', text: 'And?' }] },
      result('a'),
      result('b:1'),
    ];
    expect(write({ messages }).body).toMatchObject({
      messages: [
        { role: 'assistant', content: [{ id: 'a' }, { id: 'b_x3a_1', input: {} }] },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'a', content: 'ok' },
            { type: 'tool_result', tool_use_id: 'b_x3a_1' },
            { type: 'text', text: 'And?' },
          ],
        },
      ],
    });
  });

  it('leaves out what the vendor would refuse and nobody would miss: blank texts, thoughts that it did not sign', () => {
    const messages: ChatMessage[] = [
      { role: 'user', content: [{ kind: 'text', text: 'Hi' }] },
      {
        role: 'assistant',
        content: [
          { kind: 'reasoning', text: 'hm' },
          { kind: 'text', text: ' \n' },
        ],
      },
      { role: 'user', content: [{ kind: 'text', text: 'Hello?' }] },
    ];
    expect(write({ messages }).body).toMatchObject({
      messages: [{ role: 'user', content: [{ text: 'Hi' }, { text: 'Hello?' }] }],
    });
  });

  it('wraps arguments that are no object, as the vendor advises', () => {
    const content = [{ kind: 'tool-call', id: 'a', name: 'f', argumentsJson: '{"city":"Bo' } as const];
    expect(write({ messages: [{ role: 'assistant', content }] }).body).toMatchObject({
      messages: [{ content: [{ input: { INVALID_JSON: '{"city":"Bo' } }] }],
    });
  });

  it.each([
    [undefined, { kind: 'url', url: 'https://a/b' }, { type: 'image', source: { type: 'url', url: 'https://a/b' } }],
    [undefined, { kind: 'url', url: 'https://a/b.pdf?c' }, { type: 'document' }],
    ['image/jpg', { kind: 'base64', data: 'AA==' }, { type: 'image', source: { media_type: 'image/jpeg' } }],
    ['application/pdf', { kind: 'base64', data: 'AA==' }, { type: 'document', source: { type: 'base64' } }],
    ['text/plain; charset=utf-8', { kind: 'base64', data: 'w7w=' }, { type: 'document', source: { data: 'ü' } }],
  ] as const)('has media of type %s from %j in the block for it', (mediaType, source, block) => {
    const written = media(mediaType, source);
    expect(written.unsupported).toEqual([]);
    expect(written.body).toMatchObject({ messages: [{ content: [block] }] });
  });

  it.each([
    ['audio/wav', { kind: 'base64', data: 'AA==' }, 'media'],
    ['text/plain', { kind: 'base64', data: '/w==' }, 'media'],
    ['image/png', { kind: 'url', url: 'http://a/b.png' }, 'media.url'],
    ['video/mp4', { kind: 'url', url: 'https://a/b.mp4' }, 'media'],
  ] as const)('says that media of type %s from %j have no place', (mediaType, source, feature) => {
    expect(media(mediaType, source)).toMatchObject({ unsupported: [feature], body: { messages: [] } });
  });

  it.each([
    [{ seed: 7 }, ['seed']],
    [{ frequencyPenalty: 1 }, ['frequencyPenalty']],
    [{ presencePenalty: -1 }, ['presencePenalty']],
    [{ answerCount: 2 }, ['answerCount']],
    [{ logprobs: { top: 0 } }, ['logprobs']],
    [{ verbosity: 'low' }, ['verbosity']],
    [{ serviceTier: 'flex' }, ['serviceTier']],
    [{ responseFormat: { kind: 'json' } }, ['responseFormat']],
    [{ stop: ['\n', 'END'] }, ['stop']],
    [{ toolChoice: { kind: 'required' } }, ['toolChoice']],
    [{ temperature: 1.5 }, ['temperature']],
    [
      { frequencyPenalty: 0, presencePenalty: 0, answerCount: 1, verbosity: 'medium', toolChoice: { kind: 'auto' } },
      [],
    ],
  ] satisfies [Partial<ChatRequest>, string[]][])('says what it could not say of %j', (fields, unsupported) => {
    expect(write(fields).unsupported).toEqual(unsupported);
  });

  it('tells the vendor’s tools and choices in its words', () => {
    expect(write({ tools: [{ name: 'f' }], parallelToolCalls: false }).body).toMatchObject({
      tools: [{ name: 'f', input_schema: { type: 'object', properties: {} } }],
      tool_choice: { type: 'auto', disable_parallel_tool_use: true },
    });
    expect(write({ tools: [tool], toolChoice: { kind: 'required' } }).body).toMatchObject({
      tool_choice: { type: 'any' },
    });
    const toolChoice = { kind: 'tool', name: 'f' } as const;
    expect(write({ tools: [tool], toolChoice }).body).toMatchObject({ tool_choice: { type: 'tool', name: 'f' } });
  });
});

describe('sampling', () => {
  it.each([
    [OLD, { temperature: 0.2, topP: 0.9, topK: 5 }, { temperature: 0.2, top_p: 0.9, top_k: 5 }, []],
    [MIDDLE, { temperature: 0.2, topP: 0.9 }, { temperature: 0.2 }, ['topP']],
    [MIDDLE, { temperature: 1, topP: 0.9 }, { top_p: 0.9 }, []],
    [MIDDLE, { temperature: 0.2, topP: 1 }, { temperature: 0.2 }, []],
    [NEW, { temperature: 0.2, topP: 0.9, topK: 5 }, {}, ['temperature', 'topP', 'topK']],
    [NEW, { temperature: 1, topP: 1 }, {}, []],
    [OLD, { temperature: 0.2, topK: 5, reasoning: { budgetTokens: 2000 } }, {}, ['temperature', 'topK']],
  ] as const)('of %s is told as far as it takes it: %j', (model, fields, expected, unsupported) => {
    const { body, unsupported: found } = write(fields, model);
    const { temperature, top_p, top_k } = body as Record<string, unknown>;
    expect(found).toEqual(unsupported);
    expect({ temperature, top_p, top_k }).toEqual({
      temperature: undefined,
      top_p: undefined,
      top_k: undefined,
      ...expected,
    });
  });
});

describe('thinking', () => {
  it.each([
    [MIDDLE, { effort: 'medium' }, { type: 'enabled', budget_tokens: 8192 }, undefined],
    [MIDDLE, { budgetTokens: 300 }, { type: 'enabled', budget_tokens: 1024 }, undefined],
    [MIDDLE, { effort: 'none' }, { type: 'disabled' }, undefined],
    [MIDDLE, { budgetTokens: 4000, effort: 'low' }, { type: 'enabled', budget_tokens: 4000 }, { effort: 'low' }],
    [MIDDLE, { isVisible: false }, undefined, undefined],
    [NEW, { effort: 'minimal' }, { type: 'adaptive' }, { effort: 'low' }],
    [NEW, { effort: 'xhigh', isVisible: true }, { type: 'adaptive', display: 'summarized' }, { effort: 'xhigh' }],
    [NEW, { budgetTokens: 5000 }, { type: 'adaptive' }, { effort: 'medium' }],
    [NEW, { budgetTokens: 0 }, { type: 'disabled' }, undefined],
    ['claude-mythos-preview', { isAdaptive: true }, { type: 'adaptive' }, undefined],
    ['anthropic.claude-opus-4-1-20250805-v1:0', { effort: 'low' }, { type: 'enabled', budget_tokens: 2048 }, undefined],
    ['deepseek-chat', { effort: 'high' }, { type: 'enabled', budget_tokens: 16384 }, undefined],
  ] as const)('is asked of %s as it understands it: %j', (model, reasoning, thinking, config) => {
    const { body, unsupported } = write({ reasoning }, model);
    const written = body as Record<string, unknown>;
    expect(unsupported).toEqual([]);
    expect([written['thinking'], written['output_config']]).toEqual([thinking, config]);
  });

  it('has room beside the answer where the caller left the length open, and keeps to it where not', () => {
    const reasoning = { budgetTokens: 4000 };
    expect(write({ reasoning }, MIDDLE).body).toMatchObject({ max_tokens: DEFAULT_MAX_TOKENS + 4000 });
    const short = write({ reasoning, maxOutputTokens: 2000 }, MIDDLE);
    expect(short).toMatchObject({ body: { max_tokens: 2000, thinking: { budget_tokens: 1999 } }, unsupported: [] });
    expect(write({ reasoning, maxOutputTokens: 500 }, MIDDLE).unsupported).toEqual(['reasoning']);
  });

  it('is not asked for where it cannot be: by old models, with a forced tool, in a turn whose signed thoughts are gone', () => {
    expect(write({ reasoning: { effort: 'low' } }, 'claude-3-5-haiku-20241022').unsupported).toEqual(['reasoning']);
    const forced = { tools: [tool], toolChoice: { kind: 'required' }, reasoning: { effort: 'low' } } as const;
    expect(write(forced, MIDDLE).unsupported).toEqual(['reasoning']);
    expect(write(forced, NEW)).toMatchObject({ unsupported: [], body: { output_config: { effort: 'low' } } });
    expect(write(forced, NEW).body).not.toHaveProperty('thinking');
    const call = { kind: 'tool-call', id: 'a', name: 'f', argumentsJson: '{}' } as const;
    const unsigned: ChatMessage[] = [{ role: 'assistant', content: [call] }, result('a')];
    const inTurn = { tools: [tool], reasoning: { effort: 'low' }, messages: unsigned } as const;
    expect(write(inTurn, MIDDLE).body).not.toHaveProperty('thinking');
    expect(write(inTurn, NEW).body).toHaveProperty('thinking');
    const thought = { kind: 'reasoning', text: 't', signature: 's' } as const;
    const signed: ChatMessage[] = [{ role: 'assistant', content: [thought, call] }, result('a')];
    expect(write({ ...inTurn, messages: signed }, MIDDLE).body).toHaveProperty('thinking');
  });

  it('by budget and by effort say the same either way', () => {
    for (const effort of ['minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const) {
      expect(effortOfBudget(budgetOfEffort(effort))).toBe(effort);
    }
    expect([effortOfBudget(1), effortOfBudget(1_000_000)]).toEqual(['minimal', 'max']);
  });
});
