import { describe, expect, it } from 'vitest';
import { parseJsonExactly } from '../json.js';
import { anthropicChat } from './anthropic.js';

const minimal = { model: 'm', max_tokens: 64, messages: [{ role: 'user', content: 'Hi' }] };
const read = (body: unknown) => anthropicChat.readRequest(body, { model: undefined, streamed: undefined });
const readUser = (...content: unknown[]) => read({ ...minimal, messages: [{ role: 'user', content }] });
const firstFault = (request: ReturnType<typeof read>) =>
  'unreadable' in request ? request.unreadable : request.inexpressible?.[0];

/** https://platform.claude.com/docs/en/agents-and-tools/tool-use/parallel-tool-use */
const conversation = {
  model: 'assistant',
  max_tokens: 1024,
  stream: true,
  system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral', ttl: '1h' } }],
  messages: [
    {
      role: 'user',
      content: [
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBO' } },
        { type: 'image', source: { type: 'url', url: 'https://example.com/a.jpg' } },
        { type: 'document', title: 'Paper', source: { type: 'url', url: 'https://example.com/a.pdf' } },
        { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'Grüße' } },
        { type: 'text', text: 'Weather?', cache_control: { type: 'ephemeral' } },
      ],
    },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'Two calls.', signature: 'EqQB' },
        { type: 'redacted_thinking', data: 'EmwK' },
        { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Bonn' }, caller: { type: 'direct' } },
        { type: 'tool_use', id: 'toolu_2', name: 'get_time', input: {} },
      ],
    },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'toolu_1', content: '15 degrees' },
        {
          type: 'tool_result',
          tool_use_id: 'toolu_2',
          is_error: true,
          content: [{ type: 'text', text: 'no clock', citations: null }],
        },
      ],
    },
    { role: 'system', content: 'Answer in German.' },
  ],
  tools: [
    { name: 'get_weather', description: 'Weather', input_schema: { type: 'object' }, strict: true },
    { type: 'custom', name: 'get_time', input_schema: { type: 'object' }, cache_control: { type: 'ephemeral' } },
  ],
  tool_choice: { type: 'any', disable_parallel_tool_use: true },
  temperature: 0.5,
  top_p: 0.9,
  top_k: 40,
  stop_sequences: ['END'],
  thinking: { type: 'adaptive', display: 'summarized' },
  output_config: { effort: 'high', format: { type: 'json_schema', schema: { type: 'object' } } },
  service_tier: 'standard_only',
  metadata: { user_id: 'u-1' },
  container: null,
  speed: 'standard',
};

describe('a request of the Messages API', () => {
  it('is read with every field that another dialect can be told', () => {
    expect(read(conversation)).toEqual({
      model: 'assistant',
      streamed: true,
      system: [
        { kind: 'text', text: 'Be brief.', cache: { ttl: '1h' } },
        { kind: 'text', text: 'Answer in German.' },
      ],
      messages: [
        {
          role: 'user',
          content: [
            { kind: 'media', mediaType: 'image/png', source: { kind: 'base64', data: 'iVBO' } },
            { kind: 'media', mediaType: undefined, source: { kind: 'url', url: 'https://example.com/a.jpg' } },
            {
              kind: 'media',
              mediaType: 'application/pdf',
              fileName: 'Paper',
              source: { kind: 'url', url: 'https://example.com/a.pdf' },
            },
            { kind: 'media', mediaType: 'text/plain', source: { kind: 'base64', data: 'R3LDvMOfZQ==' } },
            { kind: 'text', text: 'Weather?', cache: { ttl: '5m' } },
          ],
        },
        {
          role: 'assistant',
          content: [
            { kind: 'reasoning', text: 'Two calls.', signature: 'EqQB' },
            { kind: 'reasoning', text: '', redacted: 'EmwK' },
            { kind: 'tool-call', id: 'toolu_1', name: 'get_weather', argumentsJson: '{"city":"Bonn"}' },
            { kind: 'tool-call', id: 'toolu_2', name: 'get_time', argumentsJson: '{}' },
          ],
        },
        {
          role: 'user',
          content: [
            {
              kind: 'tool-result',
              callId: 'toolu_1',
              toolName: 'get_weather',
              content: [{ kind: 'text', text: '15 degrees' }],
            },
            {
              kind: 'tool-result',
              callId: 'toolu_2',
              toolName: 'get_time',
              isError: true,
              content: [{ kind: 'text', text: 'no clock' }],
            },
          ],
        },
      ],
      tools: [
        { name: 'get_weather', description: 'Weather', parameters: { type: 'object' }, strict: true },
        { name: 'get_time', parameters: { type: 'object' }, cache: { ttl: '5m' } },
      ],
      toolChoice: { kind: 'required' },
      parallelToolCalls: false,
      maxOutputTokens: 1024,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      stop: ['END'],
      responseFormat: { kind: 'json-schema', name: 'response', schema: { type: 'object' }, strict: true },
      reasoning: { isAdaptive: true, isVisible: true, effort: 'high' },
      serviceTier: 'default',
      endUser: 'u-1',
      wantsStreamUsage: true,
    });
  });

  it('keeps a number that a double would alter in the arguments of a call', () => {
    const call = '{"type":"tool_use","id":"a","name":"n","input":{"id":9007199254740993}}';
    const body = `{"model":"m","max_tokens":1.0,"messages":[{"role":"assistant","content":[${call}]}]}`;
    expect(read(parseJsonExactly(body))).toMatchObject({
      maxOutputTokens: 1,
      messages: [{ content: [{ argumentsJson: '{"id":9007199254740993}' }] }],
    });
  });

  it('with a cache mark at its top has it behind the last block that can bear one', () => {
    const { messages } = conversation;
    const marked = { ...minimal, cache_control: { type: 'ephemeral' } };
    expect(read(marked)).toMatchObject({ messages: [{ content: [{ text: 'Hi', cache: { ttl: '5m' } }] }] });
    expect(read({ ...marked, messages: messages.slice(0, 2) })).toMatchObject({
      messages: [{}, { content: [{}, {}, {}, { id: 'toolu_2', cache: { ttl: '5m' } }] }],
    });
  });

  it.each([
    [{ thinking: { type: 'disabled' } }, { effort: 'none' }],
    [
      { thinking: { type: 'enabled', budget_tokens: 2000, display: 'omitted' } },
      { budgetTokens: 2000, isVisible: false },
    ],
    [{ output_config: { effort: 'low' } }, { effort: 'low' }],
    [{ output_config: { effort: 'high' }, thinking: { type: 'disabled' } }, { effort: 'none' }],
  ])('says by %j how it is to be thought', (fields, reasoning) => {
    expect(read({ ...minimal, ...fields })).toMatchObject({ reasoning });
  });

  it('has fields ignored that ask for nothing', () => {
    const silent = { container: null, inference_geo: null, mcp_servers: [], metadata: {}, tools: [], unheard_of: null };
    expect(read({ ...minimal, ...silent })).toEqual(read(minimal));
  });
});

describe('what another provider could not be told', () => {
  it.each([
    ['unheard_of', { unheard_of: 1 }],
    ['container', { container: 'c' }],
    ['inference_geo', { inference_geo: 'us' }],
    ['mcp_servers', { mcp_servers: [{ url: 'https://example.com' }] }],
    ['speed', { speed: 'fast' }],
    ['max_tokens', { max_tokens: 0 }],
    ['max_tokens', { max_tokens: undefined }],
    ['model', { model: 7 }],
    ['messages', { messages: 'Hi' }],
    ['messages.0', { messages: [null] }],
    ['messages.0.role', { messages: [{ role: 'tool', content: '' }] }],
    ['messages.0.name', { messages: [{ role: 'user', content: 'Hi', name: 'x' }] }],
    ['stop_sequences', { stop_sequences: [1] }],
    ['temperature', { temperature: 'hot' }],
    ['metadata.plan', { metadata: { plan: 'x' } }],
    ['thinking.type', { thinking: { type: 'between_tools' } }],
    ['thinking.budget_tokens', { thinking: { type: 'enabled' } }],
    ['output_config.effort', { output_config: { effort: 'low' }, thinking: { type: 'disabled' } }],
    ['output_config.effort', { output_config: { effort: 'extreme' } }],
    ['output_config.task_budget', { output_config: { task_budget: {} } }],
    ['output_config.format.type', { output_config: { format: { type: 'regex' } } }],
    ['tools.0.type', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
    ['tools.0.defer_loading', { tools: [{ name: 'a', input_schema: {}, defer_loading: true }] }],
    ['tools.0.input_examples', { tools: [{ name: 'a', input_schema: {}, input_examples: [{}] }] }],
    ['tool_choice.type', { tool_choice: { type: 'all' } }],
    ['cache_control.ttl', { cache_control: { type: 'ephemeral', ttl: '1d' } }],
  ])('is refused by the name that the caller gave it: %s', (field, fields) => {
    expect(firstFault(read({ ...minimal, ...fields }))).toMatchObject({ field });
  });

  it.each([
    ['type', { type: 'search_result', source: 's', title: 't', content: [] }],
    ['type', { type: 'thinking', thinking: 'a user does not think', signature: 's' }],
    ['source.type', { type: 'image', source: { type: 'file', file_id: 'f' } }],
    ['source.type', { type: 'document', source: { type: 'content', content: 'x' } }],
    ['citations', { type: 'document', citations: { enabled: true }, source: { type: 'url', url: 'https://a' } }],
    ['context', { type: 'document', context: 'c', source: { type: 'url', url: 'https://a' } }],
    [
      'transformations',
      { type: 'image', transformations: { oversized_image: 'error' }, source: { type: 'url', url: 'u' } },
    ],
    ['citations', { type: 'text', text: 'a', citations: [{ type: 'char_location' }] }],
    ['tool_use_id', { type: 'tool_result', tool_use_id: 'nobody', content: 'x' }],
    ['text', { type: 'text' }],
  ])('in a block of a message is refused with its path: %s', (name, block) => {
    const fault = firstFault(readUser({ type: 'text', text: 'a' }, block));
    expect(fault).toMatchObject({ field: `messages.0.content.1.${name}` });
  });

  it.each([null, [], 'x', 7])('is a body that is no object: %j', (body) => {
    expect(read(body)).toHaveProperty('unreadable');
  });
});
