import { describe, expect, it } from 'vitest';
import { parseJsonExactly, stringifyExactly } from '../json.js';
import type { ChatRequest } from '../chat.js';
import { openAiChat } from './openai.js';

const NO_PATH = { model: undefined, streamed: undefined };
const HELLO = { model: 'm', messages: [{ role: 'user', content: 'Hello' }] };

function read(body: unknown): ChatRequest {
  const request = openAiChat.readRequest(body, NO_PATH);
  if ('unreadable' in request) throw new Error(`${request.unreadable.field}: ${request.unreadable.message}`);
  return request;
}

function refusedField(body: unknown): string | undefined {
  const request = openAiChat.readRequest(body, NO_PATH);
  return 'unreadable' in request ? request.unreadable.field : request.inexpressible?.[0]?.field;
}

function readContent(part: unknown): unknown {
  return read({ model: 'm', messages: [{ role: 'user', content: [part] }] }).messages[0]?.content[0];
}

// Bodies after https://platform.openai.com/docs/api-reference/chat/create
describe('a request', () => {
  it('is read with every field that has a meaning elsewhere', () => {
    const schema = { type: 'object', properties: { a: { type: 'number' } } };
    const request = read({
      ...HELLO,
      stream: true,
      stream_options: { include_usage: true, include_obfuscation: false },
      max_completion_tokens: 99,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      frequency_penalty: -1,
      presence_penalty: 1,
      seed: -7,
      stop: 'END',
      n: 2,
      logprobs: true,
      top_logprobs: 3,
      verbosity: 'low',
      service_tier: 'flex',
      reasoning_effort: 'high',
      parallel_tool_calls: false,
      user: 'someone',
      tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: schema, strict: true } }],
      tool_choice: { type: 'function', function: { name: 'f' } },
      response_format: { type: 'json_schema', json_schema: { name: 'r', schema, strict: true } },
    });
    expect(request).toEqual({
      model: 'm',
      streamed: true,
      wantsStreamUsage: true,
      system: [],
      messages: [{ role: 'user', content: [{ kind: 'text', text: 'Hello' }] }],
      maxOutputTokens: 99,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      frequencyPenalty: -1,
      presencePenalty: 1,
      seed: -7,
      stop: ['END'],
      answerCount: 2,
      logprobs: { top: 3 },
      verbosity: 'low',
      serviceTier: 'flex',
      reasoning: { effort: 'high' },
      parallelToolCalls: false,
      endUser: 'someone',
      tools: [{ name: 'f', description: 'd', parameters: schema, strict: true }],
      toolChoice: { kind: 'tool', name: 'f' },
      responseFormat: { kind: 'json-schema', name: 'r', schema, strict: true },
    });
  });

  it('takes null, hints and values that ask for nothing as not given', () => {
    const silent = {
      stop: null,
      temperature: null,
      logit_bias: {},
      metadata: {},
      modalities: ['text'],
      store: false,
      audio: null,
      functions: [],
      logprobs: false,
      response_format: { type: 'text' },
      service_tier: 'auto',
      prediction: { type: 'content', content: 'x' },
      prompt_cache_key: 'k',
      prompt_cache_options: { mode: 'implicit' },
      unheard_of: null,
    };
    expect(read({ ...HELLO, ...silent })).toEqual(read(HELLO));
  });

  it.each([
    ['logit_bias', { 50256: -100 }],
    ['metadata', { a: 'b' }],
    ['store', true],
    ['modalities', ['text', 'audio']],
    ['audio', { voice: 'alloy', format: 'wav' }],
    ['web_search_options', {}],
    ['moderation', { model: 'omni' }],
    ['functions', [{ name: 'f' }]],
    ['function_call', 'auto'],
    ['temperature', '1'],
    ['n', 0],
    ['n', 1.5],
    ['seed', 2 ** 60],
    ['stop', [1]],
    ['stream', 'true'],
    ['verbosity', 'loud'],
    ['reasoning_effort', 'some'],
    ['max_tokens', -1],
    ['top_logprobs', 2],
    ['tool_choice', 'any'],
    ['tool_choice', 7],
    ['unheard_of', 0],
    ['messages', 'Hello'],
    ['model', ''],
    ['toString', 1],
  ])('that says what cannot be carried over is refused by the name of its field: %s %j', (field, value) => {
    expect(refusedField({ ...HELLO, [field]: value })).toBe(field);
  });

  it.each([
    [{ tools: [{ type: 'custom', custom: { name: 'c' } }] }, 'tools[0].type'],
    [{ tools: [{ type: 'function', function: { name: 'f', parameters: 'x' } }] }, 'tools[0].function.parameters'],
    [{ tools: [{ type: 'function', function: { name: 'f', secret: 1 } }] }, 'tools[0].function.secret'],
    [{ stream_options: { chunk: 1 } }, 'stream_options.chunk'],
    [{ response_format: { type: 'grammar' } }, 'response_format.type'],
    [{ tool_choice: { type: 'custom', custom: { name: 'c' } } }, 'tool_choice.type'],
    [{ max_tokens: 1, max_completion_tokens: 2 }, 'max_tokens'],
  ])('names the field inside of another: %j', (extra, field) => {
    expect(refusedField({ ...HELLO, ...extra })).toBe(field);
  });

  it.each([[null], ['x'], [[]]])('that is no object is refused: %j', (body) => {
    expect(refusedField(body)).toBe('');
  });

  it('keeps numbers of a schema that a double would alter', () => {
    const text = '{"type":"integer","maximum":9007199254740993,"multipleOf":1.0}';
    const tools = `[{"type":"function","function":{"name":"f","parameters":${text}}}]`;
    const body = parseJsonExactly(`{"model":"m","temperature":1.0,"messages":[],"tools":${tools}}`);
    const request = read(body);
    expect(request.temperature).toBe(1);
    expect(stringifyExactly(request.tools[0]?.parameters)).toBe(text);
    expect(stringifyExactly(openAiChat.writeRequest(request, 'm').body)).toContain(text);
  });

  it('that allows some tools only offers no others', () => {
    const tools = ['a', 'b'].map((name) => ({ type: 'function', function: { name } }));
    const choice = { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [tools[1]] } };
    const request = read({ ...HELLO, tools, tool_choice: choice });
    expect(request.tools).toEqual([{ name: 'b' }]);
    expect(request.toolChoice).toEqual({ kind: 'required' });
  });
});

describe('messages', () => {
  it('of system and developer are instructions wherever they stand', () => {
    const { system, messages } = read({
      model: 'm',
      messages: [
        { role: 'system', content: 'one' },
        { role: 'user', content: 'Hello' },
        { role: 'developer', content: [{ type: 'text', text: 'two' }] },
      ],
    });
    expect(system.map((part) => part.text)).toEqual(['one', 'two']);
    expect(messages).toHaveLength(1);
  });

  // https://platform.openai.com/docs/guides/function-calling
  it('carry parallel calls and their results, as one turn, with the names of the tools', () => {
    const call = (id: string, name: string, json: string) => ({
      id,
      type: 'function',
      function: { name, arguments: json },
    });
    const { messages } = read({
      model: 'm',
      messages: [
        { role: 'user', content: 'Weather?' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [call('c1', 'weather', '{"at":"Oslo"}'), call('c2', 'time', '')],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'rain' },
        { role: 'tool', tool_call_id: 'c2', content: [{ type: 'text', text: 'noon' }], name: 'time' },
        { role: 'user', content: 'Thanks' },
      ],
    });
    expect(messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: [
          { kind: 'tool-call', id: 'c1', name: 'weather', argumentsJson: '{"at":"Oslo"}' },
          { kind: 'tool-call', id: 'c2', name: 'time', argumentsJson: '{}' },
        ],
      },
      {
        role: 'user',
        content: [
          { kind: 'tool-result', callId: 'c1', toolName: 'weather', content: [{ kind: 'text', text: 'rain' }] },
          { kind: 'tool-result', callId: 'c2', toolName: 'time', content: [{ kind: 'text', text: 'noon' }] },
        ],
      },
      { role: 'user', content: [{ kind: 'text', text: 'Thanks' }] },
    ]);
  });

  it('take back an answer as this dialect gave it: thoughts with signatures, signed calls, refusal, and what only describes it', () => {
    const content = [
      { kind: 'reasoning', text: 'hm', signature: 's1' },
      { kind: 'reasoning', text: '', redacted: 'xyz' },
      { kind: 'text', text: 'well' },
      { kind: 'refusal', text: 'no' },
      { kind: 'tool-call', id: 'c', name: 'f', argumentsJson: '{}', signature: 's2' },
    ] as const;
    const choices = [{ content, finish: 'tool-calls' }] as const;
    const answer = openAiChat.writeAnswer({ id: 'a', model: 'm', choices, usage: undefined }, 'm');
    const given = (answer as { choices: [{ message: object }] }).choices[0].message;
    const message = { ...given, annotations: [], audio: null, function_call: null, parsed: null };
    expect(read({ model: 'm', messages: [message] }).messages).toEqual([{ role: 'assistant', content }]);
  });

  it.each([
    [{ role: 'user', content: 'x', name: 'Ann' }, 'messages[0].name'],
    [{ role: 'function', content: 'x', name: 'f' }, 'messages[0].role'],
    [{ content: 'x' }, 'messages[0].role'],
    [{ role: 'assistant', content: 'x', prefix: true }, 'messages[0].prefix'],
    [{ role: 'assistant', audio: { id: 'a' } }, 'messages[0].audio'],
    [{ role: 'tool', tool_call_id: 'nobody', content: 'x' }, 'messages[0].tool_call_id'],
    [{ role: 'user', content: [{ type: 'video_url' }] }, 'messages[0].content[0].type'],
    [{ role: 'user', content: [{ type: 'text', text: 'x', more: 1 }] }, 'messages[0].content[0].more'],
    [{ role: 'user', content: [{ type: 'file', file: { file_id: 'f' } }] }, 'messages[0].content[0].file.file_id'],
    [
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'ftp://x/y' } }] },
      'messages[0].content[0].image_url.url',
    ],
    [
      { role: 'assistant', tool_calls: [{ id: 'c', function: { name: 'f', arguments: '{"a":' } }] },
      'messages[0].tool_calls[0].function.arguments',
    ],
    [{ role: 'system', content: [{ type: 'file', file: { file_data: 'eA==' } }] }, 'messages[0].content'],
  ])('are refused by the path of what cannot be carried over: %j', (message, field) => {
    expect(refusedField({ model: 'm', messages: [message] })).toBe(field);
  });
});

describe('media', () => {
  it.each([
    [
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBO', detail: 'low' } },
      { kind: 'media', mediaType: 'image/png', source: { kind: 'base64', data: 'iVBO' }, detail: 'low' },
    ],
    [
      { type: 'image_url', image_url: { url: 'https://example.com/cat.png', detail: 'original' } },
      {
        kind: 'media',
        mediaType: undefined,
        source: { kind: 'url', url: 'https://example.com/cat.png' },
        detail: 'high',
      },
    ],
    [
      { type: 'input_audio', input_audio: { data: 'UklG', format: 'mp3' } },
      { kind: 'media', mediaType: 'audio/mpeg', source: { kind: 'base64', data: 'UklG' } },
    ],
    [
      { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBE' } },
      {
        kind: 'media',
        mediaType: 'application/pdf',
        source: { kind: 'base64', data: 'JVBE' },
        fileName: 'a.pdf',
      },
    ],
    [
      { type: 'text', text: 'x', cache_control: { type: 'ephemeral', ttl: '1h' } },
      { kind: 'text', text: 'x', cache: { ttl: '1h' } },
    ],
    [
      { type: 'text', text: 'x', prompt_cache_breakpoint: { mode: 'explicit' } },
      { kind: 'text', text: 'x', cache: { ttl: '5m' } },
    ],
  ])('and cache marks are read: %j', (part, expected) => {
    expect(readContent(part)).toEqual(expected);
  });
});
