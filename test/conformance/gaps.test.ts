import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { parseJson } from '@pingtoken/shared/wire';
import { CHAT_DIALECTS } from '../../data-plane/dialects/chat/chat-dialects.js';
import { projectFolder } from '../kit/distribution.js';
import { startUpstream, type ScriptedUpstream } from '../kit/gateway-fixture.js';
import { ANTHROPIC_GAPS } from './anthropic-gaps.js';
import { STORED, type Gap } from './gap.js';
import { GEMINI_GAPS } from './gemini-gaps.js';
import { OPENAI_GAPS } from './openai-gaps.js';
import { startPairGateway, type PairGateway } from './pair-gateways.js';

const GAPS: readonly Gap[] = [...OPENAI_GAPS, ...ANTHROPIC_GAPS, ...GEMINI_GAPS];
const NAMES: Readonly<Record<Dialect, string>> = { openai: 'OpenAI', anthropic: 'Anthropic', gemini: 'Gemini' };

/** The least that each dialect's provider answers. */
const ANSWERS: Readonly<Record<Dialect, object>> = {
  openai: {
    id: 'a',
    object: 'chat.completion',
    choices: [{ index: 0, message: { content: 'x' }, finish_reason: 'stop' }],
  },
  anthropic: {
    id: 'a',
    type: 'message',
    role: 'assistant',
    content: [{ type: 'text', text: 'x' }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 1, output_tokens: 1 },
  },
  gemini: { candidates: [{ content: { parts: [{ text: 'x' }], role: 'model' }, finishReason: 'STOP' }] },
};

const REQUESTS: Readonly<Record<Dialect, (model: string) => { readonly path: string; readonly body: object }>> = {
  openai: (model) => ({
    path: '/v1/chat/completions',
    body: { model, messages: [{ role: 'user', content: 'Hi' }] },
  }),
  anthropic: (model) => ({
    path: '/v1/messages',
    body: { model, max_tokens: 4000, messages: [{ role: 'user', content: 'Hi' }] },
  }),
  gemini: (model) => ({
    path: `/v1beta/models/${model}:generateContent`,
    body: { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] },
  }),
};

interface Stage {
  readonly upstream: ScriptedUpstream;
  readonly gateway: PairGateway;
}

const stages = new Map<Dialect, Stage>();
beforeAll(async () => {
  for (const provider of Object.keys(ANSWERS) as Dialect[]) {
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(ANSWERS[provider]));
    });
    stages.set(provider, { upstream, gateway: await startPairGateway(new URL(upstream.baseUrl).origin, provider) });
  }
});
afterAll(async () => {
  for (const { upstream, gateway } of stages.values()) {
    await gateway.close();
    upstream.close();
  }
});

function stageOf(provider: Dialect): Stage {
  const stage = stages.get(provider);
  if (stage === undefined) throw new Error(`no provider of ${provider}`);
  return stage;
}

const CASES = GAPS.flatMap((gap) => gap.providers.map((provider) => ({ ...gap, provider })));

function upstreamModelOf({ provider, upstreamModel }: Gap & { readonly provider: Dialect }): string {
  return upstreamModel ?? { openai: 'gpt-5', anthropic: 'an-imitation', gemini: 'gemini-3-pro' }[provider];
}

/** Every feature that the sources of a dialect's writers name, by their own words for it. */
function namedGaps(provider: Dialect): string[] {
  const folder = join(projectFolder(), 'data-plane/dialects/chat', provider);
  const files = readdirSync(folder).filter(
    (name) => /^(?:write-|thinking|unsupported)/.test(name) && !name.includes('.test.'),
  );
  const sources = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
  const words = sources.matchAll(/(?:add\(|unsupported, |return |\? )'([\w.]+)'|^ {2}'?([\w.]+)'?: \(/gm);
  const features = Object.keys(CHAT_DIALECTS[provider].fieldNames);
  const named = new Set(Array.from(words, ([, literal, key]) => literal ?? key ?? ''));
  return features.filter((feature) => named.has(feature)).toSorted();
}

interface Route {
  readonly drops: boolean;
  /** Whether its credential is the tenant's own. */
  readonly isOwn: boolean;
}

async function ask(gap: Gap & { readonly provider: Dialect }, { drops, isOwn }: Route): Promise<Response> {
  const { gateway } = stageOf(gap.provider);
  const { config } = gateway;
  const upstreamModel = upstreamModelOf(gap);
  const name = `${upstreamModel}-${String(drops)}-${String(isOwn)}`;
  if (!config.models.has(name)) {
    config.addModel(name, 'chat-completions', upstreamModel);
    const credentialId = randomUUID();
    const route = config.routeList.at(-1);
    const targets = (route?.targets ?? []).map((target) => ({ ...target, credentialId }));
    Object.assign(route ?? {}, { dropsUnsupported: drops, targets });
    if (isOwn) config.ownCredentials.add(credentialId);
  }
  const { path, body } = REQUESTS[gap.caller](name);
  return fetch(gateway.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${config.bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, ...gap.asks }),
  });
}

interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly param?: string;
    readonly code?: string;
    readonly details?: readonly { readonly reason?: string; readonly fieldViolations?: readonly { field: string }[] }[];
  };
}

/** The field at fault, where each dialect has it. */
function fieldOf(caller: Dialect, { error }: ErrorBody): string | undefined {
  switch (caller) {
    case 'openai':
      return error.param;
    case 'anthropic':
      return /^([\w.]+): /.exec(error.message)?.[1] ?? /"([\w.]+)"/.exec(error.message)?.[1];
    case 'gemini':
      return error.details?.flatMap(({ fieldViolations = [] }) => fieldViolations)[0]?.field;
  }
}

const general = (field: string): string => field.replaceAll(/(?<=[.[])\d+(?=[.\]]|$)/g, 'N');

describe('what a provider of another dialect cannot be told', () => {
  it.each(CASES)('$caller to $provider: $field, $when: is refused by its name', async (gap) => {
    const { upstream } = stageOf(gap.provider);
    const before = upstream.requests.length;
    const response = await ask(gap, { drops: false, isOwn: gap.when === STORED });
    const body = parseJson(await response.text()) as ErrorBody;
    expect([response.status, general(fieldOf(gap.caller, body) ?? '')]).toEqual([400, gap.field]);
    if (gap.caller === 'openai') expect(body.error.code).toBe('unsupported_field');
    if (gap.caller === 'gemini') expect(body.error.details?.[0]?.reason).toBe('UNSUPPORTED_FIELD');
    expect(upstream.requests.length).toBe(before);
  });

  it.each(CASES)('$caller to $provider: $field, $when: is left out where the route says so', async (gap) => {
    const { upstream } = stageOf(gap.provider);
    const response = await ask(gap, { drops: true, isOwn: gap.when === STORED });
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('x')]);
    expect(upstream.requests.at(-1)?.body.toString()).not.toMatch(gap.gone);
  });

  const stored = CASES.filter(({ when }) => when === STORED);
  it.each(stored)('$caller to $provider: $field is not there on a credential that tenants share', async (gap) => {
    for (const drops of [true, false]) expect((await ask(gap, { drops, isOwn: false })).status).toBe(404);
  });

  it.each(Object.keys(ANSWERS) as Dialect[])('is all that the module of %s names as such', (provider) => {
    const shown = CASES.filter((gap) => gap.provider === provider).flatMap((gap) => {
      const { body } = REQUESTS[gap.caller]('m');
      const request = CHAT_DIALECTS[gap.caller].readRequest({ ...body, ...gap.asks }, { model: 'm', streamed: false });
      if ('unreadable' in request) throw new Error(request.unreadable.message);
      return CHAT_DIALECTS[provider].writeRequest(request, upstreamModelOf(gap)).unsupported;
    });
    expect([...new Set(shown)].toSorted()).toEqual(namedGaps(provider));
  });

  it('is what the table says, row by row', () => {
    const text = readFileSync(join(projectFolder(), 'data-plane/dialects/README.md'), 'utf8');
    const rows = text
      .split('\n')
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim().replaceAll('`', '')),
      )
      .filter((cells) => cells.length === 5 && Object.values(NAMES).includes(cells[0] ?? ''));
    const known = GAPS.map(({ caller, providers, field, when, reason }) => [
      NAMES[caller],
      providers.map((provider) => NAMES[provider]).join(', '),
      field,
      when,
      reason,
    ]);
    expect(rows).toEqual(known);
  });

  it.each([
    ['README.md', 'data-plane/dialects/README.md'],
    ['data-plane/README.md', 'dialects/README.md'],
  ])('is listed where %s says', (readme, list) => {
    const heading = 'What a provider of another dialect cannot be told';
    const anchor = heading.toLowerCase().replaceAll(' ', '-');
    expect(readFileSync(join(projectFolder(), readme), 'utf8')).toContain(`(${list}#${anchor})`);
    expect(readFileSync(join(projectFolder(), 'data-plane/dialects/README.md'), 'utf8')).toContain(`\n## ${heading}\n`);
  });
});
