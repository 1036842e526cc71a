import { describe, expect, it } from 'vitest';
import type { AssistantPart, ChatFeature, ChatRequest, UserMessage } from '../chat.js';
import { stringifyExactly } from '../json.js';
import { geminiChat } from './gemini.js';

const NEW = 'gemini-3-pro-preview';
const OLD = 'gemini-2.5-flash';

const BARE: ChatRequest = {
  model: 'alias',
  streamed: false,
  system: [],
  messages: [{ role: 'user', content: [{ kind: 'text', text: 'Hello' }] }],
  tools: [],
  wantsStreamUsage: true,
};
const TOOLS = [{ name: 'weather', parameters: { type: 'object' } }];

const bodyOf = (request: Partial<ChatRequest>, model = NEW) =>
  geminiChat.writeRequest({ ...BARE, ...request }, model).body;
const said = (...content: UserMessage['content']) => [{ role: 'user' as const, content }];
const answered = (...content: AssistantPart[]) => [{ role: 'assistant' as const, content }];

describe('a request to Gemini', () => {
  it('says as little as it was told', () => {
    expect(bodyOf({})).toEqual({ contents: [{ role: 'user', parts: [{ text: 'Hello' }] }] });
  });

  it('has roles that alternate, and no empty turns', () => {
    const messages = [
      ...BARE.messages,
      ...answered(),
      ...said({ kind: 'text', text: 'you' }),
      ...answered({ kind: 'text', text: 'Hi' }),
    ];
    expect(bodyOf({ messages })).toEqual({
      contents: [
        { role: 'user', parts: [{ text: 'Hello' }, { text: 'you' }] },
        { role: 'model', parts: [{ text: 'Hi' }] },
      ],
    });
  });

  it('of instructions alone has them said by the user, for a call without a turn is refused', () => {
    expect(bodyOf({ system: [{ kind: 'text', text: 'Greet.' }], messages: [] })).toEqual({
      contents: [{ role: 'user', parts: [{ text: 'Greet.' }] }],
    });
  });

  // https://ai.google.dev/gemini-api/docs/thought-signatures
  it('signs the first call of a turn with Google’s placeholder where another vendor made it, for Gemini 3 alone', () => {
    const call = { kind: 'tool-call', id: 'a', name: 'weather', argumentsJson: '{}' } as const;
    const messages = [...BARE.messages, ...answered(call, { ...call, id: 'b' })];
    const parts = [
      { functionCall: { id: 'a', name: 'weather', args: {} }, thoughtSignature: 'skip_thought_signature_validator' },
      { functionCall: { id: 'b', name: 'weather', args: {} } },
    ];
    expect(bodyOf({ messages })).toMatchObject({ contents: [{}, { parts }] });
    expect(stringifyExactly(bodyOf({ messages }, OLD))).not.toContain('thoughtSignature');
  });

  it('shows a call whose arguments were no JSON as such, and keeps 64-bit numbers of those that were', () => {
    const call = { kind: 'tool-call', id: 'a', name: 'f' } as const;
    const messages = [
      ...answered({ ...call, argumentsJson: '{"a":' }, { ...call, argumentsJson: '{"n":9007199254740993}' }),
    ];
    const body = stringifyExactly(bodyOf({ messages }));
    expect(body).toContain('"args":{"INVALID_JSON":"{\\"a\\":"}');
    expect(body).toContain('"args":{"n":9007199254740993}');
  });

  it('leaves out a thought that another vendor encrypted', () => {
    const messages = answered({ kind: 'reasoning', text: '', redacted: 'x' }, { kind: 'text', text: 'Hi' });
    expect(bodyOf({ messages })).toEqual({ contents: [{ role: 'model', parts: [{ text: 'Hi' }] }] });
  });

  // https://ai.google.dev/gemini-api/docs/function-calling#multimodal
  it('gives a result of a function as an object where it is one, as output or error where not, with its images', () => {
    const result = (text: string, isError?: true) =>
      ({
        kind: 'tool-result',
        callId: 'a',
        toolName: 'f',
        content: [{ kind: 'text', text }],
        ...(isError && { isError }),
      }) as const;
    const image = { kind: 'media', mediaType: 'image/png', source: { kind: 'base64', data: 'AAAA' } } as const;
    const withImage = { ...result('see'), content: [...result('see').content, image] };
    const messages = said(
      result('{"degrees":7}'),
      result('[7]'),
      result('{"output":7}'),
      result('no', true),
      withImage,
    );
    expect(bodyOf({ messages })).toEqual({
      contents: [
        {
          role: 'user',
          parts: [
            { functionResponse: { id: 'a', name: 'f', response: { degrees: 7 } } },
            { functionResponse: { id: 'a', name: 'f', response: { output: '[7]' } } },
            { functionResponse: { id: 'a', name: 'f', response: { output: '{"output":7}' } } },
            { functionResponse: { id: 'a', name: 'f', response: { error: 'no' } } },
            {
              functionResponse: {
                id: 'a',
                name: 'f',
                response: { output: 'see' },
                parts: [{ inlineData: { mimeType: 'image/png', data: 'AAAA' } }],
              },
            },
          ],
        },
      ],
    });
  });

  it('tells the type of an address by its ending, and how closely to look at all images or at one', () => {
    const image = (url: string, detail?: 'low' | 'high') =>
      ({ kind: 'media', mediaType: undefined, source: { kind: 'url', url }, ...(detail && { detail }) }) as const;
    const first = image('https://example.com/a.JPG?size=2', 'low');
    expect(bodyOf({ messages: said(first) })).toEqual({
      contents: [{ role: 'user', parts: [{ fileData: { mimeType: 'image/jpeg', fileUri: first.source.url } }] }],
      generationConfig: { mediaResolution: 'MEDIA_RESOLUTION_LOW' },
    });
    expect(bodyOf({ messages: said(first, image('https://example.com/b')) })).toMatchObject({
      contents: [
        {
          parts: [
            { mediaResolution: { level: 'MEDIA_RESOLUTION_LOW' } },
            { fileData: { fileUri: 'https://example.com/b' } },
          ],
        },
      ],
    });
  });

  // https://ai.google.dev/gemini-api/docs/openai#thinking
  it.each([
    [NEW, { effort: 'low' }, { thinkingLevel: 'LOW' }],
    [NEW, { effort: 'minimal' }, { thinkingLevel: 'LOW' }],
    ['gemini-3-flash', { effort: 'minimal' }, { thinkingLevel: 'MINIMAL' }],
    ['gemini-flash-latest', { effort: 'max' }, { thinkingLevel: 'HIGH' }],
    [NEW, { effort: 'high', budgetTokens: 2000 }, { thinkingBudget: 2000 }],
    [NEW, { effort: 'low', isAdaptive: true }, { thinkingLevel: 'LOW' }],
    [OLD, { effort: 'medium', isVisible: true }, { thinkingBudget: 8192, includeThoughts: true }],
    [OLD, { effort: 'none' }, { thinkingBudget: 0 }],
    [OLD, { isAdaptive: true }, { thinkingBudget: -1 }],
  ] as const)('to %s thinks as much as %j says', (model, reasoning, thinkingConfig) => {
    expect(bodyOf({ reasoning }, model)).toMatchObject({ generationConfig: { thinkingConfig } });
  });

  it.each([
    [
      { tools: TOOLS, toolChoice: { kind: 'tool', name: 'weather' } },
      { mode: 'ANY', allowedFunctionNames: ['weather'] },
    ],
    [{ tools: TOOLS.map((tool) => ({ ...tool, strict: true })) }, { mode: 'VALIDATED' }],
    [{ tools: TOOLS, toolChoice: { kind: 'auto' } }, { mode: 'AUTO' }],
  ] as const)('has rules for its functions: %j', (request, functionCallingConfig) => {
    expect(bodyOf(request)).toMatchObject({ toolConfig: { functionCallingConfig } });
  });

  it('has no rules where there are no functions, for those are refused', () => {
    expect(bodyOf({ toolChoice: { kind: 'auto' } })).not.toHaveProperty('toolConfig');
    expect(bodyOf({ toolChoice: { kind: 'none' } })).not.toHaveProperty('toolConfig');
  });

  it('names its model and whether it streams in the path', () => {
    const { requestPath } = geminiChat;
    expect(requestPath({ upstreamModel: OLD, streamed: false })).toBe(`/models/${OLD}:generateContent`);
    expect(requestPath({ upstreamModel: `models/${OLD}`, streamed: true })).toBe(
      `/models/${OLD}:streamGenerateContent?alt=sse`,
    );
  });
});

describe('what Gemini cannot be told', () => {
  const file = { kind: 'media', mediaType: undefined, source: { kind: 'base64', data: 'AAAA' } } as const;
  const address = { kind: 'media', mediaType: undefined, source: { kind: 'url', url: 'ftp://a/b' } } as const;
  const imageResult = {
    kind: 'tool-result',
    callId: 'a',
    toolName: 'f',
    content: [{ ...file, mediaType: 'image/png' }],
  } as const;

  it.each<[ChatFeature, Partial<ChatRequest>, string?]>([
    ['stop', { stop: ['1', '2', '3', '4', '5', '6'] }],
    ['seed', { seed: 2 ** 40 }],
    ['responseFormat', { responseFormat: { kind: 'json' }, tools: TOOLS }, OLD],
    ['reasoning', { reasoning: { effort: 'none' } }],
    ['verbosity', { verbosity: 'low' }],
    ['serviceTier', { serviceTier: 'scale' }],
    ['parallelToolCalls', { parallelToolCalls: false, tools: TOOLS }],
    ['media', { messages: said(file) }],
    ['media.url', { messages: said(address) }],
    ['toolResult.media', { messages: said(imageResult) }, OLD],
  ])('is listed, and left out of what is written: %s', (feature, request, model = NEW) => {
    const written = geminiChat.writeRequest({ ...BARE, ...request }, model);
    expect(written.unsupported).toEqual([feature]);
    const words = /2\d{12}|"6"|responseMimeType|thinkingConfig|low|scale|ftp|AAAA/;
    expect(stringifyExactly(written.body)).not.toMatch(words);
    expect(geminiChat.fieldNames[feature]).not.toBe('');
  });

  it('is listed only where the caller asked for more than what holds anyway', () => {
    const harmless: Partial<ChatRequest> = {
      verbosity: 'medium',
      parallelToolCalls: true,
      serviceTier: 'auto',
      endUser: 'a pseudonym',
      responseFormat: { kind: 'json' },
      tools: TOOLS,
    };
    expect(geminiChat.writeRequest({ ...BARE, ...harmless }, NEW).unsupported).toEqual([]);
  });
});
