import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from './server.js';

let simulator: RunningSimulator;
let client: OpenAI;
const model = 'pingtoken-sim-small';
const ask = (content: string) => ({ model, messages: [{ role: 'user' as const, content }] });
/** The older name of the cap, which the client's types deprecate. */
const maxTokens = (max_tokens: number): object => ({ max_tokens });

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  client = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'sk-test', maxRetries: 0 });
});
afterAll(() => simulator.close());

async function collect(body: Omit<OpenAI.ChatCompletionCreateParamsStreaming, 'stream'>) {
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) chunks.push(chunk);
  return { chunks, text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('') };
}

describe('chat completions', () => {
  it('answer the same request with the same text and the same count', async () => {
    const [first, second] = [
      await client.chat.completions.create(ask('Grüße')),
      await client.chat.completions.create(ask('Grüße')),
    ];
    expect(first.choices).toEqual(second.choices);
    expect(first.usage).toEqual(second.usage);
    expect(first.choices[0]).toMatchObject({ index: 0, finish_reason: 'stop', message: { role: 'assistant' } });
    expect(first.choices[0]?.message.content).toContain('’');
    expect(first.id).not.toBe(second.id);
    // Seven UTF-8 bytes.
    expect(first.usage?.prompt_tokens).toBe(2);
  });

  it('count one token a word, and every UTF-8 byte of every message for the prompt', async () => {
    const { choices, usage } = await client.chat.completions.create({
      model,
      messages: [
        { role: 'system', content: 'abcd' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'efgh' },
            { type: 'image_url', image_url: { url: 'data:,' } },
            { type: 'text', text: 'i[[sim tokens=9 cached=2 reasoning=4]]' },
          ],
        },
      ],
    });
    expect(usage).toEqual({
      prompt_tokens: Math.ceil((4 + 4 + 1 + '[[sim tokens=9 cached=2 reasoning=4]]'.length) / 4),
      completion_tokens: 9,
      total_tokens: 21,
      prompt_tokens_details: { cached_tokens: 2, audio_tokens: 0 },
      completion_tokens_details: {
        reasoning_tokens: 4,
        audio_tokens: 0,
        accepted_prediction_tokens: 0,
        rejected_prediction_tokens: 0,
      },
    });
    expect(choices[0]?.message.content?.split(' ')).toHaveLength(5);
  });

  it('are cut by either cap, unless the simulator overruns it', async () => {
    const cut = await client.chat.completions.create({ ...ask('[[sim tokens=50]]'), ...maxTokens(5) });
    expect([cut.choices[0]?.finish_reason, cut.usage?.completion_tokens]).toEqual(['length', 5]);
    const both = await client.chat.completions.create({
      ...ask('[[sim tokens=50]]'),
      ...maxTokens(9),
      max_completion_tokens: 7,
    });
    expect(both.usage?.completion_tokens).toBe(7);
    const over = await client.chat.completions.create({ ...ask('[[sim tokens=50 overrun]]'), ...maxTokens(5) });
    expect([over.choices[0]?.finish_reason, over.usage?.completion_tokens]).toEqual(['stop', 50]);
  });

  it('bill every choice', async () => {
    const { choices, usage } = await client.chat.completions.create({ ...ask('[[sim tokens=6]]'), n: 3 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(usage?.completion_tokens).toBe(18);
  });

  it('call a tool when they are asked to', async () => {
    const tools = [{ type: 'function' as const, function: { name: 'look_up', parameters: {} } }];
    const plain = await client.chat.completions.create({ ...ask('Please call the tool.'), tools });
    expect(plain.choices[0]?.finish_reason).toBe('tool_calls');
    const call = plain.choices[0]?.message.tool_calls?.[0];
    expect(call).toMatchObject({ type: 'function', function: { name: 'look_up' } });
    const { chunks } = await collect({ ...ask('Please call the tool.'), tools });
    const deltas = chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls?.[0]?.function?.arguments ?? []);
    expect(JSON.parse(deltas.join(''))).toEqual(JSON.parse(call?.type === 'function' ? call.function.arguments : ''));
  });
});

describe('streams', () => {
  it('say what the plain answer says, one token a chunk', async () => {
    const plain = await client.chat.completions.create(ask('hello'));
    const { chunks, text } = await collect(ask('hello'));
    expect(text).toBe(plain.choices[0]?.message.content);
    expect(chunks[0]?.choices[0]?.delta).toMatchObject({ role: 'assistant', content: '' });
    expect(chunks.at(-1)?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(chunks).toHaveLength((plain.usage?.completion_tokens ?? 0) + 2);
  });

  it('tell no usage at all unless it was asked for', async () => {
    const { chunks } = await collect(ask('hello'));
    expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
    const declined = await collect({ ...ask('hello'), stream_options: { include_usage: false } });
    expect(declined.chunks.some((chunk) => 'usage' in chunk)).toBe(false);
  });

  it('tell the usage in a last chunk without choices, and null before', async () => {
    const plain = await client.chat.completions.create(ask('hello'));
    const { chunks } = await collect({ ...ask('hello'), stream_options: { include_usage: true } });
    const last = chunks.pop();
    expect(last).toMatchObject({ choices: [], usage: plain.usage });
    expect(chunks.every((chunk) => chunk.usage === null && chunk.choices.length === 1)).toBe(true);
  });
});

describe('embeddings', () => {
  it('give the same vector in both encodings', async () => {
    const wanted = { model: 'pingtoken-sim-embedding', input: ['one', 'two'], dimensions: 8 };
    // Without encoding_format the official client asks for base64 and decodes it.
    const base64 = await client.embeddings.create(wanted);
    const float = await client.embeddings.create({ ...wanted, encoding_format: 'float' });
    expect(base64.data).toHaveLength(2);
    expect(base64.data[0]?.embedding).toHaveLength(8);
    base64.data.forEach(({ embedding }, index) => {
      expect(Array.from(embedding)).toEqual(float.data[index]?.embedding);
    });
    expect(base64.usage).toEqual({ prompt_tokens: 2, total_tokens: 2 });
  });

  it.each([
    ['abcde', 2, 1],
    [[1, 2, 3], 3, 1],
    [[[1, 2], [3]], 3, 2],
  ])('count the tokens of %j', async (input, tokens, vectors) => {
    const { data, usage } = await client.embeddings.create({ model: 'pingtoken-sim-embedding', input });
    expect([usage.prompt_tokens, data.length]).toEqual([tokens, vectors]);
  });
});

describe('refusals', () => {
  it('speak as OpenAI does', async () => {
    const unknown = client.chat.completions.create({ ...ask('x'), model: 'gpt-none' });
    await expect(unknown).rejects.toThrow(NotFoundError);
    await expect(unknown).rejects.toMatchObject({ code: 'model_not_found', type: 'invalid_request_error' });
    await expect(client.models.retrieve('gpt-none')).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(client.embeddings.create({ model, input: 'x' })).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(client.chat.completions.create(ask('[[sim dealy=4]]'))).rejects.toMatchObject({
      status: 400,
      code: 'invalid_sim_directive',
    });
  });

  it.each([
    ['{"model":', null],
    ['[]', null],
    [{ messages: [] }, 'model'],
    [{ model, messages: 'hi' }, 'messages'],
    [{ model, messages: [] }, 'messages'],
    [{ ...ask('hi'), max_tokens: '5' }, 'max_tokens'],
    [{ ...ask('hi'), stream: 'yes' }, 'stream'],
    [{ ...ask('hi'), stream_options: { include_usage: true } }, 'stream_options'],
  ])('answer 400 to %j', async (body, param) => {
    const answer = await fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer k' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { type: 'invalid_request_error', param } });
    await expect(client.chat.completions.create({ model, messages: [] })).rejects.toThrow(BadRequestError);
  });

  it('ask for a bearer on every path of the provider', async () => {
    for (const path of ['/v1/models', '/v1/files', '/nowhere']) {
      expect((await fetch(simulator.url + path)).status).toBe(401);
    }
    const keyless = new OpenAI({
      baseURL: simulator.url,
      apiKey: 'x',
      defaultHeaders: { authorization: null },
      maxRetries: 0,
    });
    await expect(keyless.chat.completions.create(ask('x'))).rejects.toThrow(AuthenticationError);
  });
});

describe('other paths', () => {
  it('list the models, with and without /v1', async () => {
    const bare = new OpenAI({ baseURL: simulator.url, apiKey: 'k' });
    const ids = ['pingtoken-sim-small', 'pingtoken-sim-large', 'pingtoken-sim-embedding'];
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(ids);
    expect((await bare.models.list()).data.map(({ id }) => id)).toEqual(ids);
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: 'model' });
  });

  it('list no files, and hear any multipart body', async () => {
    expect((await client.files.list()).data).toEqual([]);
    const file = new File([Buffer.alloc(3_000_000)], 'a.wav');
    const heard = await client.audio.transcriptions.create({ model: 'whisper-1', file });
    expect(heard.text).toContain('transcript');
    expect((heard as unknown as { bytes: number }).bytes).toBeGreaterThan(3_000_000);
  });
});
