import type OpenAI from 'openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../kit/gateway-fixture.js';
import { KeptThingsFixture } from '../kit/kept-things-fixture.js';
import { waitFor } from '../kit/wait-for.js';

let fixture: KeptThingsFixture;
let ours: OpenAI;
let theirs: OpenAI;

beforeEach(async () => {
  fixture = await KeptThingsFixture.open({ BATCH_POLL_INTERVAL_MS: 20 });
  ({ ours, theirs } = fixture);
});
afterEach(async () => {
  await fixture.expectBooked();
  await fixture.close();
});

const make = (input: string) => ours.responses.create({ model: 'vendor/chat', input, background: true });
const stream = (input: string) =>
  ours.responses.create({ model: 'vendor/chat', input, background: true, stream: true });

const billed = () =>
  fixture.gateway.spool.ends.filter(({ billedAttempt, attempts }) => {
    return billedAttempt !== null && Object.keys(attempts[0]?.usage ?? {}).length > 0;
  });

async function untilOver(id: string): Promise<OpenAI.Responses.Response> {
  return waitFor(
    async () => {
      const response = await ours.responses.retrieve(id);
      return response.status === 'queued' || response.status === 'in_progress' ? undefined : response;
    },
    { timeoutMs: 20_000, what: 'the end of the response' },
  );
}

describe('a response in the background', () => {
  it('is queued, asked for until it is over, and billed once as its provider reports', async () => {
    const response = await make('Hello [[sim polls=2]]');
    expect(response).toMatchObject({ status: 'queued', background: true });
    const done = await untilOver(response.id);
    expect(done).toMatchObject({ id: response.id, status: 'completed' });
    await eventually(() => billed().length === 1, 10_000);
    const { input_tokens: input, output_tokens: output } = done.usage ?? {};
    expect(billed()).toMatchObject([
      { operation: 'responses', model: 'vendor/chat', attempts: [{ usage: { input, output }, countedBy: 'provider' }] },
    ]);
    // The call that made it used nothing, and neither did those that looked at it.
    await ours.responses.retrieve(response.id);
    await ours.responses.delete(response.id);
    await fixture.expectBooked();
    const events = new Set(billed().map(({ eventId }) => eventId));
    expect(events.size).toBe(1);
  });

  it('is billed though nobody ever asks for it, or stays to hear it', async () => {
    await make('Hello');
    await eventually(() => billed().length === 1, 10_000);
    const events = await stream('Say much [[sim tokens=400 chunk-delay=20]]');
    for await (const { type } of events) if (type === 'response.output_text.delta') break;
    await eventually(() => billed().length === 2, 10_000);
    expect(billed()[1]?.attempts[0]?.usage.output).toBe(400);
  });

  it('is streamed, and taken up again behind any event', async () => {
    const seen: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of await stream('Count [[sim tokens=5]]')) seen.push(event);
    const [created] = seen;
    const id = created?.type === 'response.created' ? created.response.id : '';
    const again = await ours.responses.retrieve(id, { stream: true, starting_after: 3 });
    const rest: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of again) rest.push(event);
    expect(rest).toEqual(seen.slice(4));
    await expect(theirs.responses.retrieve(id, { stream: true })).rejects.toMatchObject({ status: 404 });
    await eventually(() => billed().length === 1, 10_000);
  });

  it('is cancelled, and costs what its provider says: nothing', async () => {
    const { id } = await make('Hello [[sim polls=1000]]');
    await expect(ours.responses.delete(id)).rejects.toMatchObject({ status: 409 });
    expect(await ours.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' });
    await eventually(
      () => fixture.gateway.spool.ends.some(({ attempts }) => attempts[0]?.countedBy === 'none'),
      10_000,
    );
    expect(billed()).toHaveLength(0);
  });

  it('that its provider refuses is nobody’s to bill', async () => {
    await expect(make('Hello [[sim status=400]]')).rejects.toMatchObject({ status: 400 });
    await expect(stream('Hello [[sim status=400]]')).rejects.toMatchObject({ status: 400 });
    expect(billed()).toHaveLength(0);
  });
});
