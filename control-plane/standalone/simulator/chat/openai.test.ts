import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../server.js';

let simulator: RunningSimulator;
let client: OpenAI;
const model = 'pingtoken-sim-small';
type Body = OpenAI.ChatCompletionCreateParamsNonStreaming;
const ask = (content: OpenAI.ChatCompletionUserMessageParam['content'], more: Partial<Body> = {}): Body => ({
  model,
  messages: [{ role: 'user', content }],
  ...more,
});
const tool = (name: string, property: string, type: string): OpenAI.ChatCompletionTool => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties: { [property]: { type } }, required: [property] } },
});
const tools = [tool('look_up', 'city', 'string'), tool('count', 'of', 'integer')];

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  client = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'k', maxRetries: 0 });
});
afterAll(() => simulator.close());

/** The same request streamed and not: the official client must put the same message together. */
async function both(body: Body) {
  const plain = await client.chat.completions.create(body);
  const stream = client.chat.completions.stream({ ...body, stream: true, stream_options: { include_usage: true } });
  // The client keeps only the last piece of a field that it does not know.
  let thought = '';
  stream.on('chunk', ({ choices }) => {
    thought += (choices[0]?.delta as { reasoning_content?: string } | undefined)?.reasoning_content ?? '';
  });
  const streamed = await stream.finalChatCompletion();
  const [one, other] = [plain.choices[0], streamed.choices[0]];
  expect(other?.finish_reason).toBe(one?.finish_reason);
  expect(other?.message.content || null).toEqual(one?.message.content || null);
  expect(other?.message.refusal || null).toEqual(one?.message.refusal || null);
  expect(other?.message.tool_calls ?? []).toMatchObject(one?.message.tool_calls ?? []);
  expect(thought).toBe((one?.message as { reasoning_content?: string } | undefined)?.reasoning_content ?? '');
  expect(streamed.usage).toEqual(plain.usage);
  return { ...plain, choice: one, text: one?.message.content ?? '' };
}

describe('OpenAI chat', () => {
  it('calls tools when told to, in parallel unless that is forbidden, and as the tool choice demands', async () => {
    const calls = async (text: string, more: Partial<Body> = {}) =>
      ((await both(ask(text, { tools, ...more }))).choice?.message.tool_calls ?? []).map((call) =>
        call.type === 'function' ? `${call.function.name} ${call.function.arguments}` : '',
      );
    const [look, count] = ['look_up {"city":"simulated city"}', 'count {"of":7}'];
    expect(await calls('use tool count please')).toEqual([count]);
    expect(await calls('use both tools')).toEqual([look, count]);
    expect(await calls('use both tools', { parallel_tool_calls: false })).toEqual([look]);
    expect(await calls('hello', { tool_choice: 'required' })).toEqual([look]);
    expect(await calls('hello', { tool_choice: { type: 'function', function: { name: 'count' } } })).toEqual([count]);
    const allowed_tools = { mode: 'required' as const, tools: [{ type: 'function', function: { name: 'count' } }] };
    expect(await calls('hello', { tool_choice: { type: 'allowed_tools', allowed_tools } })).toEqual([count]);
    expect(await calls('use both tools', { tool_choice: 'none' })).toEqual([]);
    expect(await calls('hello')).toEqual([]);
  });

  it('quotes the results of tools, by the names of the calls', async () => {
    const { text } = await both({
      ...ask(''),
      tools,
      messages: [
        { role: 'user', content: 'use tool look_up' },
        {
          role: 'assistant',
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'look_up', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'a', content: 'sunny' },
      ],
    });
    expect(text).toBe('The tools said: look_up → sunny');
  });

  it('names the images that it was shown', async () => {
    const data = Buffer.alloc(70).toString('base64');
    const { text } = await both(
      ask([
        { type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } },
        { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
        { type: 'text', text: 'What is this?' },
      ]),
    );
    expect(text).toBe('I see image/png of 70 bytes and what is at https://example.com/a.png.');
  });

  it('matches a JSON schema', async () => {
    const schema = {
      type: 'object',
      properties: { list: { type: 'array', items: { $ref: '#/$defs/item' }, minItems: 2 }, kind: { enum: ['b', 'c'] } },
      required: ['list', 'kind'],
      $defs: { item: { type: 'object', properties: { at: { type: 'string', format: 'date' } }, required: ['at'] } },
    };
    const response_format = { type: 'json_schema' as const, json_schema: { name: 'answer', schema } };
    const day = { at: '2026-01-02' };
    expect(JSON.parse((await both(ask('hi', { response_format }))).text)).toEqual({ list: [day, day], kind: 'b' });
    expect(JSON.parse((await both(ask('hi', { response_format: { type: 'json_object' } }))).text)).toHaveProperty(
      'answer',
    );
  });

  it('thinks, and counts it, when an effort is asked for', async () => {
    const { choice, usage } = await both(ask('hi', { reasoning_effort: 'high' }));
    const { reasoning_content: thought = '' } = choice?.message as { reasoning_content?: string };
    expect(thought.split(' ')).toHaveLength(16);
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBe(16);
    const tokens = 16 + (choice?.message.content ?? '').split(' ').length;
    expect(usage?.completion_tokens).toBe(tokens);
  });

  it('ends at a stop sequence, and at the filter', async () => {
    const stopped = await both(ask('hi', { stop: [' answer', ' the'] }));
    expect([stopped.choice?.finish_reason, stopped.text, stopped.usage?.completion_tokens]).toEqual([
      'stop',
      'This is',
      2,
    ]);
    const refused = await both(ask('Please refuse.'));
    expect([refused.choice?.finish_reason, refused.text]).toEqual(['content_filter', '']);
    expect(refused.choice?.message.refusal).toContain('cannot help');
  });

  it('reports cached tokens where the text asks for it', async () => {
    const { usage } = await both(ask('Please use cache for this.'));
    expect(usage?.prompt_tokens_details?.cached_tokens).toBe(Math.floor((usage?.prompt_tokens ?? 0) / 2));
  });

  it('echoes what it understood', async () => {
    const { text } = await both(
      ask('', {
        messages: [
          { role: 'developer', content: 'Be brief.' },
          { role: 'user', content: 'one' },
          { role: 'assistant', content: 'two' },
          { role: 'user', content: 'echo parameters' },
        ],
        temperature: 0.5,
        top_p: 0.9,
        seed: 7,
        stop: '§',
        max_completion_tokens: 500,
        reasoning_effort: 'low',
        tools,
      }),
    );
    expect(JSON.parse(text)).toEqual({
      system: 'Be brief.',
      roles: ['user', 'assistant', 'user'],
      max: 500,
      stop: ['§'],
      temperature: 0.5,
      top_p: 0.9,
      seed: 7,
      tools: ['look_up', 'count'],
      tool_choice: 'auto',
      reasoning: 'low',
    });
  });
});
