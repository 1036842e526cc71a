import Anthropic, { AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../server.js';

let simulator: RunningSimulator;
let client: Anthropic;
const model = 'sim-anthropic';
const ask = (
  content: Anthropic.MessageParam['content'],
  more: Partial<Anthropic.MessageCreateParamsNonStreaming> = {},
) => ({
  model,
  max_tokens: 4096,
  messages: [{ role: 'user' as const, content }],
  ...more,
});
const tools: Anthropic.Tool[] = [
  {
    name: 'look_up',
    input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
  { name: 'count', input_schema: { type: 'object', properties: { of: { type: 'integer' } }, required: ['of'] } },
];
const textOf = ({ content }: Anthropic.Message) =>
  content.map((each) => (each.type === 'text' ? each.text : '')).join('');

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  client = new Anthropic({ baseURL: simulator.url, apiKey: 'k', maxRetries: 0 });
});
afterAll(() => simulator.close());

/** The same request streamed and not: the official client must put the same message together. */
async function both(body: Anthropic.MessageCreateParamsNonStreaming): Promise<Anthropic.Message> {
  const plain = await client.messages.create(body);
  const streamed = await client.messages.stream(body).finalMessage();
  expect(streamed.content).toEqual(plain.content);
  expect([streamed.stop_reason, streamed.stop_sequence]).toEqual([plain.stop_reason, plain.stop_sequence]);
  expect(streamed.usage).toEqual(plain.usage);
  return plain;
}

describe('Anthropic messages', () => {
  it('say the same streamed and not, and count as OpenAI’s dialect does', async () => {
    const message = await both(ask('Grüße'));
    expect(message).toMatchObject({ type: 'message', role: 'assistant', model, stop_reason: 'end_turn' });
    expect(textOf(message)).toContain('simulator’s answer');
    expect(message.usage).toMatchObject({ input_tokens: 2, cache_read_input_tokens: 0 });
    expect(message.usage.output_tokens).toBe(textOf(message).split(' ').length);
    const count = await client.messages.countTokens({ model, messages: [{ role: 'user', content: 'Grüße' }] });
    expect(count.input_tokens).toBe(2);
  });

  it('call tools when told to, in parallel unless that is forbidden, and as the tool choice demands', async () => {
    const one = await both(ask('Please use tool look_up.', { tools }));
    expect(one.stop_reason).toBe('tool_use');
    expect(one.content).toMatchObject([{ type: 'tool_use', name: 'look_up', input: { city: 'simulated city' } }]);
    const names = async (text: string, tool_choice: Anthropic.ToolChoice) =>
      (await both(ask(text, { tools, tool_choice }))).content.flatMap((each) =>
        each.type === 'tool_use' ? each.name : [],
      );
    expect(await names('use both tools', { type: 'auto' })).toEqual(['look_up', 'count']);
    expect(await names('use both tools', { type: 'auto', disable_parallel_tool_use: true })).toEqual(['look_up']);
    expect(await names('hello', { type: 'any' })).toEqual(['look_up']);
    expect(await names('hello', { type: 'tool', name: 'count' })).toEqual(['count']);
    expect(await names('use both tools', { type: 'none' })).toEqual([]);
  });

  it('quote the results of tools', async () => {
    const message = await both({
      ...ask('', { tools }),
      messages: [
        { role: 'user', content: 'use both tools' },
        {
          role: 'assistant',
          content: [
            { type: 'tool_use', id: 'a', name: 'look_up', input: { city: 'x' } },
            { type: 'tool_use', id: 'b', name: 'count', input: { of: 1 } },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'a', content: 'sunny' },
            { type: 'tool_result', tool_use_id: 'b', content: [{ type: 'text', text: '42' }] },
          ],
        },
      ],
    });
    expect(textOf(message)).toBe('The tools said: look_up → sunny; count → 42');
  });

  it('name the images that they were shown', async () => {
    const data = Buffer.alloc(70).toString('base64');
    const message = await both(
      ask([
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data } },
        { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
        { type: 'text', text: 'What is this?' },
      ]),
    );
    expect(textOf(message)).toBe('I see image/png of 70 bytes and what is at https://example.com/a.png.');
  });

  it('match a JSON schema', async () => {
    const schema = { type: 'object', properties: { n: { type: 'integer', minimum: 10 } }, required: ['n'] };
    const message = await both(ask('hi', { output_config: { format: { type: 'json_schema', schema } } }));
    expect(JSON.parse(textOf(message))).toEqual({ n: 10 });
  });

  it('think, signed and counted, when asked', async () => {
    const message = await both(ask('hi', { thinking: { type: 'enabled', budget_tokens: 2048 } }));
    expect(message.content).toMatchObject([
      { type: 'thinking', signature: expect.stringMatching(/./) },
      { type: 'text' },
    ]);
    expect(message.usage.output_tokens_details).toEqual({ thinking_tokens: 8 });
  });

  it('end at a stop sequence, at the cap, and with a refusal', async () => {
    const stopped = await both(ask('hi', { stop_sequences: [' answer', ' the'] }));
    expect([stopped.stop_reason, stopped.stop_sequence, textOf(stopped)]).toEqual(['stop_sequence', ' the', 'This is']);
    const cut = await both(ask('hi', { max_tokens: 3 }));
    expect([cut.stop_reason, cut.usage.output_tokens]).toEqual(['max_tokens', 3]);
    const refused = await both(ask('Please refuse.'));
    expect([refused.stop_reason, refused.stop_details?.type]).toEqual(['refusal', 'refusal']);
  });

  it('report cached tokens apart from the input', async () => {
    const { usage } = await both(ask('[[sim cached=3 cache-write=2]]'));
    expect(usage).toMatchObject({ input_tokens: 8 - 5, cache_read_input_tokens: 3, cache_creation_input_tokens: 2 });
  });

  it('echo what they understood', async () => {
    // Only older models take these; the client's types have dropped them.
    const sampling: object = { temperature: 0.5, top_p: 0.9, top_k: 4 };
    const message = await both({
      ...ask('echo parameters'),
      ...sampling,
      system: 'Be brief.',
      stop_sequences: ['§'],
      metadata: { user_id: 'someone' },
    });
    expect(JSON.parse(textOf(message))).toEqual({
      system: 'Be brief.',
      roles: ['user'],
      max: 4096,
      stop: ['§'],
      temperature: 0.5,
      top_p: 0.9,
      top_k: 4,
      user: 'someone',
    });
  });
});

describe('Anthropic refusals', () => {
  it('are the client’s own typed errors', async () => {
    await expect(client.messages.create({ ...ask('x'), model: 'none' })).rejects.toThrow(NotFoundError);
    await expect(client.messages.create({ ...ask('x'), max_tokens: 0 })).rejects.toThrow(BadRequestError);
    const limited = client.messages.create(ask('[[sim status=429 retry-after=3]]'));
    await expect(limited).rejects.toThrow(RateLimitError);
    await expect(limited).rejects.toMatchObject({ error: { type: 'error', error: { type: 'rate_limit_error' } } });
    const keyless = new Anthropic({ baseURL: simulator.url, apiKey: null, authToken: 'bearer', maxRetries: 0 });
    expect((await keyless.messages.create(ask('x'))).role).toBe('assistant');
    const nobody = await fetch(`${simulator.url}/v1/messages`, { method: 'POST', body: '{}' });
    expect([nobody.status, await nobody.json()]).toMatchObject([401, { error: { type: 'authentication_error' } }]);
    expect(AuthenticationError).toBeDefined();
  });

  it('ask for the version header', async () => {
    const headers = { 'x-api-key': 'k' };
    const answer = await fetch(`${simulator.url}/v1/messages`, {
      method: 'POST',
      headers,
      body: JSON.stringify(ask('x')),
    });
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: { type: 'invalid_request_error' } }]);
  });

  it('come inside a stream as an error event', async () => {
    const stream = client.messages.stream(ask('[[sim tokens=20 error-in-stream=5]]'));
    await expect(stream.finalMessage()).rejects.toThrow('Simulated error inside the stream');
  });

  it('leave out the usage when told to', async () => {
    const message = await client.messages.create(ask('[[sim usage=none]]'));
    expect(message).not.toHaveProperty('usage');
  });
});

describe('Anthropic streams', () => {
  it('survive any split and line end', async () => {
    const message = await client.messages.stream(ask('[[sim split=1 crlf comments tokens=9]]')).finalMessage();
    expect(textOf(message).split(' ')).toHaveLength(9);
  });

  it('are counted as far as they went', async () => {
    const headers = { 'x-request-id': 'died' };
    const stream = client.messages.stream(ask('[[sim die-after=6 tokens=20]]'), { headers });
    await expect(stream.finalMessage()).rejects.toThrow();
    const books = await (await fetch(`${simulator.url}/served/died`)).json();
    // message_start, ping, content_block_start, three tokens.
    expect(books).toMatchObject({ records: [{ outcome: 'died', path: '/v1/messages', model, completionTokens: 3 }] });
  });

  it('list the models in their own shape', async () => {
    const models = await client.models.list();
    expect(models.data.map(({ id }) => id)).toContain(model);
  });
});
