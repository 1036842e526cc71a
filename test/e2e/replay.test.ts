import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { Usage } from '@pingtoken/shared/rate-card';
import { MODEL, startPairGateway, type PairGateway } from '../conformance/pair-gateways.js';
import { startUpstream, type ScriptedUpstream } from '../kit/gateway-fixture.js';
import { hear } from './replay-hearing.js';
import {
  encodeEvents,
  ownStreams,
  recordedStreams,
  STYLES,
  type ReplayedStream,
  type Style,
} from './replay-streams.js';

/**
 * Streams of providers go through a whole gateway, over real sockets, cut into pieces at any byte: what is delivered and what
 * is billed never depends on the cuts.
 */
const DIALECTS: readonly Dialect[] = ['openai', 'anthropic', 'gemini'];
/** Random cuts a run, and runs of each stream, caller and style. */
const MAX_CUTS = 24;
const RUNS = 4;

const REQUESTS: Readonly<Record<Dialect, { readonly path: string; readonly body: object }>> = {
  openai: {
    path: '/v1/chat/completions',
    body: {
      model: MODEL,
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: 'Hi' }],
    },
  },
  anthropic: {
    path: '/v1/messages',
    body: { model: MODEL, stream: true, max_tokens: 4000, messages: [{ role: 'user', content: 'Hi' }] },
  },
  gemini: {
    path: `/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`,
    body: { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] },
  },
};

let upstream: ScriptedUpstream;
const gateways = new Map<Dialect, PairGateway>();
beforeAll(async () => {
  upstream = await startUpstream(() => undefined);
  const { origin } = new URL(upstream.baseUrl);
  for (const dialect of DIALECTS) gateways.set(dialect, await startPairGateway(origin, dialect));
});
afterAll(async () => {
  for (const gateway of gateways.values()) await gateway.close();
  upstream.close();
});

interface Played {
  readonly body: string;
  readonly usage: Usage | undefined;
  readonly outcome: string | undefined;
}

/** @param cuts places in the bytes where one write ends and the next begins */
async function play(
  bytes: Buffer,
  call: { caller: Dialect; provider: Dialect; cuts: readonly number[] },
): Promise<Played> {
  const gateway = gateways.get(call.provider);
  if (gateway === undefined) throw new Error(`no gateway for ${call.provider}`);
  upstream.respond = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const places = [0, ...call.cuts.toSorted((one, other) => one - other), bytes.length];
    const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
    void (async () => {
      for (const piece of pieces) {
        response.write(piece);
        // The next turn of the loop, so that the gateway has read it: pieces written at once would arrive as one.
        await nextTurn();
        await nextTurn();
      }
      response.end();
    })();
  };
  const { path, body } = REQUESTS[call.caller];
  const answer = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.config.bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(200);
  const text = await answer.text();
  const usage = await gateway.lastUsage();
  return { body: withoutDate(text), usage, outcome: gateway.spool.ends.at(-1)?.outcome };
}

/** Two vendors give no date, and OpenAI's dialect must have one: that of the call. */
function withoutDate(stream: string): string {
  return stream.replaceAll(/"created":\d+/g, '"created":0');
}

const REPLAYS = [...ownStreams(), ...recordedStreams()].flatMap((stream) =>
  DIALECTS.map((caller) => ({ ...stream, caller })),
);

describe.each(REPLAYS)('$title of $dialect to a caller of $caller', (replay: ReplayedStream & { caller: Dialect }) => {
  const { caller, dialect: provider, events } = replay;
  const isLong = events.some(({ data }) => data.length > 500_000);
  const styles = isLong || replay.usage === undefined ? STYLES.slice(0, 2) : STYLES;

  it('is delivered and billed as it was sent', async () => {
    const bytes = encodeEvents(events, 'plain');
    const { body, usage, outcome } = await play(bytes, { caller, provider, cuts: [] });
    expect(outcome).toBe('completed');
    const sent = hear(provider, bytes.toString());
    const heard = hear(caller, body);
    // Gemini's callers have no place for a refusal: it is what was said.
    const isSaid = caller === 'gemini' && provider !== 'gemini';
    expect(heard.text).toBe(isSaid ? sent.text + sent.refusal : sent.text);
    expect(heard.calls.replaceAll('{}', '')).toBe(sent.calls.replaceAll('{}', ''));
    if (caller === provider) expect(body).toBe(withoutDate(bytes.toString()));
    expect(usage).toMatchObject({ request: 1, input: expect.any(Number), output: expect.any(Number) });
    if (replay.usage !== undefined) expect(usage).toEqual(replay.usage);
  });

  it.each(styles)('%s: is the same wherever it is cut', async (style: Style) => {
    const bytes = encodeEvents(events, style);
    const whole = await play(bytes, { caller, provider, cuts: [] });
    const plain = await play(encodeEvents(events, 'plain'), { caller, provider, cuts: [] });
    expect(whole.usage).toEqual(plain.usage);
    if (caller !== provider) expect(whole.body).toBe(plain.body);
    const places = fc.array(fc.nat(bytes.length), { minLength: 1, maxLength: MAX_CUTS });
    await fc.assert(
      fc.asyncProperty(places, async (cuts) => {
        expect(await play(bytes, { caller, provider, cuts })).toEqual(whole);
      }),
      { numRuns: isLong ? 2 : RUNS },
    );
  });
});

describe.each(DIALECTS.flatMap((provider) => DIALECTS.map((caller) => ({ provider, caller }))))(
  'a stream of $provider to a caller of $caller, byte by byte',
  ({ provider, caller }) => {
    it('is the same, and no character is broken', async () => {
      const stream = ownStreams().find(({ dialect }) => dialect === provider);
      if (stream === undefined) throw new Error(`no stream of ${provider}`);
      const bytes = encodeEvents(stream.events, 'plain');
      const cuts = Array.from(bytes, (_, index) => index + 1).slice(0, -1);
      const played = await play(bytes, { caller, provider, cuts });
      expect(played).toEqual(await play(bytes, { caller, provider, cuts: [] }));
      expect(played.body).not.toContain('\ufffd');
      expect(hear(caller, played.body).text).toContain('東京 und Łódź: 👩‍👩‍👧');
    });
  },
);
