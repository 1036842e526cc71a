import { describe, expect, it } from 'vitest';
import type { ChatRequest, FieldFault } from '../chat.js';
import { parseJsonExactly, stringifyExactly } from '../json.js';
import { geminiChat } from './gemini.js';

const HELLO = [{ role: 'user', parts: [{ text: 'Hello' }] }];

function read(body: unknown): ChatRequest {
  const request = geminiChat.readRequest(body, { model: 'alias', streamed: true });
  if ('unreadable' in request) throw new Error(stringifyExactly(request));
  return request;
}

function refusal(body: unknown): FieldFault {
  const request = geminiChat.readRequest(body, { model: 'alias', streamed: false });
  const fault = 'unreadable' in request ? request.unreadable : request.inexpressible?.[0];
  if (fault === undefined) throw new Error('it was read, and whole');
  return fault;
}

describe('a request of a Gemini client', () => {
  it('names model and streaming in the path and always wants usage', () => {
    expect(read({ contents: HELLO })).toEqual({
      model: 'alias',
      streamed: true,
      system: [],
      messages: [{ role: 'user', content: [{ kind: 'text', text: 'Hello' }] }],
      tools: [],
      wantsStreamUsage: true,
    });
  });

  // https://ai.google.dev/gemini-api/docs/text-generation: its curl examples write snake_case, and one value for a list.
  it('may be spelt in snake_case, and with one value where a list is meant', () => {
    const request = read({
      system_instruction: { parts: { text: 'You are a cat.' } },
      contents: { parts: { text: 'Hello' } },
      generation_config: { max_output_tokens: 100, stop_sequences: 'Title', top_k: 10 },
    });
    expect(request).toMatchObject({
      system: [{ kind: 'text', text: 'You are a cat.' }],
      messages: [{ role: 'user', content: [{ kind: 'text', text: 'Hello' }] }],
      maxOutputTokens: 100,
      stop: ['Title'],
      topK: 10,
    });
  });

  // https://ai.google.dev/gemini-api/docs/function-calling
  it('brings each result of a function to its call, by id or by name, parallel ones in their order', () => {
    const { messages } = read({
      contents: [
        ...HELLO,
        {
          role: 'model',
          parts: [
            { functionCall: { name: 'weather', args: { city: 'Bern' } }, thoughtSignature: 'c2ln' },
            { functionCall: { name: 'weather', args: { city: 'Rome' } } },
            { functionCall: { id: 'own', name: 'clock' } },
          ],
        },
        {
          role: 'user',
          parts: [
            { functionResponse: { id: 'own', name: 'clock', response: { output: '12:00' } } },
            { functionResponse: { name: 'weather', response: { degrees: 7 } } },
            { functionResponse: { name: 'weather', response: { error: 'no such city' } } },
          ],
        },
      ],
    });
    expect(messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: [
          { kind: 'tool-call', id: 'call_1_0', name: 'weather', argumentsJson: '{"city":"Bern"}', signature: 'c2ln' },
          { kind: 'tool-call', id: 'call_1_1', name: 'weather', argumentsJson: '{"city":"Rome"}' },
          { kind: 'tool-call', id: 'own', name: 'clock', argumentsJson: '{}' },
        ],
      },
      {
        role: 'user',
        content: [
          { kind: 'tool-result', callId: 'own', toolName: 'clock', content: [{ kind: 'text', text: '12:00' }] },
          {
            kind: 'tool-result',
            callId: 'call_1_0',
            toolName: 'weather',
            content: [{ kind: 'text', text: '{"degrees":7}' }],
          },
          {
            kind: 'tool-result',
            callId: 'call_1_1',
            toolName: 'weather',
            content: [{ kind: 'text', text: 'no such city' }],
            isError: true,
          },
        ],
      },
    ]);
  });

  it('keeps a 64-bit number in the arguments of a call', () => {
    const body = parseJsonExactly(
      '{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"id":9007199254740993}}}]}]}',
    );
    expect(read(body).messages[0]?.content).toMatchObject([{ argumentsJson: '{"id":9007199254740993}' }]);
  });

  it('whose client kept a streamed answer as one turn for each chunk has one turn with one signed thought', () => {
    const chunk = (part: unknown) => ({ role: 'model', parts: [part] });
    const { messages } = read({
      contents: [
        ...HELLO,
        chunk({ text: 'I should ', thought: true }),
        chunk({ text: 'greet.', thought: true }),
        chunk({ text: '', thought: true, thoughtSignature: 'c2ln' }),
        chunk({ text: 'Good ' }),
        chunk({ text: 'day' }),
        ...HELLO,
      ],
    });
    expect(messages[1]).toEqual({
      role: 'assistant',
      content: [
        { kind: 'reasoning', text: 'I should greet.', signature: 'c2ln' },
        { kind: 'text', text: 'Good day' },
      ],
    });
    expect(messages).toHaveLength(3);
  });

  // https://ai.google.dev/gemini-api/docs/image-understanding, https://ai.google.dev/gemini-api/docs/media-resolution
  it('gives images by their bytes or by a public address, and says how closely to look', () => {
    const { messages } = read({
      contents: [
        {
          parts: [
            {
              inlineData: { mimeType: 'image/png', data: 'AAAA' },
              mediaResolution: { level: 'MEDIA_RESOLUTION_HIGH' },
            },
            { file_data: { mime_type: 'application/pdf', file_uri: 'https://example.com/a.pdf' } },
          ],
        },
      ],
      generationConfig: { mediaResolution: 'MEDIA_RESOLUTION_LOW' },
    });
    expect(messages[0]?.content).toEqual([
      { kind: 'media', mediaType: 'image/png', source: { kind: 'base64', data: 'AAAA' }, detail: 'high' },
      {
        kind: 'media',
        mediaType: 'application/pdf',
        source: { kind: 'url', url: 'https://example.com/a.pdf' },
        detail: 'low',
      },
    ]);
  });

  // https://ai.google.dev/gemini-api/docs/structured-output
  it('has its schemas in Google’s form read as JSON Schema', () => {
    const request = read({
      contents: HELLO,
      generationConfig: {
        responseMimeType: 'application/json',
        responseSchema: {
          type: 'OBJECT',
          properties: {
            name: { type: 'STRING', nullable: true, minLength: '1' },
            size: { type: 'STRING', format: 'enum', enum: ['S', 'L'], nullable: true },
            either: { anyOf: [{ type: 'INTEGER' }], nullable: true },
          },
          propertyOrdering: ['size', 'name'],
          required: ['name'],
        },
      },
    });
    expect(request.responseFormat).toEqual({
      kind: 'json-schema',
      name: 'response',
      schema: {
        type: 'object',
        required: ['name'],
        properties: {
          size: { type: ['string', 'null'], enum: ['S', 'L', null] },
          name: { type: ['string', 'null'], minLength: 1 },
          either: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
        },
      },
    });
  });

  // https://ai.google.dev/gemini-api/docs/thinking
  it.each([
    [{ thinkingBudget: 0 }, { effort: 'none' }],
    [
      { thinkingBudget: -1, includeThoughts: true },
      { isAdaptive: true, isVisible: true },
    ],
    [{ thinkingBudget: 1024 }, { budgetTokens: 1024 }],
    [{ thinkingLevel: 'low' }, { effort: 'low' }],
  ])('says how much to think: %j', (thinkingConfig, reasoning) => {
    expect(read({ contents: HELLO, generationConfig: { thinkingConfig } }).reasoning).toEqual(reasoning);
  });

  // https://ai.google.dev/api/caching#FunctionCallingConfig
  it.each([
    [{ mode: 'AUTO' }, { toolChoice: { kind: 'auto' }, names: ['a', 'b'] }],
    [{ mode: 'NONE' }, { toolChoice: { kind: 'none' }, names: ['a', 'b'] }],
    [{ mode: 'ANY' }, { toolChoice: { kind: 'required' }, names: ['a', 'b'] }],
    [
      { mode: 'ANY', allowedFunctionNames: ['b'] },
      { toolChoice: { kind: 'tool', name: 'b' }, names: ['a', 'b'] },
    ],
    [
      { mode: 'VALIDATED', allowedFunctionNames: ['b'] },
      { toolChoice: { kind: 'auto' }, names: ['b'] },
    ],
  ])('says which functions may be called: %j', (functionCallingConfig, expected) => {
    const tools = [{ functionDeclarations: [{ name: 'a' }] }, { functionDeclarations: [{ name: 'b' }] }];
    const request = read({ contents: HELLO, tools, toolConfig: { functionCallingConfig } });
    expect({ toolChoice: request.toolChoice, names: request.tools.map(({ name }) => name) }).toEqual(expected);
  });

  it('may say what holds anyway', () => {
    const harmless = {
      model: 'models/alias',
      store: false,
      labels: { team: 'a' },
      safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_NONE' }],
      serviceTier: 'standard',
      generationConfig: { responseModalities: ['TEXT'], responseMimeType: 'text/plain' },
    };
    expect(read({ contents: HELLO, ...harmless }).serviceTier).toBe('default');
  });
});

describe('a request that no other vendor could be told', () => {
  it.each([
    ['generationConfig.speechConfig', { generationConfig: { speechConfig: {} } }],
    ['generation_config.response_modalities', { generation_config: { response_modalities: ['IMAGE'] } }],
    ['generationConfig.mediaResolution', { generationConfig: { mediaResolution: 'MEDIA_RESOLUTION_MEDIUM' } }],
    ['tools[0].googleSearch', { tools: [{ googleSearch: {} }] }],
    ['cachedContent', { cachedContent: 'cachedContents/1' }],
    [
      'safetySettings',
      { safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_LOW_AND_ABOVE' }] },
    ],
    ['store', { store: true }],
    ['contents[0].parts[0].videoMetadata', { contents: [{ parts: [{ text: 'a', videoMetadata: {} }] }] }],
    ['contents[0].parts[0].fileData', { contents: [{ parts: [{ fileData: { fileUri: 'gs://a/b' } }] }] }],
    ['contents.parts.file_data', { contents: { parts: { file_data: { file_uri: 'files/1' } } } }],
  ])('is refused for %s, in the caller’s own spelling', (field, fields) => {
    const { field: named, message } = refusal({ contents: HELLO, ...fields });
    expect(named).toBe(field);
    expect(message).toBe(`The field "${field}" cannot be used with this model, which is served through another API.`);
  });

  it.each([
    ['contents', {}, 'The field "contents" is required.'],
    ['contents', { contents: [] }, 'The field "contents" must not be empty.'],
    ['contents[0].parts[0]', { contents: [{ parts: [{}] }] }, 'The part "contents[0].parts[0]" is empty.'],
    [
      'generationConfig.temperature',
      { contents: HELLO, generationConfig: { temperature: 'hot' } },
      'The field "generationConfig.temperature" must be a number.',
    ],
    [
      'generationConfig.thinkingConfig.thinkingLevel',
      { contents: HELLO, generationConfig: { thinkingConfig: { thinkingLevel: 'LOW', thinkingBudget: 1 } } },
      'The field "generationConfig.thinkingConfig.thinkingLevel" cannot be given together with a thinking budget.',
    ],
    [
      'contents[0].parts[0].functionResponse',
      { contents: [{ parts: [{ functionResponse: { name: 'f', response: {} } }] }] },
      'The field "contents[0].parts[0].functionResponse" answers no function call before it.',
    ],
  ])('or that is wrong is refused for %s with a sentence that says why', (field, body, message) => {
    expect(refusal(body)).toEqual({ field, message });
  });

  it.each([null, undefined, 7, 'text', []])('or that is no object is refused, not fatal: %j', (body) => {
    expect(refusal(body).message).not.toBe('');
  });
});
