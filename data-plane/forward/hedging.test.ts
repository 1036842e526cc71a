import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_ROUTE_POLICY, type RoutePolicy } from '@pingtoken/shared/route-policy';
import { startUpstream, type GatewayFixture, type ScriptedUpstream } from '../../test/kit/gateway-fixture.js';
import { startRoutedGateway, useTargets } from '../../test/kit/routed-gateway.js';
import { waitFor } from '../../test/kit/wait-for.js';

/** What a route may spend without calls that it is a share of. */
const RESERVE = 50;

type Respond = (request: IncomingMessage, response: ServerResponse) => void;

/** Two providers of one model: the first is asked, the second where the first is late. */
let first: ScriptedUpstream;
let second: ScriptedUpstream;
let gateway: GatewayFixture;

const USAGE = { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 };
const answer = (by: string): string =>
  JSON.stringify({
    ...{ id: by, object: 'chat.completion', created: 1, model: 'm' },
    choices: [{ index: 0, message: { role: 'assistant', content: by }, finish_reason: 'stop' }],
    usage: USAGE,
  });
const serve =
  (by: string): Respond =>
  (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(answer(by));
  };
const refuseWith =
  (status: number, body: unknown = { error: { message: 'no' } }): Respond =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
const stall: Respond = () => undefined;

const chunk = (delta: object, rest: object = {}): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: null }], ...rest })}\n\n`;
const OPENING = chunk({ role: 'assistant', content: '' });
const ENDING = `data: ${JSON.stringify({ choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`;
const beginStream = (response: ServerResponse): ServerResponse => {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write(OPENING);
  return response;
};
const stream =
  (by: string): Respond =>
  (_request, response) => {
    beginStream(response).end(chunk({ content: by }) + ENDING);
  };

beforeEach(async () => {
  first = await startUpstream(serve('first'));
  second = await startUpstream(serve('second'));
  gateway = await startRoutedGateway([first, second], { hedging: 'after-p95' });
});

afterEach(async () => {
  const { spool } = gateway;
  await waitFor(() => spool.starts.length === spool.ends.length, { timeoutMs: 20_000, what: 'all calls in the books' });
  expect(new Set(spool.ends.map(({ eventId }) => eventId)).size).toBe(spool.ends.length);
  expect(gateway.gateway.openCalls()).toBe(0);
  await gateway.close();
  first.close();
  second.close();
});

function call(change: object = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.config.bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'chat-alias', messages: [{ role: 'user', content: 'hi' }], ...change }),
    ...(signal !== undefined && { signal }),
  });
}

/** As many calls as it takes to know how long the first target takes, without hedges; what they left behind is forgotten. */
async function learn(change: object = {}): Promise<void> {
  const { routeList } = gateway.config;
  const asTested = [...routeList];
  routeList.splice(0, routeList.length, ...asTested.map((route) => ({ ...route, hedging: 'off' as const })));
  for (let each = 0; each < 25; each += 1) await (await call(change)).text();
  await settled(25);
  first.requests.length = second.requests.length = 0;
  first.aborts.length = second.aborts.length = 0;
  gateway.spool.starts.length = gateway.spool.ends.length = 0;
  routeList.splice(0, routeList.length, ...asTested);
}

const settled = (calls = 1): Promise<boolean> =>
  waitFor(() => gateway.spool.ends.length >= calls, { timeoutMs: 20_000, what: 'the end of the call' });

const lastEnd = () => {
  const end = gateway.spool.ends.at(-1);
  if (end === undefined) throw new Error('no record');
  return end;
};

const aborted = ({ aborts }: ScriptedUpstream): Promise<boolean> =>
  waitFor(() => aborts.length >= 1, { timeoutMs: 10_000, what: 'the end of the exchange that lost' });

const contentOf = async (response: Response): Promise<unknown> => {
  const body = (await response.json()) as { choices: { message: { content: string } }[] };
  return body.choices[0]?.message.content;
};

describe('a call that is late', () => {
  it('is answered by a second target; the first is cancelled, and its prompt costs the operator alone', async () => {
    await learn();
    first.respond = stall;
    expect(await contentOf(await call())).toBe('second');
    await aborted(first);
    await settled();
    expect(gateway.spool.ends).toHaveLength(1);
    const { outcome, billedAttempt, attempts } = lastEnd();
    expect({ outcome, billedAttempt }).toEqual({ outcome: 'completed', billedAttempt: 1 });
    expect(attempts).toMatchObject([
      { status: null, usage: { input: 7 }, countedBy: 'estimated', upstreamModel: 'pingtoken-sim-small' },
      { status: 200, usage: { input: 7, output: 2 }, countedBy: 'provider', upstreamModel: 'second-0' },
    ]);
    expect(attempts[0]?.usage).toEqual({ input: 7, request: 1 });
  });

  it('is answered by the first where that is quicker after all, and the second is cancelled', async () => {
    await learn();
    second.respond = stall;
    first.respond = (request, response) => {
      void waitFor(() => second.requests.length === 1, { timeoutMs: 10_000, what: 'the hedge' }).then(() => {
        serve('first')(request, response);
      });
    };
    expect(await contentOf(await call())).toBe('first');
    await aborted(second);
    await settled();
    const { billedAttempt, attempts } = lastEnd();
    expect(billedAttempt).toBe(1);
    expect(attempts).toMatchObject([
      { status: null, usage: { input: 7 }, countedBy: 'estimated', upstreamModel: 'second-0' },
      { status: 200, countedBy: 'provider', upstreamModel: 'pingtoken-sim-small' },
    ]);
  });

  it('is streamed from the second, though the first had begun and said nothing yet', async () => {
    first.respond = stream('first');
    await learn({ stream: true });
    first.respond = (_request, response) => {
      beginStream(response);
    };
    second.respond = stream('second');
    const text = await (await call({ stream: true })).text();
    expect(text).toContain('second');
    expect(text.match(/"role":"assistant"/g)).toHaveLength(1);
    await aborted(first);
    await settled();
    expect(lastEnd()).toMatchObject({
      outcome: 'completed',
      attempts: [{ status: 200, usage: { input: 7 }, countedBy: 'estimated' }, { status: 200 }],
    });
  });

  it('has what the loser reported in its record, word for word', async () => {
    first.respond = stream('first');
    await learn({ stream: true });
    const cached = { prompt_tokens: 9, completion_tokens: 0, prompt_tokens_details: { cached_tokens: 4 } };
    first.respond = (_request, response) => {
      beginStream(response).write(
        chunk({ content: '' }, { usage: cached }).replace('"choices":[{', '"choices":[],"x":[{'),
      );
    };
    // What has usage and no choices is the provider's last word before the end, and hidden from who did not ask for it.
    second.respond = stream('second');
    expect(await (await call({ stream: true })).text()).toContain('second');
    await settled();
    expect(lastEnd().attempts[0]).toMatchObject({ usage: { input: 5, cacheRead: 4 }, countedBy: 'provider' });
  });

  it('goes on with the one that lives when the other one fails, whichever that is', async () => {
    await learn();
    second.respond = refuseWith(500);
    first.respond = (request, response) => {
      void waitFor(() => second.requests.length === 1, { timeoutMs: 10_000, what: 'the hedge' }).then(() => {
        setTimeout(() => {
          serve('first')(request, response);
        }, 50);
      });
    };
    expect(await contentOf(await call())).toBe('first');
    await settled();
    expect(lastEnd().attempts).toMatchObject([{ status: 500, countedBy: 'none' }, { status: 200 }]);
    first.respond = (request) => {
      void waitFor(() => second.requests.length === 2, { timeoutMs: 10_000, what: 'the hedge' }).then(() => {
        request.socket.resetAndDestroy();
      });
    };
    second.respond = (request, response) => {
      setTimeout(() => {
        serve('second')(request, response);
      }, 100);
    };
    expect(await contentOf(await call())).toBe('second');
    await settled(2);
    expect(lastEnd().attempts).toMatchObject([{ status: null, usage: {}, countedBy: 'none' }, { status: 200 }]);
  });

  it('is told what is wrong with it when the second refuses it and the first fails', async () => {
    await learn();
    second.respond = refuseWith(400, { error: { message: 'no such tool', type: 'invalid_request_error' } });
    first.respond = (request, response) => {
      void waitFor(() => second.requests.length === 1, { timeoutMs: 10_000, what: 'the hedge' }).then(() => {
        setTimeout(() => {
          refuseWith(500)(request, response);
        }, 50);
      });
    };
    const response = await call();
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: 'no such tool' } });
    await settled();
    expect(lastEnd()).toMatchObject({ outcome: 'provider-refused', billedAttempt: null, attempts: { length: 2 } });
  });

  it('whose two attempts fail goes on along its plan', async () => {
    const third = await startUpstream(serve('third'));
    useTargets(gateway, [first, second, third], { hedging: 'after-p95' });
    await learn();
    second.respond = refuseWith(503);
    first.respond = (request, response) => {
      void waitFor(() => second.requests.length === 1, { timeoutMs: 10_000, what: 'the hedge' }).then(() => {
        refuseWith(500)(request, response);
      });
    };
    expect(await contentOf(await call())).toBe('third');
    await settled();
    expect(lastEnd()).toMatchObject({ billedAttempt: 2, attempts: { length: 3 } });
    third.close();
  });

  it('ends both exchanges when its caller leaves', async () => {
    await learn();
    first.respond = second.respond = stall;
    const leaving = new AbortController();
    const left = call({}, leaving.signal);
    await waitFor(() => second.requests.length === 1, { timeoutMs: 10_000, what: 'the hedge' });
    leaving.abort();
    await expect(left).rejects.toThrow();
    await Promise.all([aborted(first), aborted(second)]);
    await settled();
    expect(lastEnd()).toMatchObject({ outcome: 'caller-left', billedAttempt: null, attempts: { length: 2 } });
  });

  it('is counted here for the loser where the winner does not say what it used', async () => {
    await learn();
    first.respond = stall;
    second.respond = (_request, response) => {
      const silent = JSON.stringify({ ...(JSON.parse(answer('second')) as object), usage: undefined });
      response.writeHead(200, { 'content-type': 'application/json' }).end(silent);
    };
    expect(await contentOf(await call())).toBe('second');
    await settled();
    const [lost, won] = lastEnd().attempts;
    expect(won?.countedBy).toBe('estimated');
    expect(lost).toMatchObject({ usage: { input: won?.usage.input }, countedBy: 'estimated' });
  });

  it('is never counted by what its own provider has no price for', async () => {
    const [version] = gateway.config.rateCard.versions;
    Object.assign(version ?? {}, { rates: { output: '1' } });
    await learn();
    first.respond = stall;
    expect(await contentOf(await call())).toBe('second');
    await settled();
    expect(lastEnd().attempts.map(({ usage }) => usage)).toEqual([{ request: 1 }, { input: 7, output: 2, request: 1 }]);
  });

  it('does not make its target an ailing one: both serve the next call', async () => {
    await learn();
    first.respond = stall;
    for (let each = 0; each < 8; each += 1) expect(await contentOf(await call())).toBe('second');
    first.respond = serve('first');
    expect(await contentOf(await call())).toBe('first');
    await settled(9);
  });

  it('sends a form to the second too', async () => {
    const { config } = gateway;
    config.addModel('transcription-alias', 'transcriptions', 'whisper');
    useTargets(gateway, [first, second], { hedging: 'after-p95' }, 'transcription-alias');
    const say =
      (by: string): Respond =>
      (_request, response) => {
        const usage = { type: 'tokens', input_tokens: 11, output_tokens: 3, total_tokens: 14 };
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ text: by, usage }));
      };
    const transcribe = async (): Promise<unknown> => {
      const body = new FormData();
      body.set('model', 'transcription-alias');
      body.set('file', new Blob([new Uint8Array(3_000)]), 'sound.wav');
      const headers = { authorization: `Bearer ${config.bearer}` };
      const response = await fetch(`${gateway.url}/v1/audio/transcriptions`, { method: 'POST', headers, body });
      return ((await response.json()) as { text: string }).text;
    };
    first.respond = say('first');
    for (let each = 0; each < 25; each += 1) await transcribe();
    await settled(25);
    first.aborts.length = second.requests.length = 0;
    first.respond = stall;
    second.respond = say('second');
    expect(await transcribe()).toBe('second');
    await aborted(first);
    await settled(26);
    expect(second.requests.at(-1)?.body.length).toBeGreaterThan(3_000);
    expect(second.requests.at(-1)?.body.toString('latin1')).toContain('second-0');
    expect(lastEnd()).toMatchObject({ billedAttempt: 1, attempts: [{ usage: { input: 11 } }, { status: 200 }] });
  });
});

describe('no hedge is made', () => {
  const policies: [string, Partial<RoutePolicy>, boolean][] = [
    ['where the route does not say so', { hedging: 'off' }, true],
    ['before enough is known of the target', { hedging: 'after-p95' }, false],
    [
      'beyond the attempts of the route',
      { hedging: 'after-p95', retry: { ...DEFAULT_ROUTE_POLICY.retry, maxAttempts: 1 } },
      true,
    ],
  ];

  it.each(policies)('%s', async (_name, policy, learns) => {
    useTargets(gateway, [first, second], policy);
    if (learns) await learn();
    second.requests.length = 0;
    first.respond = (request, response) => {
      setTimeout(() => {
        serve('first')(request, response);
      }, 700);
    };
    expect(await contentOf(await call())).toBe('first');
    expect(second.requests).toHaveLength(0);
    await settled();
  });

  it('beyond the budget of the route', async () => {
    useTargets(gateway, [first, second], {
      hedging: 'after-p95',
      retry: { ...DEFAULT_ROUTE_POLICY.retry, budgetShare: 0 },
    });
    await learn();
    const beganAt = Date.now();
    const late: (() => void)[] = [];
    first.respond = (request, response) => {
      late.push(() => {
        serve('first')(request, response);
      });
    };
    const calls = Array.from({ length: 70 }, async () => contentOf(await call()));
    await waitFor(() => second.requests.length >= RESERVE, { timeoutMs: 20_000, what: 'all hedges that may be made' });
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const respond of late.splice(0)) respond();
    first.respond = serve('first');
    await Promise.all(calls);
    // One more comes in each second.
    expect(second.requests.length).toBeLessThanOrEqual(RESERVE + 1 + (Date.now() - beganAt) / 1_000);
    await settled(70);
  });

  it('to a target that is blocked', async () => {
    await learn();
    second.respond = refuseWith(401);
    first.respond = refuseWith(500);
    await (await call()).text();
    await settled();
    second.requests.length = 0;
    first.respond = (request, response) => {
      setTimeout(() => {
        serve('first')(request, response);
      }, 700);
    };
    expect(await contentOf(await call())).toBe('first');
    expect(second.requests).toHaveLength(0);
    await settled(2);
  });
});
