import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { parseUnits, readPriceList } from '../kit/exact-price.js';
import type { ServedCall } from '../kit/simulator-books.js';
import { awaitUsage } from '../kit/usage-view.js';

const CHAT = 'pingtoken-sim-small';
const IMAGE = 'pingtoken-sim-image';
const SPEECH = 'pingtoken-sim-speech';
const HEARING = 'pingtoken-sim-transcribe';

let distribution: Distribution;
let customer: Customer;
const client = (): OpenAI => customer.client;

beforeAll(async () => {
  distribution = await startDistribution();
  customer = await createCustomer(distribution);
});
afterAll(async () => {
  await distribution.dispose();
});

interface Answered<Data> {
  readonly data: Data;
  readonly request_id: string | null;
}

type Counts = Readonly<Record<string, number>>;

/** Demands that the books say what the simulator served, dimension by dimension, and that it is priced so. */
async function expectBilled(
  { request_id: id }: Pick<Answered<unknown>, 'request_id'>,
  model: string,
  countsOf: (served: ServedCall) => Counts,
): Promise<void> {
  const { platform, tenant, books } = customer;
  const usage = await awaitUsage(platform, tenant.token, id ?? '');
  const counts = Object.fromEntries(
    usage.counts.filter(({ count }) => count > 0).map((each) => [each.dimension, each.count]),
  );
  const expected = countsOf(await books.servedCall(id ?? ''));
  expect({ id, counts }).toEqual({ id, counts: { REQUEST: 1, ...expected } });
  const prices = await readPriceList(platform, model);
  const rateOf = (dimension: string): bigint => prices[dimension] ?? prices[FALLBACKS[dimension] ?? ''] ?? 0n;
  const price = Object.entries(counts).reduce((sum, [dimension, count]) => sum + BigInt(count) * rateOf(dimension), 0n);
  expect(parseUnits(usage.price.amount)).toBe(price);
  expect(price).toBeGreaterThan(0n);
}

/** Where a card has no price for something, it is sold as this. */
const FALLBACKS: Readonly<Record<string, string>> = {
  IMAGE_INPUT: 'INPUT',
  IMAGE_OUTPUT: 'OUTPUT',
  AUDIO_OUTPUT: 'OUTPUT',
  REASONING: 'OUTPUT',
};

const text = ({ promptTokens, completionTokens }: ServedCall): Counts => ({
  INPUT: promptTokens,
  OUTPUT: completionTokens,
});
/** The simulator's rule: fifty tokens for each picture that is given. */
const pictures = ({ promptTokens, completionTokens }: ServedCall, given = 0): Counts => ({
  ...(promptTokens > given * 50 && { INPUT: promptTokens - given * 50 }),
  ...(given > 0 && { IMAGE_INPUT: given * 50 }),
  IMAGE_OUTPUT: completionTokens,
});
/** And ten for each second that is heard. */
const heard = ({ promptTokens, completionTokens, audioSeconds }: ServedCall): Counts => ({
  ...(promptTokens > audioSeconds * 10 && { INPUT: promptTokens - audioSeconds * 10 }),
  AUDIO_INPUT: audioSeconds * 10,
  OUTPUT: completionTokens,
});

async function collect<Event>(events: AsyncIterable<Event>): Promise<Event[]> {
  const list: Event[] = [];
  for await (const event of events) list.push(event);
  return list;
}

/** For what the client itself has given up. */
function formOf(fields: Readonly<Record<string, string | File>>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

describe('text', () => {
  it('is completed', async () => {
    const answer = await client().completions.create({ model: CHAT, prompt: 'Once', max_tokens: 9 }).withResponse();
    expect(answer.data.choices[0]?.text).not.toBe('');
    expect(answer.data.usage?.prompt_tokens).toBeGreaterThan(0);
    await expectBilled(answer, CHAT, text);
  });

  it.each([true, false])('is completed piece by piece, its usage asked for: %s', async (wantsUsage) => {
    const options = wantsUsage && { stream_options: { include_usage: true } };
    const body = { model: CHAT, prompt: 'Once', max_tokens: 9, stream: true, ...options } as const;
    const answer = await client().completions.create(body).withResponse();
    const chunks = await collect(answer.data);
    expect(chunks.map(({ choices }) => choices[0]?.text ?? '').join('')).not.toBe('');
    expect(chunks.filter(({ usage }) => usage != null)).toHaveLength(wantsUsage ? 1 : 0);
    await expectBilled(answer, CHAT, text);
  });

  it('is answered, and what was thought is counted apart', async () => {
    const input = 'Hello [[sim reasoning=5 tokens=9 cached=1]]';
    const answer = await client().responses.create({ model: CHAT, input }).withResponse();
    expect(answer.data.output_text).not.toBe('');
    await expectBilled(answer, CHAT, ({ promptTokens, completionTokens, cachedTokens, reasoningTokens }) => ({
      INPUT: promptTokens - cachedTokens,
      OUTPUT: completionTokens - reasoningTokens,
      ...(cachedTokens > 0 && { CACHE_READ: cachedTokens }),
      REASONING: reasoningTokens,
    }));
  });

  it('is answered event by event', async () => {
    const answer = await client().responses.create({ model: CHAT, input: 'Hello', stream: true }).withResponse();
    const events = await collect(answer.data);
    expect(events[0]?.type).toBe('response.created');
    expect(events.at(-1)).toMatchObject({ type: 'response.completed', response: { status: 'completed' } });
    await expectBilled(answer, CHAT, text);
  });

  it('is judged', async () => {
    const model = 'pingtoken-sim-moderation';
    const answer = await client()
      .moderations.create({ model, input: ['some violence', 'a river'] })
      .withResponse();
    expect(answer.data.results.map(({ flagged }) => flagged)).toEqual([true, false]);
    await expectBilled(answer, model, () => ({}));
  });

  it('is ranked', async () => {
    const model = 'pingtoken-sim-rerank';
    const documents = Array.from({ length: 101 }, (_, index) => `document ${index}`);
    const answer = await client()
      .post<{ results: { index: number }[] }>('/rerank', { body: { model, query: 'document 7', documents, top_n: 2 } })
      .withResponse();
    expect(answer.data.results).toHaveLength(2);
    await expectBilled(answer, model, ({ searches }) => ({ REQUEST: searches }));
  });

  it('is made into vectors', async () => {
    const model = 'pingtoken-sim-embedding';
    const answer = await client()
      .embeddings.create({ model, input: ['a river', 'a wood'] })
      .withResponse();
    expect(answer.data.data).toHaveLength(2);
    await expectBilled(answer, model, ({ promptTokens }) => ({ INPUT: promptTokens }));
  });
});

describe('pictures', () => {
  const picture = () => toFile(Buffer.from('a picture of nothing'), 'a.png', { type: 'image/png' });

  it('are made', async () => {
    const answer = await client().images.generate({ model: IMAGE, prompt: 'a river', n: 2 }).withResponse();
    expect(answer.data.data?.map(({ b64_json }) => b64_json?.slice(0, 4))).toEqual(['iVBO', 'iVBO']);
    await expectBilled(answer, IMAGE, pictures);
  });

  it('are made event by event', async () => {
    const body = { model: IMAGE, prompt: 'a river', stream: true, partial_images: 2 } as const;
    const answer = await client().images.generate(body).withResponse();
    const types = (await collect(answer.data)).map(({ type }) => type);
    expect(types.at(-1)).toBe('image_generation.completed');
    expect(types).toHaveLength(3);
    await expectBilled(answer, IMAGE, pictures);
  });

  it('that report no tokens are counted', async () => {
    const body = { model: IMAGE, prompt: 'a river [[sim usage=none]]', n: 3 };
    const answer = await client().images.generate(body).withResponse();
    expect(answer.data.data).toHaveLength(3);
    await expectBilled(answer, IMAGE, ({ images }) => ({ IMAGE: images }));
  });

  it('are changed', async () => {
    const body = {
      model: IMAGE,
      prompt: 'more blue',
      image: [await picture(), await picture()],
      mask: await picture(),
    };
    const answer = await client().images.edit(body).withResponse();
    expect(answer.data.data).toHaveLength(1);
    await expectBilled(answer, IMAGE, (served) => pictures(served, 3));
  });

  it('are changed event by event', async () => {
    const body = { model: IMAGE, prompt: 'more blue', image: await picture(), stream: true } as const;
    const answer = await client().images.edit(body).withResponse();
    expect((await collect(answer.data)).at(-1)?.type).toBe('image_edit.completed');
    await expectBilled(answer, IMAGE, (served) => pictures(served, 1));
  });

  it('are varied', async () => {
    const body = formOf({ model: IMAGE, n: '2', image: await picture() });
    const answer = await client().post<OpenAI.ImagesResponse>('/images/variations', { body }).withResponse();
    expect(answer.data.data).toHaveLength(2);
    await expectBilled(answer, IMAGE, (served) => pictures(served, 1));
  });
});

describe('sound', () => {
  const sound = () => toFile(Buffer.alloc(40_000, 7), 'speech.mp3', { type: 'audio/mpeg' });

  it('is made of a text, and charged by its characters', async () => {
    const input = 'Naïve words 🙂 and more';
    const answer = await client().audio.speech.create({ model: SPEECH, voice: 'alloy', input }).withResponse();
    expect(answer.data.headers.get('content-type')).toBe('audio/mpeg');
    const bytes = Buffer.from(await answer.data.arrayBuffer());
    const direct = await fetch(`${distribution.runtime.provider.url}/v1/audio/speech`, {
      method: 'POST',
      headers: { authorization: 'Bearer x', 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'sim-speech', voice: 'alloy', input }),
    });
    expect(bytes.equals(Buffer.from(await direct.arrayBuffer()))).toBe(true);
    await expectBilled(answer, SPEECH, () => ({ CHARACTERS: 22 }));
  });

  it('is made event by event, and charged by its tokens', async () => {
    const body = { model: SPEECH, voice: 'alloy', input: 'a river', stream_format: 'sse' } as const;
    const answer = await client().audio.speech.create(body).withResponse();
    expect(await answer.data.text()).toContain('speech.audio.done');
    await expectBilled(answer, SPEECH, ({ promptTokens, completionTokens }) => ({
      INPUT: promptTokens,
      AUDIO_OUTPUT: completionTokens,
    }));
  });

  it('is written down', async () => {
    const body = { model: HEARING, file: await sound(), prompt: 'about rivers' };
    const answer = await client().audio.transcriptions.create(body).withResponse();
    expect(answer.data.text).toContain('transcript');
    await expectBilled(answer, HEARING, heard);
  });

  it('is written down event by event', async () => {
    const body = { model: HEARING, file: await sound(), stream: true } as const;
    const answer = await client().audio.transcriptions.create(body).withResponse();
    expect((await collect(answer.data)).at(-1)?.type).toBe('transcript.text.done');
    await expectBilled(answer, HEARING, heard);
  });

  it('of which a verbose answer reports nothing else is charged by its seconds', async () => {
    const name = 'speech [[sim usage=none]].mp3';
    const file = await toFile(Buffer.alloc(40_000, 7), name, { type: 'audio/mpeg' });
    const body = { model: HEARING, file, response_format: 'verbose_json' } as const;
    const answer = await client().audio.transcriptions.create(body).withResponse();
    expect(answer.data.duration).toBe(3);
    await expectBilled(answer, HEARING, ({ audioSeconds }) => ({ AUDIO_SECONDS: audioSeconds }));
  });

  it('is written down as plain text', async () => {
    const body = { model: HEARING, file: await sound(), response_format: 'text' } as const;
    const { data, request_id } = await client().audio.transcriptions.create(body).withResponse();
    expect(data).toContain('transcript');
    const usage = await awaitUsage(customer.platform, customer.tenant.token, request_id ?? '');
    expect(usage.counts).toEqual([{ dimension: 'REQUEST', count: 1 }]);
  });

  it('is translated', async () => {
    const body = formOf({ model: HEARING, file: await sound() });
    const answer = await client().post<{ text: string }>('/audio/translations', { body }).withResponse();
    expect(answer.data.text).toContain('transcript');
    await expectBilled(answer, HEARING, heard);
  });
});

describe('errors are the client’s own', () => {
  it.each([
    ['an unknown model', () => client().images.generate({ model: 'nobody', prompt: 'x' }), OpenAI.NotFoundError],
    ['a model of another kind', () => client().completions.create({ model: IMAGE, prompt: 'x' }), OpenAI.NotFoundError],
    [
      'what another has said',
      () => client().responses.create({ model: CHAT, input: 'x', previous_response_id: 'resp_sim1' }),
      OpenAI.NotFoundError,
    ],
    [
      'a fault of the provider',
      () => client().images.generate({ model: IMAGE, prompt: 'x [[sim status=429]]' }),
      OpenAI.RateLimitError,
    ],
    [
      'a form without its file',
      async () =>
        client().audio.transcriptions.create({
          model: HEARING,
          file: await toFile(Buffer.alloc(0), ''),
          stream: 'x' as never,
        }),
      OpenAI.BadRequestError,
    ],
    ['training', () => client().fineTuning.jobs.create({ model: CHAT, training_file: 'file-1' }), OpenAI.NotFoundError],
  ])('%s', async (_name, call, type) => {
    await expect(call()).rejects.toBeInstanceOf(type);
  });
});
