import { inflateSync } from 'node:zlib';
import OpenAI, { BadRequestError, NotFoundError, RateLimitError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../server.js';

let simulator: RunningSimulator;
let client: OpenAI;
const told = (id: string) => ({ headers: { 'x-request-id': id } });

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  client = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'k', maxRetries: 0 });
});
afterAll(() => simulator.close());

async function record(id: string): Promise<unknown> {
  const { records } = (await (await fetch(`${simulator.url}/served/${id}`)).json()) as { records: unknown[] };
  return records.at(-1);
}

describe('images', () => {
  it('are real, as many as were wanted, and counted', async () => {
    const body = { model: 'sim-image', prompt: 'a river', n: 2 };
    const { data, usage } = await client.images.generate(body, told('images'));
    expect(data).toHaveLength(2);
    const picture = Buffer.from(data?.[0]?.b64_json ?? '', 'base64');
    expect(picture.subarray(1, 4).toString()).toBe('PNG');
    const at = picture.indexOf('IDAT');
    expect(inflateSync(picture.subarray(at + 4, at + 4 + picture.readUInt32BE(at - 4)))).toHaveLength(4);
    expect(data?.[1]?.b64_json).not.toBe(data?.[0]?.b64_json);
    expect(usage).toMatchObject({
      input_tokens: 2,
      output_tokens: 200,
      total_tokens: 202,
      input_tokens_details: { text_tokens: 2, image_tokens: 0 },
    });
    expect(await record('images')).toMatchObject({
      model: 'sim-image',
      images: 2,
      promptTokens: 2,
      completionTokens: 200,
      usage: 'reported',
    });
    const summary = await (await fetch(`${simulator.url}/served?requests=false`)).json();
    expect(summary).toMatchObject({ models: { 'sim-image': { images: 2 } }, paths: { '/v1/images/generations': 1 } });
  });

  it('are edited and varied from forms', async () => {
    const image = new File([Buffer.alloc(20)], 'a.png', { type: 'image/png' });
    const edited = await client.images.edit({ model: 'sim-image', prompt: 'more blue', image: [image, image] });
    expect(edited.usage).toMatchObject({ input_tokens_details: { text_tokens: 3, image_tokens: 100 } });
    const form = new FormData();
    for (const [name, value] of [
      ['n', '3'],
      ['response_format', 'url'],
    ] as const)
      form.set(name, value);
    form.set('image', image);
    const varied = await client.post<OpenAI.ImagesResponse>('/images/variations', { body: form });
    expect(varied.data?.map(({ url }) => url?.endsWith('.png'))).toEqual([true, true, true]);
    const missing = client.images.generate({ model: 'sim-image', prompt: '' });
    await expect(missing).rejects.toThrow(BadRequestError);
  });

  it('come as a stream, with the usage at its end', async () => {
    const body = { model: 'sim-image', prompt: 'a river', partial_images: 2, stream: true } as const;
    const events: OpenAI.ImageGenStreamEvent[] = [];
    for await (const event of await client.images.generate(body)) events.push(event);
    expect(events.map(({ type }) => type)).toEqual([
      'image_generation.partial_image',
      'image_generation.partial_image',
      'image_generation.completed',
    ]);
    expect(events.at(-1)).toMatchObject({ usage: { output_tokens: 100 } });
  });
});

describe('audio', () => {
  it('is spoken as deterministic bytes, and as events that tell the usage', async () => {
    const body = { model: 'sim-speech', input: 'one two three four', voice: 'alloy' } as const;
    const spoken = await client.audio.speech.create(body, told('spoken'));
    const bytes = Buffer.from(await spoken.arrayBuffer());
    expect([spoken.headers.get('content-type'), bytes.length]).toEqual(['audio/mpeg', 3200]);
    const streamed = await (await client.audio.speech.create({ ...body, stream_format: 'sse' })).text();
    const events = streamed
      .split('\n\n')
      .flatMap((each) => (each ? [JSON.parse(each.slice(6)) as { audio?: string }] : []));
    expect(Buffer.concat(events.map(({ audio = '' }) => Buffer.from(audio, 'base64'))).equals(bytes)).toBe(true);
    expect(events.at(-1)).toMatchObject({ type: 'speech.audio.done', usage: { input_tokens: 5, output_tokens: 40 } });
    expect(await record('spoken')).toMatchObject({ model: 'sim-speech', audioSeconds: 2, completionTokens: 40 });
  });

  it('is heard: seconds and tokens are counted, and told in the vendor’s two ways', async () => {
    const file = new File([Buffer.alloc(40_000)], 'a.wav');
    const plain = await client.audio.transcriptions.create({ model: 'sim-transcription', file }, told('heard'));
    expect(plain.usage).toMatchObject({ type: 'tokens', input_tokens: 30, input_token_details: { audio_tokens: 30 } });
    expect(await record('heard')).toMatchObject({ model: 'sim-transcription', audioSeconds: 3, promptTokens: 30 });
    const verbose = { model: 'whisper-1', file, response_format: 'verbose_json' } as const;
    expect(await client.audio.transcriptions.create(verbose)).toMatchObject({
      duration: 3,
      usage: { type: 'duration', seconds: 3 },
    });
    const form = new FormData();
    form.set('response_format', 'text');
    form.set('file', file);
    const text = await client.post<string>('/audio/translations', { body: form });
    expect(text).toMatch(/^A simulated transcript/);
    let said = '';
    const stream = await client.audio.transcriptions.create({ model: 'sim-transcription', file, stream: true });
    for await (const event of stream) if (event.type === 'transcript.text.delta') said += event.delta;
    expect(said).toMatch(/^A simulated transcript/);
  });
});

describe('moderations', () => {
  it('flag the categories that a text names', async () => {
    const { results } = await client.moderations.create({ input: ['a river', 'sheer violence'] });
    expect(results.map(({ flagged }) => flagged)).toEqual([false, true]);
    expect(results[1]?.categories).toMatchObject({ violence: true, hate: false });
  });
});

describe('rerank', () => {
  it('sorts by relevance and counts searches', async () => {
    const answer = await fetch(`${simulator.url}/v1/rerank`, {
      method: 'POST',
      headers: { authorization: 'Bearer k', 'x-request-id': 'rerank' },
      body: JSON.stringify({
        model: 'sim-rerank',
        query: 'old walls',
        documents: ['new roofs', { text: 'old walls' }, 'old roofs'],
        top_n: 2,
      }),
    });
    expect(await answer.json()).toMatchObject({
      results: [
        { index: 1, relevance_score: 1 },
        { index: 2, relevance_score: 0.5 },
      ],
      meta: { billed_units: { search_units: 1 } },
    });
    expect(await record('rerank')).toMatchObject({ model: 'sim-rerank', searches: 1 });
  });
});

describe('legacy completions', () => {
  it('say the same streamed and not, and are capped at 16 tokens', async () => {
    const body = { model: 'pingtoken-sim-small', prompt: 'Once [[sim tokens=20]]', n: 2 };
    const plain = await client.completions.create(body);
    expect([plain.choices.length, plain.choices[0]?.finish_reason]).toEqual([2, 'length']);
    expect(plain.usage?.completion_tokens).toBe(32);
    let text = '';
    const options = { stream: true, stream_options: { include_usage: true } } as const;
    let usage: unknown;
    for await (const chunk of await client.completions.create({ ...body, ...options })) {
      text += chunk.choices[0]?.index === 0 ? chunk.choices[0].text : '';
      usage = chunk.usage ?? usage;
    }
    expect([text, usage]).toEqual([plain.choices[0]?.text, plain.usage]);
  });
});

describe('faults', () => {
  it('are those of chat, on every kind of call', async () => {
    const failing = '[[sim status=429]]';
    await expect(client.images.generate({ model: 'sim-image', prompt: failing })).rejects.toThrow(RateLimitError);
    await expect(client.moderations.create({ input: failing })).rejects.toThrow(RateLimitError);
    const speech = client.audio.speech.create({ model: 'sim-speech', voice: 'x', input: failing });
    await expect(speech).rejects.toThrow(RateLimitError);
    await expect(client.images.generate({ model: 'none', prompt: 'x' })).rejects.toThrow(NotFoundError);
    const dying = client.audio.speech.create({ model: 'sim-speech', voice: 'x', input: '[[sim die-after=1]]' });
    await expect(dying.then((answer) => answer.arrayBuffer())).rejects.toThrow();
  });
});
