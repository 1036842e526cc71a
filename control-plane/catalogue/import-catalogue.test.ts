import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';
import { expectDone } from '../installation.js';
import { CATALOGUE_MODELS, type CatalogueModel } from './catalogue.js';

let controlPlane: TestControlPlane;
let database: pg.Pool;
let token: string;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  database = new pg.Pool({ connectionString: controlPlane.database.urls.owner, max: 2 });
  token = await controlPlane.signInOperator();
});
afterAll(async () => {
  await database.end();
  await controlPlane.close();
});

interface Done {
  readonly userErrors: readonly { readonly code: string; readonly path: readonly string[] }[];
}

async function mutate<Fields extends object>(name: string, selection: string, input: object): Promise<Fields & Done> {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${name}(input: $input) { ${selection} userErrors { code path } } }`;
  const { data, errors } = await controlPlane.graphql<Record<string, Fields & Done>>(query, { input }, token);
  expect(errors).toBeUndefined();
  const payload = data[name];
  if (payload === undefined) throw new Error('no payload');
  return payload;
}

interface Prices {
  readonly prices: readonly { readonly dimension: string; readonly amount: string }[];
}
interface Change {
  readonly key: string;
  readonly digest: string;
  readonly kind: string;
  readonly model: string | null;
  readonly purpose: string | null;
  readonly rateCardId: string;
  readonly standing: readonly (Prices & { readonly source: string })[];
  readonly proposed: readonly (Prices & { readonly from: string | null })[];
}

async function diff(filter: string): Promise<Change[]> {
  const text = `{ catalogueDiff(${filter}) { key digest kind model purpose rateCardId
    standing { source prices { dimension amount } } proposed { from prices { dimension amount } } } }`;
  const { data, errors } = await controlPlane.graphql<{ catalogueDiff: Change[] }>(text, {}, token);
  expect(errors).toBeUndefined();
  return data.catalogueDiff;
}

const approve = (changes: readonly Change[], more: object = {}) =>
  mutate<{ catalogueImport: { id: string } | null }>('importCatalogue', 'catalogueImport { id }', {
    ...{ entries: changes.map(({ key, digest }) => ({ key, digest })), idempotencyKey: randomUUID() },
    ...more,
  });

const install = (provider: string, models: readonly string[]) =>
  mutate('installCatalogueProvider', 'provider { id } credential { id }', {
    ...{ provider, models, credential: { name: 'main', secret: 'sk-test' } },
  });

interface Version {
  readonly rates: Record<string, string>;
  readonly service_tiers: object;
  readonly free_tokens_per_month: string;
  readonly source: string;
  readonly effective_from: Date;
  readonly id: string;
}
async function versionsOf(cardName: string): Promise<Version[]> {
  const { rows } = await database.query<Version>(
    `select version.* from rate_card_version version join rate_card card on card.id = version.rate_card_id
     where card.name = $1 order by effective_from`,
    [cardName],
  );
  return rows;
}

/** As an operator would, who knows better. */
async function setPrice(cardName: string, input: string, more: object = {}): Promise<void> {
  const { rows } = await database.query<{ id: string }>('select id from rate_card where name = $1', [cardName]);
  const prices = [
    { dimension: 'INPUT', amount: input },
    { dimension: 'OUTPUT', amount: '9' },
  ];
  const version = { rateCardId: rows[0]?.id, currency: 'USD', source: 'a decision', prices, ...more };
  expect((await mutate('addRateCardVersion', 'rateCard { id }', version)).userErrors).toEqual([]);
}

const offered = (slug: string): readonly CatalogueModel[] =>
  CATALOGUE_MODELS.filter(({ provider }) => provider === slug);
const namesOf = (models: readonly CatalogueModel[]): string[] => models.map(({ name }) => name);

const TOMORROW = new Date(Date.now() + 86_400_000).toISOString();
const errorsOf = ({ userErrors }: Done): string[] => userErrors.map(({ code, path }) => `${code} ${path.join('.')}`);

describe('the catalogue against what stands', () => {
  it('is silent of what is not installed, and of what is installed as it is', async () => {
    expect(await diff('provider: "openai"')).toEqual([]);
    // One of them with a price that is to follow.
    const models = offered('gemini').toSorted((one, other) => other.versions.length - one.versions.length);
    await install('gemini', namesOf(models.slice(0, 2)));
    expect(await diff('provider: "gemini", kinds: [CHANGED, GONE]')).toEqual([]);
    expect(await diff('provider: "gemini", source: LIBRARY, kinds: [CHANGED, GONE]')).toEqual([]);
  });

  it('shows what is new, what has changed with old and new prices, and what is gone', async () => {
    const known = offered('mistral')[0] ?? fail();
    await install('mistral', [known.name]);
    await setPrice(`mistral ${known.upstreamModel} price`, '77');
    const versions = [{ ...(known.versions[0] ?? fail()), effectiveFrom: new Date() }];
    const shutDown = { name: 'old', upstreamModel: 'old-model', price: versions, cost: versions, source: 'a test' };
    const provider = expectDone(controlPlane.services.catalogue.providers({ search: 'mistral' })).entries[0];
    expectDone(
      await controlPlane.services.catalogue.installPlan(controlPlane.operator, {
        provider: provider ?? fail(),
        ...{ credential: null, models: [{ ...known, ...shutDown }] },
      }),
    );
    const changes = await diff('provider: "mistral"');
    expect(changes.filter(({ kind }) => kind === 'NEW')).toHaveLength(offered('mistral').length - 1);
    expect(changes.filter(({ kind }) => kind === 'CHANGED')).toMatchObject([
      {
        ...{ model: known.name, purpose: 'PRICE' },
        standing: [{ source: 'a decision', prices: [{ dimension: 'INPUT', amount: '77' }, { amount: '9' }] }],
        proposed: known.versions.map(({ from }) => ({
          from,
          prices: expect.arrayContaining([{ dimension: 'INPUT', amount: expect.any(String) as string }]) as object,
        })),
      },
    ]);
    const gone = changes.filter(({ kind }) => kind === 'GONE');
    expect(gone.map(({ purpose, proposed }) => [purpose, proposed.length])).toEqual([
      ['COST', 0],
      ['PRICE', 0],
    ]);
    expect(await diff('provider: "mistral", kinds: [GONE]')).toEqual(gone);
    expect(errorsOf(await approve(gone.slice(0, 1)))).toEqual(['INVALID_REQUEST entries.0.key']);
  });
});

function fail(): never {
  throw new Error('the catalogue has changed: choose another model');
}

describe('an import', () => {
  it('applies what was approved and nothing else, and keeps what a catalogue does not know', async () => {
    const chosenModels = offered('groq').slice(0, 2);
    await install('groq', namesOf(chosenModels));
    const cards = chosenModels.map(({ upstreamModel }) => `groq ${upstreamModel} price`);
    const [first = '', second = ''] = cards;
    const serviceTiers = [{ serviceTier: 'BATCH', prices: [{ dimension: 'INPUT', amount: '1' }] }];
    for (const card of cards) await setPrice(card, '50', { serviceTiers, freeTokensPerMonth: 1000 });
    const changes = await diff('provider: "groq", kinds: [CHANGED]');
    expect(changes.map(({ key }) => key)).toEqual(cards.map((card) => `changed ${card}`).sort());
    const chosen = changes.filter(({ key }) => key === `changed ${first}`);
    const before = await versionsOf(second);
    const imported = await approve(chosen);
    expect(imported.userErrors).toEqual([]);
    const [listed, decided, applied] = await versionsOf(first);
    expect(applied?.rates).toEqual(listed?.rates);
    expect(applied).toMatchObject({ service_tiers: decided?.service_tiers, free_tokens_per_month: '1000' });
    expect(applied?.source).toBe(listed?.source);
    expect(await versionsOf(second)).toEqual(before);
    expect((await diff('provider: "groq", kinds: [CHANGED]')).map(({ key }) => key)).toEqual([`changed ${second}`]);
    const list = '{ catalogueImports { id source entries { key digest } } }';
    const { data } = await controlPlane.graphql<{ catalogueImports: object[] }>(list, {}, token);
    const entries = chosen.map(({ key, digest }) => ({ key, digest }));
    expect(data.catalogueImports[0]).toEqual({ id: imported.catalogueImport?.id, source: 'SHIPPED', entries });
  });

  it('of what has become another meanwhile is refused as a whole', async () => {
    await install('cerebras', namesOf(offered('cerebras')));
    const [one = '', other = ''] = offered('cerebras').map(({ upstreamModel }) => `cerebras ${upstreamModel} cost`);
    for (const card of [one, other]) await setPrice(card, '50');
    const seen = await diff('provider: "cerebras"');
    await setPrice(other, '60');
    const before = [await versionsOf(one), await versionsOf(other)];
    const index = seen.findIndex(({ key }) => key === `changed ${other}`);
    expect(errorsOf(await approve(seen))).toEqual([`CONFLICT entries.${index}.digest`]);
    expect([await versionsOf(one), await versionsOf(other)]).toEqual(before);
    expect(errorsOf(await approve(seen.slice(0, 1), { entries: [{ key: 'new nonsense', digest: 'x' }] }))).toEqual([
      'CONFLICT entries.0.digest',
    ]);
  });

  it('is done once for a key, also twice at once, and another input with the key is refused', async () => {
    await install('deepseek', namesOf(offered('deepseek')));
    const upstreamModel = offered('deepseek')[0]?.upstreamModel ?? fail();
    const card = `deepseek ${upstreamModel} price`;
    await setPrice(card, '50');
    const changes = await diff('provider: "deepseek"');
    const key = { idempotencyKey: randomUUID() };
    const both = await Promise.all([approve(changes, key), approve(changes, key)]);
    expect(both[0]).toEqual(both[1]);
    expect(both[0].userErrors).toEqual([]);
    const count = (await versionsOf(card)).length;
    expect(await approve(changes, key)).toEqual(both[0]);
    expect(await versionsOf(card)).toHaveLength(count);
    expect(errorsOf(await approve(changes, { ...key, effectiveFrom: TOMORROW }))).toEqual([
      'IDEMPOTENCY_MISMATCH idempotencyKey',
    ]);
  });

  it('of a later day is announced when it is said to be, and is no difference from then on', async () => {
    await install('cohere', namesOf(offered('cohere')));
    const upstreamModel = offered('cohere')[0]?.upstreamModel ?? fail();
    const card = `cohere ${upstreamModel} price`;
    await setPrice(card, '50');
    const changes = await diff('provider: "cohere"');
    const announceAt = new Date(Date.now() + 3_600_000).toISOString();
    expect(errorsOf(await approve(changes, { announceAt }))).toEqual(['INVALID_REQUEST announceAt']);
    expect(errorsOf(await approve(changes, { effectiveFrom: new Date(0).toISOString() }))).toEqual([
      'INVALID_REQUEST effectiveFrom',
    ]);
    expect((await approve(changes, { effectiveFrom: TOMORROW, announceAt })).userErrors).toEqual([]);
    const last = (await versionsOf(card)).at(-1);
    expect(last?.effective_from.toISOString()).toBe(TOMORROW);
    const { rows } = await database.query<{ available_at: Date }>(
      `select available_at from outbox where topic = 'announce-price-change' and payload->>'rateCardVersionId' = $1`,
      [last?.id],
    );
    expect(rows.map(({ available_at: at }) => at.toISOString())).toEqual([announceAt]);
    expect(await diff('provider: "cohere"')).toEqual([]);
  });

  it('brings new models, with routes where a credential of the provider is given', async () => {
    const { credential } = (await install('xai', namesOf(offered('xai').slice(0, 1)))) as unknown as {
      credential: { id: string };
    };
    const added = (await diff('provider: "xai", kinds: [NEW]')).slice(0, 2);
    expect(errorsOf(await approve(added, { credentialId: randomUUID() }))).toEqual(['NOT_FOUND credentialId']);
    expect((await approve(added, { credentialId: credential.id })).userErrors).toEqual([]);
    const { rows } = await database.query<{ name: string }>(
      `select model.name from model join route on route.model_id = model.id where model.name = any($1) order by name`,
      [added.map(({ model }) => model)],
    );
    expect(rows.map(({ name }) => name)).toEqual(added.map(({ model }) => model).sort());
    expect((await diff('provider: "xai", kinds: [NEW]')).map(({ key }) => key)).not.toContain(added[0]?.key);
  });

  it('is the operator’s', async () => {
    const tenant = await controlPlane.registerOwner('ada');
    const texts = ['{ catalogueDiff { key } }', '{ catalogueImports { id } }'];
    for (const text of texts) {
      const { errors } = await controlPlane.graphql(text, {}, tenant.token);
      expect(errors?.[0]?.extensions.code).toBe('PERMISSION_DENIED');
    }
  });
});
