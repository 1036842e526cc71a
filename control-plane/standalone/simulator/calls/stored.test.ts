import OpenAI, { BadRequestError, NotFoundError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../server.js';

let simulator: RunningSimulator;
let client: OpenAI;
const model = 'pingtoken-sim-small';

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  client = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'k', maxRetries: 0 });
});
afterAll(() => simulator.close());

type Body = Omit<OpenAI.Responses.ResponseCreateParamsNonStreaming, 'stream'>;

/** The same request streamed and not: the official client must put the same response together. */
async function both(body: Body): Promise<OpenAI.Responses.Response> {
  const plain = await client.responses.create(body);
  const streamed = await client.responses.stream(body).finalResponse();
  const withoutIds = (output: unknown) =>
    JSON.stringify(output).replaceAll(/"id":"[^"]*"|,"parsed(_arguments)?":[^}]*/g, '');
  expect(withoutIds(streamed.output)).toBe(withoutIds(plain.output));
  expect([streamed.status, streamed.usage]).toEqual([plain.status, plain.usage]);
  return plain;
}

describe('responses', () => {
  it('say what chat says, streamed and not', async () => {
    const response = await both({ model, input: 'Grüße' });
    const chat = await client.chat.completions.create({ model, messages: [{ role: 'user', content: 'Grüße' }] });
    expect(response.output_text).toBe(chat.choices[0]?.message.content);
    expect(response.status).toBe('completed');
    expect(response.usage).toMatchObject({ input_tokens: 2, output_tokens: chat.usage?.completion_tokens });
  });

  it('call tools, think, match schemas and end at the cap', async () => {
    const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
    const tools = [{ type: 'function' as const, name: 'look_up', parameters, strict: null }];
    const called = await both({ model, input: 'use tool look_up', tools });
    expect(called.output).toMatchObject([{ type: 'function_call', arguments: '{"city":"simulated city"}' }]);
    const thought = await both({ model, input: 'hi', reasoning: { effort: 'low', summary: 'auto' } });
    expect(thought.output).toMatchObject([
      { type: 'reasoning', summary: [{ type: 'summary_text' }] },
      { type: 'message' },
    ]);
    expect(thought.usage?.output_tokens_details.reasoning_tokens).toBe(4);
    const format = { type: 'json_schema' as const, name: 'x', schema: { type: 'array', items: { type: 'boolean' } } };
    expect((await both({ model, input: 'hi', text: { format } })).output_text).toBe('[true]');
    const cut = await client.responses.create({ model, input: 'hi', max_output_tokens: 3 });
    expect([cut.status, cut.incomplete_details?.reason]).toEqual(['incomplete', 'max_output_tokens']);
  });

  it('are stored, continued, shown and deleted', async () => {
    const first = await client.responses.create({ model, input: 'one', instructions: 'Be brief.' });
    const next = await client.responses.create({ model, input: 'echo parameters', previous_response_id: first.id });
    expect(JSON.parse(next.output_text)).toEqual({ roles: ['user', 'assistant', 'user'] });
    expect((await client.responses.retrieve(first.id)).id).toBe(first.id);
    await client.responses.delete(first.id);
    await expect(client.responses.retrieve(first.id)).rejects.toThrow(NotFoundError);
    const lost = client.responses.create({ model, input: 'x', previous_response_id: first.id });
    await expect(lost).rejects.toMatchObject({ code: 'previous_response_not_found' });
    const unkept = await client.responses.create({ model, input: 'x', store: false });
    await expect(client.responses.retrieve(unkept.id)).rejects.toThrow(NotFoundError);
  });

  it('break off inside a stream with an error event', async () => {
    const stream = await client.responses.create({ model, input: '[[sim error-in-stream=3]]', stream: true });
    const types: string[] = [];
    const read = async (): Promise<void> => {
      for await (const event of stream) types.push(event.type);
    };
    await read().catch(() => types.push('thrown'));
    expect(types.slice(0, 3)).toEqual(['response.created', 'response.in_progress', 'response.output_item.added']);
    expect(['error', 'thrown']).toContain(types[3]);
  });
});

describe('files and uploads', () => {
  it('keep what they were given', async () => {
    const file = new File(['some "text"'], 'é".txt');
    const kept = await client.files.create({ file, purpose: 'user_data' });
    expect(kept).toMatchObject({ bytes: 11, purpose: 'user_data' });
    expect(await (await client.files.content(kept.id)).text()).toBe('some "text"');
    expect((await client.files.retrieve(kept.id)).id).toBe(kept.id);
    expect((await client.files.list({ purpose: 'user_data' })).data.map(({ id }) => id)).toEqual([kept.id]);
    expect((await client.files.list({ purpose: 'batch' })).data).toEqual([]);
    expect(await client.files.delete(kept.id)).toMatchObject({ deleted: true });
    await expect(client.files.retrieve(kept.id)).rejects.toThrow(NotFoundError);
  });

  it('put a file together from its parts', async () => {
    const wanted = { bytes: 6, filename: 'a', mime_type: 'text/plain', purpose: 'user_data' } as const;
    const upload = await client.uploads.create(wanted);
    const [one, two] = [
      await client.uploads.parts.create(upload.id, { data: new File(['abc'], 'x') }),
      await client.uploads.parts.create(upload.id, { data: new File(['def'], 'y') }),
    ];
    const done = await client.uploads.complete(upload.id, { part_ids: [two.id, one.id] });
    expect(done.status).toBe('completed');
    expect(await (await client.files.content(done.file?.id ?? '')).text()).toBe('defabc');
    const other = await client.uploads.create(wanted);
    await expect(client.uploads.complete(other.id, { part_ids: ['x'] })).rejects.toThrow(BadRequestError);
    expect((await client.uploads.cancel(other.id)).status).toBe('cancelled');
    await expect(client.uploads.cancel(other.id)).rejects.toThrow(NotFoundError);
  });
});

describe('batches', () => {
  const line = (id: string, content: string) =>
    JSON.stringify({
      custom_id: id,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model, messages: [{ role: 'user', content }] },
    });
  async function create(lines: readonly string[], metadata: Record<string, string> = {}) {
    const file = new File([lines.join('\n')], 'in.jsonl');
    const { id } = await client.files.create({ file, purpose: 'batch' });
    const endpoint = '/v1/chat/completions' as const;
    return client.batches.create({ input_file_id: id, endpoint, completion_window: '24h', metadata });
  }

  it('answer each line, and count each', async () => {
    const made = await create([line('a', '[[sim tokens=5]]'), line('b', '[[sim status=500]]'), 'no JSON'], {
      'sim-polls': '1',
    });
    expect(made.status).toBe('validating');
    expect((await client.batches.retrieve(made.id)).status).toBe('in_progress');
    const done = await client.batches.retrieve(made.id);
    expect(done).toMatchObject({ status: 'completed', request_counts: { total: 3, completed: 1, failed: 2 } });
    expect(done.usage).toMatchObject({ output_tokens: 5 });
    const output = await (await client.files.content(done.output_file_id ?? '')).text();
    expect(JSON.parse(output)).toMatchObject({
      custom_id: 'a',
      response: { status_code: 200, body: { usage: { completion_tokens: 5 } } },
    });
    const errors = await (await client.files.content(done.error_file_id ?? '')).text();
    expect(errors.trim().split('\n')).toHaveLength(2);
    const counted = await (await fetch(`${simulator.url}/served/${encodeURIComponent(`${made.id}/a`)}`)).json();
    expect(counted).toMatchObject({ records: [{ model, completionTokens: 5, outcome: 'completed' }] });
    expect((await client.batches.list()).data.map(({ id }) => id)).toContain(made.id);
  });

  it('can be cancelled until they are done', async () => {
    const made = await create([line('a', 'hi')]);
    expect((await client.batches.cancel(made.id)).status).toBe('cancelling');
    expect((await client.batches.retrieve(made.id)).status).toBe('cancelled');
    await expect(client.batches.cancel(made.id)).rejects.toMatchObject({ status: 409 });
  });
});
