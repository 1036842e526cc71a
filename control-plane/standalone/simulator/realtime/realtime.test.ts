import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { startProviderSimulator, type RunningSimulator } from '../server.js';

let simulator: RunningSimulator;

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
});
afterAll(() => simulator.close());

type Event = Record<string, unknown> & { readonly type: string };

interface Talk {
  readonly socket: WebSocket;
  readonly heard: Event[];
  readonly say: (event: object) => void;
  /** Waits for the next event of that type that was not waited for yet. */
  readonly next: (type: string) => Promise<Event>;
}

async function connect(id: string, headers: Record<string, string> = { authorization: 'Bearer k' }): Promise<Talk> {
  const url = `${simulator.url.replace('http', 'ws')}/v1/realtime?model=sim-realtime`;
  const socket = new WebSocket(url, { headers: { 'x-request-id': id, ...headers } });
  const heard: Event[] = [];
  let waited = 0;
  socket.on('message', (data: Buffer) => heard.push(JSON.parse(data.toString()) as Event));
  await once(socket, 'open');
  const next = async (type: string): Promise<Event> => {
    await expect.poll(() => heard.slice(waited).some((event) => event.type === type)).toBe(true);
    const at = heard.findIndex((event, index) => index >= waited && event.type === type);
    waited = at + 1;
    return heard[at] as Event;
  };
  const say = (event: object): void => {
    socket.send(JSON.stringify(event));
  };
  return { socket, heard, say, next };
}

const ask = (text: string) => ({
  type: 'conversation.item.create',
  item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] },
});
const readRecord = async (id: string) => {
  const answer = (await (await fetch(`${simulator.url}/served/${id}`)).json()) as { records?: unknown[] };
  return answer.records?.at(-1);
};

describe('realtime', () => {
  it('answers a conversation with text deltas, and counts it by the connection', async () => {
    const { socket, heard, say, next } = await connect('talk');
    expect(await next('session.created')).toMatchObject({ session: { model: 'sim-realtime' } });
    say({ type: 'session.update', session: { type: 'realtime', instructions: 'Be brief.' } });
    expect(await next('session.updated')).toMatchObject({ session: { instructions: 'Be brief.' } });
    say(ask('[[sim tokens=6]]'));
    say({ type: 'response.create' });
    const done = await next('response.done');
    const text = heard.flatMap(({ type, delta }) => (type === 'response.output_text.delta' ? [delta] : [])).join('');
    expect(text.split(' ')).toHaveLength(6);
    expect(done['response']).toMatchObject({
      status: 'completed',
      output: [{ type: 'message', content: [{ type: 'output_text', text }] }],
      usage: { input_tokens: 7, output_tokens: 6, total_tokens: 13 },
    });
    say(ask('echo parameters'));
    say({ type: 'response.create' });
    const said = JSON.stringify((await next('response.done'))['response']);
    expect(said).toContain(String.raw`\"system\":\"Be brief.\",\"roles\":[\"user\",\"assistant\",\"user\"]`);
    socket.close();
    await expect
      .poll(() => readRecord('talk'))
      .toMatchObject({ outcome: 'completed', model: 'sim-realtime', status: 101 });
    expect(await readRecord('talk')).toMatchObject({ path: '/v1/realtime', usage: 'reported' });
    const received = (await (await fetch(`${simulator.url}/received/talk`)).json()) as { bodyBase64: string };
    expect(Buffer.from(received.bodyBase64, 'base64').toString().split('\n')).toHaveLength(5);
  });

  it('calls the tools of the session', async () => {
    const { socket, say, next } = await connect('tools');
    const parameters = { type: 'object', properties: { of: { type: 'integer' } }, required: ['of'] };
    say({ type: 'session.update', session: { tools: [{ type: 'function', name: 'count', parameters }] } });
    say(ask('use tool count'));
    say({ type: 'response.create' });
    expect(await next('response.function_call_arguments.done')).toMatchObject({ arguments: '{"of":7}' });
    socket.close();
  });

  it('stops when a response is cancelled, and counts what was sent', async () => {
    const { socket, heard, say, next } = await connect('cancelled');
    say(ask('[[sim tokens=500 chunk-delay=10]]'));
    say({ type: 'response.create' });
    await next('response.output_text.delta');
    say({ type: 'response.cancel' });
    const { response } = (await next('response.done')) as {
      response?: { status: string; usage: { output_tokens: number } };
    };
    const deltas = heard.filter(({ type }) => type === 'response.output_text.delta').length;
    expect([response?.status, response?.usage.output_tokens]).toEqual(['cancelled', deltas]);
    socket.close();
    await expect.poll(() => readRecord('cancelled')).toMatchObject({ completionTokens: deltas });
  });

  it('counts seconds of audio, and dies on request', async () => {
    const { socket, say, next } = await connect('died');
    say({ type: 'input_audio_buffer.append', audio: Buffer.alloc(50_000).toString('base64') });
    say({ type: 'input_audio_buffer.commit' });
    await next('input_audio_buffer.committed');
    say(ask('[[sim die-after=3]]'));
    say({ type: 'response.create' });
    await once(socket, 'close');
    await expect
      .poll(() => readRecord('died'))
      .toMatchObject({ outcome: 'died', audioSeconds: 2, completionTokens: 3, usage: 'none' });
  });

  it('counts a caller that vanishes as aborted', async () => {
    const { socket, next } = await connect('left');
    await next('session.created');
    socket.terminate();
    await expect.poll(() => readRecord('left')).toMatchObject({ outcome: 'aborted' });
  });

  it('refuses before the upgrade, in OpenAI’s words', async () => {
    const refused = (query: string, headers: Record<string, string>) =>
      new Promise<number | undefined>((resolve) => {
        const socket = new WebSocket(`${simulator.url.replace('http', 'ws')}/v1/realtime${query}`, { headers });
        socket.on('error', () => undefined);
        socket.once('unexpected-response', (_, response) => {
          resolve(response.statusCode);
          socket.terminate();
        });
      });
    expect(await refused('?model=sim-realtime', {})).toBe(401);
    expect(await refused('?model=none', { authorization: 'Bearer k' })).toBe(404);
    expect(await refused('', { authorization: 'Bearer k' })).toBe(400);
  });

  it('does not hold up the end of the simulator', async () => {
    const other = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
    const url = `${other.url.replace('http', 'ws')}/v1/realtime?model=sim-realtime`;
    const socket = new WebSocket(url, ['realtime', 'openai-insecure-api-key.k']);
    await once(socket, 'open');
    expect(socket.protocol).toBe('realtime');
    await Promise.all([once(socket, 'close'), other.close()]);
  });
});
