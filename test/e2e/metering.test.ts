import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../kit/gateway-fixture.js';
import { DIALECTS, MeteredGateway, type OpenStream } from '../kit/metered-gateway.js';

/** Events before the first word, by provider. */
const OPENING_EVENTS = { openai: 1, anthropic: 3, gemini: 0 } as const;
const WORDS = 20;
/** Around a prompt of one message. */
const AROUND = 4 + 3;
const PAIRS = DIALECTS.flatMap((caller) => DIALECTS.map((provider) => ({ caller, provider })));

let metered: MeteredGateway;

afterEach(async () => {
  await metered.close();
});

/** A question that is answered with some words, and then with silence. */
function stallAfterWords(provider: (typeof DIALECTS)[number], more = ''): string {
  return `How are you? [[sim tokens=60 stall-after=${OPENING_EVENTS[provider] + WORDS} ${more}]]`;
}

const wordsOf = (text: string): number => text.split(' ').length;

describe.each(PAIRS)('a call of $caller to a provider of $provider', ({ caller, provider }) => {
  it('that its caller leaves costs what was delivered, by the provider’s number or counted here', async () => {
    metered = await MeteredGateway.open(provider);
    const question = stallAfterWords(provider);
    const stream = await metered.stream(caller, question);
    await eventually(() => wordsOf(stream.text()) >= WORDS, 10_000);
    stream.leave();
    const served = await metered.servedCall(stream.requestId);
    expect(served).toMatchObject({ outcome: 'aborted', completionTokens: WORDS });
    await metered.settled();
    const [end] = metered.ends;
    expect(end).toMatchObject({ outcome: 'caller-left', status: 200, billedAttempt: 0, streamed: true });
    const [attempt] = end?.attempts ?? [];
    // Gemini tells the sum so far with every event, Anthropic the prompt's before the first, OpenAI all at the end.
    const prompt = provider === 'openai' ? countTokens(question) + AROUND : served.promptTokens;
    const output = provider === 'gemini' ? WORDS : countTokens(stream.text());
    expect(attempt).toMatchObject({
      countedBy: provider === 'gemini' ? 'provider' : 'estimated',
      usage: { input: prompt, output, request: 1 },
    });
    expect(output).toBeGreaterThanOrEqual(served.completionTokens);
    expect(output).toBeLessThan(3 * served.completionTokens);
  });

  it('that reports nothing to its end is counted here, streamed or not', async () => {
    metered = await MeteredGateway.open(provider);
    const question = 'How are you? [[sim tokens=12 usage=none]]';
    await (await metered.request(caller, question, false)).text();
    const stream = await metered.stream(caller, question);
    await stream.ended();
    await metered.settled(2);
    const usage = { input: countTokens(question) + AROUND, output: countTokens(stream.text()), request: 1 };
    for (const end of metered.ends) {
      expect(end).toMatchObject({ outcome: 'completed', billedAttempt: 0 });
      expect(end.attempts).toMatchObject([{ countedBy: 'estimated', usage }]);
    }
  });

  it('that reports zero costs zero', async () => {
    metered = await MeteredGateway.open(provider);
    await (await metered.request(caller, 'Hello [[sim usage=zero]]', false)).text();
    await (await metered.stream(caller, 'Hello [[sim usage=zero]]')).ended();
    await metered.settled(2);
    for (const { billedAttempt, attempts } of metered.ends) {
      expect(billedAttempt).toBe(0);
      expect(attempts).toMatchObject([{ countedBy: 'provider', usage: { input: 0, output: 0, request: 1 } }]);
    }
  });

  it.each([
    ['error-in-stream', 'an error'],
    ['die-after', 'a reset'],
  ])('that the provider ends with %s inside its stream is not billed', async (fault) => {
    metered = await MeteredGateway.open(provider);
    const stream = await metered.stream(caller, `Hello [[sim tokens=40 ${fault}=10]]`);
    await stream.ended();
    await metered.settled();
    expect(metered.ends).toMatchObject([{ outcome: 'provider-failed', status: 200, billedAttempt: null }]);
    expect(stream.received()).toMatch(/"error"/);
  });
});

describe('what its caller leaves', () => {
  it('before anything came costs nothing', async () => {
    metered = await MeteredGateway.open('openai');
    const stream = await metered.stream('openai', 'Hello [[sim stall-after=0]]');
    stream.leave();
    await metered.settled();
    expect(metered.ends).toMatchObject([
      { outcome: 'caller-left', billedAttempt: null, attempts: [{ usage: {}, countedBy: 'none' }] },
    ]);
  });

  it('is in the books when the gateway has closed, however short before it was left', async () => {
    metered = await MeteredGateway.open('openai');
    const stream = await metered.stream('openai', stallAfterWords('openai'));
    await eventually(() => wordsOf(stream.text()) >= WORDS, 10_000);
    stream.leave();
    await eventually(() => metered.gateway.gateway.openCalls() === 0, 10_000);
    await metered.gateway.close();
    expect(metered.ends).toMatchObject([{ outcome: 'caller-left', billedAttempt: 0 }]);
  });

  it('a thousand at once is counted for each of them, once', { timeout: 90_000 }, async () => {
    // The provider is silent until the last of them has been opened.
    const patient = { IDLE_TIMEOUT_MS: 120_000, UPSTREAM_HEADERS_TIMEOUT_MS: 120_000 };
    metered = await MeteredGateway.open('openai', {
      ...patient,
      UPSTREAM_CONNECT_TIMEOUT_MS: 30_000,
      MAX_CONNECTIONS: 5_000,
    });
    const question = stallAfterWords('openai');
    const streams: OpenStream[] = [];
    while (streams.length < 1_000) {
      const some = Array.from({ length: 50 }, () => metered.stream('openai', question));
      streams.push(...(await Promise.all(some)));
    }
    await eventually(() => streams.every((stream) => wordsOf(stream.text()) >= WORDS), 30_000);
    for (const stream of streams) stream.leave();
    await metered.settled(1_000);
    expect(metered.ends).toHaveLength(1_000);
    const usage = { input: countTokens(question) + AROUND, output: countTokens(streams[0]?.text() ?? ''), request: 1 };
    for (const { outcome, billedAttempt, attempts } of metered.ends) {
      expect({ outcome, billedAttempt }).toEqual({ outcome: 'caller-left', billedAttempt: 0 });
      expect(attempts).toMatchObject([{ countedBy: 'estimated', usage }]);
    }
    const served = await metered.books.summary();
    expect(served).toMatchObject({ calls: 1_000, repeatedIdCount: 0 });
  });
});
