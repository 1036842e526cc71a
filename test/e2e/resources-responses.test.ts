import { randomUUID } from 'node:crypto';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KeptThingsFixture } from '../kit/kept-things-fixture.js';

let fixture: KeptThingsFixture;
let ours: OpenAI;
let theirs: OpenAI;

beforeAll(async () => {
  fixture = await KeptThingsFixture.open();
  ({ ours, theirs } = fixture);
});
afterAll(() => fixture.close());
afterEach(() => fixture.expectBooked());
const callsDuring = (act: () => Promise<unknown>): Promise<number> => fixture.callsDuring(act);

const upload = (client: OpenAI, name = 'notes.txt') =>
  client.files.create({ file: new File(['Grüße'], name), purpose: 'user_data' });

describe('stored responses', () => {
  const ask = (client: OpenAI, input: string, previous?: string) =>
    client.responses.create({
      model: 'vendor/chat',
      input,
      ...(previous !== undefined && { previous_response_id: previous }),
    });

  it('are kept for their owner under ids of its own, and can be asked for, read and deleted', async () => {
    const response = await ask(ours, 'Hello');
    expect(response.id.length).toBeGreaterThan(60);
    expect(await ours.responses.retrieve(response.id)).toMatchObject({ id: response.id, output: response.output });
    // To look at it again costs nothing.
    const [shown] = fixture.gateway.spool.ends.slice(-1);
    expect(shown).toMatchObject({ operation: 'responses', model: 'vendor/chat', attempts: [{ usage: {} }] });
    await ours.responses.delete(response.id);
    await expect(ours.responses.retrieve(response.id)).rejects.toMatchObject({ status: 404 });
  });

  it('are gone on from, streamed or not, at the account that has them', async () => {
    const first = await ask(ours, 'My name is Ada.');
    const second = await ask(ours, 'What is my name?', first.id);
    expect(second.previous_response_id).toBe(first.id);
    expect(second.usage?.input_tokens).toBeGreaterThan(first.usage?.input_tokens ?? 0);
    const stream = ours.responses.stream({ model: 'vendor/chat', input: 'Again?', previous_response_id: second.id });
    const seen = new Set<string>();
    for await (const event of stream) if ('response' in event) seen.add(event.response.id);
    const third = await stream.finalResponse();
    expect([...seen]).toEqual([third.id]);
    expect(third.previous_response_id).toBe(second.id);
    expect(await ours.responses.retrieve(third.id)).toMatchObject({ id: third.id, previous_response_id: second.id });
    const ends = fixture.gateway.spool.ends.filter(({ operation }) => operation === 'responses').slice(-4);
    expect(ends.map(({ attempts }) => attempts[0]?.countedBy)).toContain('provider');
  });

  it('of another tenant, raw ids and what is none cannot be gone on from, before anything is asked', async () => {
    const { id } = await ask(ours, 'A secret');
    const calls = await callsDuring(async () => {
      for (const [client, previous] of [
        [theirs, id],
        [ours, 'resp_sim1'],
        [ours, `${id}A`],
        [ours, id.replace('resp_', 'file-')],
      ] as const) {
        const refused = { status: 404, param: 'previous_response_id' };
        await expect(ask(client, 'Go on', previous)).rejects.toMatchObject(refused);
      }
      await expect(theirs.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
      await expect(theirs.responses.delete(id)).rejects.toMatchObject({ status: 404 });
      await expect(theirs.responses.cancel(id)).rejects.toMatchObject({ status: 404 });
      await expect(theirs.responses.inputItems.list(id)).rejects.toMatchObject({ status: 404 });
    });
    expect(calls).toBe(0);
  });

  it('are not gone on from where their account serves the model no more', async () => {
    const { id } = await ask(ours, 'Hello');
    const { config } = fixture.gateway;
    const routes = [...config.routeList];
    for (const [index, route] of routes.entries()) {
      const targets = route.targets.map((target) => ({ ...target, credentialId: randomUUID() }));
      config.routeList[index] = { ...route, targets };
    }
    await expect(ask(ours, 'Go on', id)).rejects.toMatchObject({ status: 404, param: 'previous_response_id' });
    config.routeList.splice(0, Infinity, ...routes);
    expect((await ask(ours, 'Go on', id)).previous_response_id).toBe(id);
  });

  it('have items under ids of the tenant’s own, which can be listed, named and given back', async () => {
    const first = await ask(ours, 'Hello');
    const [message] = first.output;
    expect(message?.id).toMatch(/^msg_[\w-]{100,}$/);
    const listed = await ours.responses.inputItems.list(first.id, { order: 'asc' });
    expect(listed.data).toHaveLength(1);
    const itemId = listed.data.at(0)?.id ?? '';
    expect(itemId.length).toBeGreaterThan(100);
    expect((await ours.responses.inputItems.list(first.id, { after: itemId, order: 'asc' })).data).toEqual([]);
    const input: OpenAI.Responses.ResponseInput = [
      { type: 'item_reference', id: message?.id ?? '' },
      { role: 'user', content: 'Go on' },
    ];
    const asking = (client: OpenAI, items: OpenAI.Responses.ResponseInput) =>
      client.responses.create({ model: 'vendor/chat', input: items });
    expect((await asking(ours, input)).status).toBe('completed');
    // Given whole, as clients do with what they have heard.
    const whole = first.output as OpenAI.Responses.ResponseInput;
    expect((await asking(ours, [...whole, { role: 'user', content: 'Go on' }])).status).toBe('completed');
    const calls = await callsDuring(async () => {
      await expect(asking(theirs, input)).rejects.toMatchObject({ status: 404, param: 'id' });
      const raw = { type: 'item_reference', id: 'msg_sim1_0' } as const;
      await expect(asking(ours, [raw, { role: 'user', content: 'Go on' }])).rejects.toMatchObject({ status: 404 });
      const thought = { type: 'reasoning', id: 'rs_sim1_0', summary: [] as never[] } as const;
      await expect(asking(ours, [thought, { role: 'user', content: 'x' }])).rejects.toMatchObject({ status: 404 });
      await expect(ours.responses.inputItems.list(first.id, { after: 'msg_sim1_0' })).rejects.toMatchObject({
        status: 404,
      });
    });
    expect(calls).toBe(0);
  });

  it('given back whole go to any account, without the ids that it would not know', async () => {
    const first = await ask(ours, 'Hello');
    const { config } = fixture.gateway;
    const routes = [...config.routeList];
    for (const [index, route] of routes.entries()) {
      const targets = route.targets.map((target) => ({ ...target, credentialId: randomUUID() }));
      config.routeList[index] = { ...route, targets };
    }
    const before = fixture.gateway.spool.starts.length;
    const input = [...(first.output as OpenAI.Responses.ResponseInput), { role: 'user', content: 'Go on' } as const];
    await ours.responses.create({ model: 'vendor/chat', input });
    config.routeList.splice(0, Infinity, ...routes);
    const { bodyBase64 } = await fixture.books.received(fixture.gateway.spool.starts[before]?.eventId ?? '');
    const sent = JSON.parse(Buffer.from(bodyBase64, 'base64').toString()) as { input: object[] };
    expect(sent.input).toHaveLength(2);
    expect(sent.input[0]).not.toHaveProperty('id');
    expect(sent.input[0]).toMatchObject({ type: 'message', role: 'assistant' });
  });

  it('may hold a file of the tenant’s own, and none of another', async () => {
    const file = await upload(ours);
    const asking = (client: OpenAI, fileId: string) =>
      client.responses.create({
        model: 'vendor/chat',
        input: [{ role: 'user', content: [{ type: 'input_file', file_id: fileId }] }],
      });
    const before = fixture.gateway.spool.starts.length;
    await asking(ours, file.id).catch((error: unknown) => {
      // Which parts the simulator reads is not what is asked here.
      if (!(error instanceof OpenAI.BadRequestError)) throw error;
    });
    const { bodyBase64 } = await fixture.books.received(fixture.gateway.spool.starts[before]?.eventId ?? '');
    expect(Buffer.from(bodyBase64, 'base64').toString()).toMatch(/"file_id":"file-sim\d+"/);
    await expect(asking(theirs, file.id)).rejects.toMatchObject({ status: 404, param: 'file_id' });
  });
});
