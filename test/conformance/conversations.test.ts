import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseJson } from '@pingtoken/shared/wire';
import type { Conversation, Reply } from './conversation.js';
import { MODEL, startPairGateways, type PairGateways } from './pair-gateways.js';
import { PAIRS, TALKERS } from './talkers.js';

/** What the provider simulator says that it understood, where it is asked to `echo parameters`. */
interface Understood {
  readonly roles: readonly string[];
  readonly system?: string;
  readonly calls?: readonly string[];
  readonly results?: readonly string[];
  readonly thoughts?: readonly string[];
  readonly signatures?: readonly string[];
  readonly media?: readonly string[];
  readonly reasoning?: string | number;
  readonly [parameter: string]: unknown;
}

const PNG = Buffer.from('a picture of nothing').toString('base64');
const FINISH = {
  openai: { stop: 'stop', tools: 'tool_calls' },
  anthropic: { stop: 'end_turn', tools: 'tool_use' },
  gemini: { stop: 'STOP', tools: 'STOP' },
} as const;

/** Gemini's client gives a streamed answer back as a turn for each chunk, and in its own dialect they stay what they are. */
function joinTurns(understood: Understood): Understood {
  const { roles } = understood;
  return {
    ...understood,
    roles: roles.filter((role, index) => role !== 'assistant' || roles[index - 1] !== 'assistant'),
  };
}

let gateways: PairGateways;
beforeAll(async () => {
  gateways = await startPairGateways();
});
afterAll(() => gateways.close());

describe.each(PAIRS)('a client of $caller and a provider of $provider, streamed: $streamed', (pair) => {
  const { caller, provider, streamed } = pair;
  const talk = (conversation: Omit<Conversation, 'model' | 'streamed'>): Promise<Reply> => {
    const { url, config } = gateways.of(provider);
    return TALKERS[caller]({ origin: url, apiKey: config.bearer })({ model: MODEL, streamed, ...conversation });
  };
  const hear = async (conversation: Omit<Conversation, 'model' | 'streamed'>): Promise<Understood> =>
    joinTurns(parseJson((await talk(conversation)).text) as Understood);

  it('go on with what was said before', async () => {
    const first = await talk({ system: 'Be brief.', said: [{ user: 'one' }] });
    const said = [{ user: 'one' }, { answer: first.answer }, { user: 'echo parameters' }];
    expect(await hear({ system: 'Be brief.', said })).toMatchObject({
      system: 'Be brief.',
      roles: ['user', 'assistant', 'user'],
    });
    // The words of a simulated answer follow from the words before it: the same history, the same answer.
    const again = [{ user: 'one' }, { answer: first.answer }, { user: 'two' }];
    const other = [{ user: 'one' }, { answer: (await talk({ said: [{ user: 'three' }] })).answer }, { user: 'two' }];
    expect((await talk({ said: again })).text).toBe((await talk({ said: again })).text);
    expect((await talk({ said: again })).text).not.toBe((await talk({ said: other })).text);
  });

  it('answer parallel calls, one with a result and one with an error', async () => {
    const question = { user: 'use both tools' };
    const asked = await talk({ tools: true, said: [question] });
    expect(asked.finish).toBe(FINISH[caller].tools);
    expect(asked.calls.map(({ name }) => name)).toEqual(['weather', 'clock']);
    expect(new Set(asked.calls.map(({ id }) => id)).size).toBe(2);
    for (const { args } of asked.calls) expect(args).toEqual({ city: expect.any(String), days: expect.any(Number) });
    const results = asked.calls.map(({ id, name }) =>
      name === 'clock'
        ? { callId: id, name, text: 'it stands still', failed: true }
        : { callId: id, name, text: '21 °C' },
    );
    const told = await talk({ tools: true, said: [question, { answer: asked.answer }, { user: '', results }] });
    const hasNoFlag = caller === 'openai' || provider === 'openai';
    const error = hasNoFlag ? 'clock → Error: it stands still' : 'clock failed → it stands still';
    expect(told.text).toBe(`The tools said: weather → 21 °C; ${error}`);
    expect(told.finish).toBe(FINISH[caller].stop);
    const history = [question, { answer: asked.answer }, { user: '', results }, { answer: told.answer }];
    expect(await hear({ tools: true, said: [...history, { user: 'echo parameters' }] })).toMatchObject({
      roles: ['user', 'assistant', 'tool', 'tool', 'assistant', 'user'],
      calls: ['weather', 'clock'],
      results: ['weather: 21 °C', expect.stringContaining('clock: ')],
    });
  });

  it('give thoughts back with the turn that they led to, and their proof where there is one', async () => {
    const question = { user: 'use both tools' };
    const asked = await talk({ tools: true, reasons: true, said: [question] });
    expect(asked.thoughts).not.toBe('');
    const results = asked.calls.map(({ id, name }) => ({ callId: id, name, text: 'done' }));
    const said = [question, { answer: asked.answer }, { user: 'echo parameters', results }];
    const understood = await hear({ tools: true, reasons: true, said });
    if (provider === 'openai') {
      // A proof of another vendor's is none to this one; the simulated provider signs nothing.
      expect(understood.signatures).toBeUndefined();
      // The official client keeps the last piece alone of a field that it does not know.
      if (caller !== 'openai' || !streamed) expect(understood.thoughts).toEqual([asked.thoughts]);
    } else {
      expect(understood.signatures?.length).toBeGreaterThan(0);
      expect((understood.thoughts ?? []).join('')).toBe(asked.thoughts);
    }
  });

  it('carry pictures as data and by their addresses', async () => {
    const url = 'https://pictures.example/cat.png';
    const { text } = await talk({ said: [{ user: 'What is this?', pictures: [{ base64: PNG }, { url }] }] });
    expect(text).toBe(`I see image/png of 20 bytes and what is at ${url}.`);
  });

  it('carry sampling', async () => {
    const said = [{ user: 'echo parameters' }];
    expect(await hear({ said, temperature: 0.25, topP: 0.75 })).toMatchObject({ temperature: 0.25, top_p: 0.75 });
  });

  it('carry the wish to think, in the words of the provider', async () => {
    const wished = { openai: 'low', anthropic: caller === 'anthropic' ? 1024 : 2048, gemini: 'low' } as const;
    const { reasoning } = await hear({ said: [{ user: 'echo parameters' }], reasons: true });
    const words = caller === 'openai' ? wished[provider] : { openai: 'low', anthropic: 1024, gemini: 1024 }[provider];
    expect(reasoning).toBe(words);
  });

  it('stop at a stop sequence', async () => {
    const said = [{ user: 'Tell me a story.' }];
    const whole = await talk({ said });
    const stop = whole.text.split(' ')[3] ?? '';
    const stopped = await talk({ said, stop });
    expect(stop).not.toBe('');
    expect(stopped.text).not.toContain(stop);
    expect(whole.text.startsWith(stopped.text)).toBe(true);
    const namesIt = caller === 'anthropic' && provider === 'anthropic';
    expect([stopped.finish, stopped.stopSequence]).toEqual(
      namesIt ? ['stop_sequence', stop] : [FINISH[caller].stop, null],
    );
  });

  it('say that an answer was withheld', async () => {
    const refused = await talk({ said: [{ user: 'Please refuse.' }] });
    // OpenAI's own end of a refusal is `stop`: the refusal is its sign.
    const finish = {
      openai: provider === 'anthropic' ? 'stop' : 'content_filter',
      anthropic: 'refusal',
      gemini: 'SAFETY',
    };
    expect(refused.finish).toBe(finish[caller]);
    if (provider === 'anthropic' && caller !== 'gemini')
      expect(refused.refusal).toBe('The simulator was asked to refuse.');
    else if (provider === 'openai' && caller !== 'gemini') expect(refused.refusal).toContain('cannot help');
    else expect(refused.text).toContain('I cannot help with that, says the simulator.');
  });

  it('report cached and thought tokens as they were served, to the caller and to the books', async () => {
    const { usage } = await talk({ said: [{ user: 'Please use cache and think about all of it' }], reasons: true });
    const gateway = gateways.of(provider);
    const recorded = await gateway.lastUsage();
    const eventId = gateway.spool.ends.at(-1)?.eventId ?? '';
    const served = await gateways.books.servedCall(eventId);
    expect(served.cachedTokens).toBeGreaterThan(0);
    expect(served.reasoningTokens).toBeGreaterThan(0);
    expect(usage).toEqual({
      input: served.promptTokens,
      cached: served.cachedTokens,
      output: served.completionTokens,
      reasoning: served.reasoningTokens,
    });
    expect(recorded).toEqual({
      input: served.promptTokens - served.cachedTokens,
      cacheRead: served.cachedTokens,
      output: served.completionTokens - served.reasoningTokens,
      reasoning: served.reasoningTokens,
      request: 1,
    });
  });
});
