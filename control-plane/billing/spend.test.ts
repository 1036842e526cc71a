import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import fc from 'fast-check';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, EventDraft } from '../../test/kit/billing-fixture.js';
import { startControlPlane, type RegisteredOwner, type TestControlPlane } from '../../test/kit/control-plane.js';
import { openPool } from '../database/sql.js';
import { createUsageIngest } from '../workers/ingest-usage.js';

let controlPlane: TestControlPlane;
let fixture: BillingFixture;
let pool: pg.Pool;
let operator: string;
let ada: RegisteredOwner;
let eve: RegisteredOwner;
let events: EventDraft[];
let keys: string[];

const HOUR_MS = 3_600_000;
/** A Sunday on which New York's clocks go back: its day has 25 hours. */
const FROM = Date.UTC(2026, 9, 31, 0);
const TO = Date.UTC(2026, 10, 3, 0);
const TAGS = [undefined, ['team-a'], ['team-a', 'team-b']];

beforeAll(async () => {
  controlPlane = await startControlPlane();
  fixture = createBillingFixture(controlPlane.database.urls.owner);
  pool = openPool({ url: controlPlane.database.urls.worker, size: 2, onError: () => undefined });
  operator = await controlPlane.signInOperator();
  [ada, eve] = [await controlPlane.registerOwner('ada'), await controlPlane.registerOwner('eve')];
  await fixture.query(`update tenant set billing_mode = 'postpaid' where id = any($1)`, [[ada.id, eve.id]]);
  const price = await fixture.createVersion({ input: '1000000000000' });
  const cost = await fixture.createVersion({ input: '1000000000000' }, { currency: 'EUR' });
  const owners = [await addKey(ada), await addKey(ada), await addKey(eve)];
  keys = owners.map(({ apiKeyId }) => apiKeyId);
  const providers = [uuidv7(), uuidv7()];
  events = Array.from({ length: 300 }, (_, index) => {
    const usage = { input: 1 + (index % 7) };
    const providerId = providers[index % 2] ?? '';
    const tags = TAGS[index % TAGS.length];
    const owner = owners[index % 5 === 0 ? 2 : index % 2];
    if (owner === undefined) throw new Error('there is no owner');
    return makeEvent(owner, price.id, {
      ...{
        admittedAt: FROM + Math.floor(((TO - FROM) * index) / 300),
        model: `model-${index % 3}`,
        ...(tags && { tags }),
      },
      attempts: [makeAttempt({ providerId, usage, costCardVersionId: cost.id })],
    });
  });
  await createUsageIngest({ pool })(new TestSpool(await fixture.createDataPlane()).append(...events));
});

afterAll(async () => {
  await pool.end();
  await fixture.close();
  await controlPlane.close();
});

async function addKey({ id: tenantId }: RegisteredOwner) {
  const [row] = await fixture.query<{ id: string }>('select id from member where tenant_id = $1', [tenantId]);
  const owner = { tenantId, memberId: row?.id ?? '', apiKeyId: uuidv7() };
  await fixture.query(
    `insert into api_key (id, tenant_id, member_id, name, hash, hint) values ($1::uuid, $2, $3, 'k', $1::text, 'h')`,
    [owner.apiKeyId, owner.tenantId, owner.memberId],
  );
  return owner;
}

interface Node {
  readonly from: string;
  readonly key: string | null;
  readonly calls: number;
  readonly price: { readonly amount: string; readonly currency: string };
  readonly cost: { readonly amount: string; readonly currency: string } | null;
}

const ARGUMENTS = {
  by: 'SpendDimension',
  interval: 'SpendInterval',
  from: 'DateTimeISO',
  to: 'DateTimeISO',
  timeZone: 'String',
  apiKeyId: 'ID',
  model: 'String',
  tag: 'String',
  first: 'Int',
  after: 'String',
  tenantId: 'ID',
};

/** Asks with the arguments that are given, over HTTP. */
async function ask(name: 'spend' | 'platformSpend', given: Record<string, unknown>, token: string) {
  const names = Object.entries(ARGUMENTS).filter(([argument]) => argument in given);
  const declared = names.map(([argument, type]) => `$${argument}: ${type}`).join(', ');
  const passed = names.map(([argument]) => `${argument}: $${argument}`).join(', ');
  const query = `query (${declared}) { ${name}(${passed}) {
    edges { cursor node { from key calls failures price { amount currency } cost { amount currency }
      counts { dimension count } } } pageInfo { hasNextPage endCursor } } }`;
  const { data, errors } = await controlPlane.graphql<Record<string, Connection>>(query, given, token);
  const connection = errors === undefined ? data[name] : undefined;
  return {
    nodes: connection?.edges.map(({ node }) => node) ?? [],
    pageInfo: connection?.pageInfo,
    codes: errors?.map(({ extensions }) => extensions.code),
  };
}

interface Connection {
  readonly edges: readonly { readonly cursor: string; readonly node: Node }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

const iso = (ms: number): string => new Date(ms).toISOString();
const WHOLE = { from: iso(FROM), to: iso(TO) };
const ofAda = () => events.filter(({ tenantId }) => tenantId === ada.id);
const spent = (calls: readonly EventDraft[]): number =>
  calls.reduce((sum, { attempts }) => sum + (attempts[0]?.usage.input ?? 0), 0);

/** `key calls price`, in the order of the answer. */
const shown = (nodes: readonly Node[]): string[] =>
  nodes.map(({ key, calls, price }) => `${key} ${calls} ${price.amount}`);

function expected(calls: readonly EventDraft[], keyOf: (event: EventDraft) => readonly (string | null)[]): string[] {
  const groups = new Map<string | null, EventDraft[]>();
  for (const call of calls) for (const key of keyOf(call)) groups.set(key, [...(groups.get(key) ?? []), call]);
  return [...groups]
    .map(([key, group]) => ({ key, text: `${key} ${group.length} ${spent(group)}` }))
    .sort((one, other) => ((one.key ?? '') < (other.key ?? '') ? -1 : 1))
    .map(({ text }) => text);
}

describe('spend', () => {
  test.each<[string, (event: EventDraft) => readonly (string | null)[]]>([
    ['API_KEY', ({ apiKeyId }) => [apiKeyId]],
    ['MEMBER', ({ memberId }) => [memberId]],
    ['MODEL', ({ model }) => [model]],
    ['PROVIDER', ({ attempts }) => [attempts[0]?.providerId ?? null]],
    ['REGION', () => ['test']],
    ['TAG', ({ tags }) => tags ?? [null]],
    ['TENANT', ({ tenantId }) => [tenantId]],
  ])('by %s is the sum of the calls, and nothing of the operator’s', async (by, keyOf) => {
    const { nodes } = await ask('spend', { ...WHOLE, by }, ada.token);
    expect(shown(nodes)).toEqual(expected(ofAda(), keyOf));
    expect(nodes.every(({ cost, price }) => cost === null && price.currency === 'USD')).toBe(true);
  });

  test('in days of a time zone follows the wall clock, of 25 hours where clocks go back', async () => {
    const { nodes } = await ask('spend', { ...WHOLE, interval: 'DAY', timeZone: 'America/New_York' }, ada.token);
    const days = [
      Date.UTC(2026, 10, 2, 5),
      Date.UTC(2026, 10, 1, 4),
      Date.UTC(2026, 9, 31, 4),
      Date.UTC(2026, 9, 30, 4),
    ];
    const sums = days.map((start, index) => {
      const end = days[index - 1] ?? TO;
      return [iso(start), ofAda().filter(({ admittedAt }) => admittedAt >= start && admittedAt < end).length];
    });
    expect(nodes.map(({ from, calls }) => [from, calls])).toEqual(sums);
  });

  test('is read by page, each row once, in every interval', async () => {
    for (const interval of ['HOUR', 'DAY', 'MONTH', null]) {
      const all = await ask('spend', { ...WHOLE, by: 'MODEL', interval, first: 1000 }, ada.token);
      const paged: Node[] = [];
      for (let after: string | null = null, more = true; more;) {
        const page = await ask('spend', { ...WHOLE, by: 'MODEL', interval, first: 7, after }, ada.token);
        paged.push(...page.nodes);
        after = page.pageInfo?.endCursor ?? null;
        more = page.pageInfo?.hasNextPage ?? false;
      }
      expect(paged).toEqual(all.nodes);
      expect(all.nodes.reduce((sum, { calls }) => sum + calls, 0)).toBe(ofAda().length);
    }
  });

  test('of any full hours, with any filter, is the sum of the calls', async () => {
    const hours = (TO - FROM) / HOUR_MS;
    const question = fc.record({
      range: fc.tuple(fc.nat(hours), fc.nat(hours)).filter(([one, other]) => one < other),
      model: fc.option(fc.constantFrom('model-0', 'model-2')),
      tag: fc.option(fc.constantFrom('team-a', 'team-b')),
      key: fc.option(fc.nat(2)),
    });
    await fc.assert(
      fc.asyncProperty(question, async ({ range: [start, end], model, tag, key }) => {
        const [from, to] = [FROM + start * HOUR_MS, FROM + end * HOUR_MS];
        const apiKeyId = key === null ? null : (keys[key] ?? null);
        const { nodes } = await ask('spend', { from: iso(from), to: iso(to), model, tag, apiKeyId }, ada.token);
        const calls = ofAda().filter(
          (event) =>
            event.admittedAt >= from &&
            event.admittedAt < to &&
            (model === null || event.model === model) &&
            (tag === null || event.tags?.includes(tag) === true) &&
            (apiKeyId === null || event.apiKeyId === apiKeyId),
        );
        expect(shown(nodes)).toEqual(calls.length === 0 ? [] : [`null ${calls.length} ${spent(calls)}`]);
      }),
      { numRuns: 25 },
    );
  });

  test('refuses what it cannot answer exactly, and what nobody gave', async () => {
    for (const bad of [
      { from: iso(FROM + 1) },
      { from: iso(TO), to: iso(FROM) },
      { from: iso(FROM - 4000 * 24 * HOUR_MS), to: iso(TO) },
      { interval: 'HOUR', from: iso(FROM - 40 * 24 * HOUR_MS), to: iso(TO) },
      { ...WHOLE, timeZone: 'Mars/Olympus' },
      { ...WHOLE, interval: 'DAY', timeZone: 'Asia/Kolkata' },
      { after: 'AAAA' },
      { after: Buffer.from('1 USD \0').toString('base64url') },
      { first: 1001 },
      { tag: '{}' },
    ]) {
      expect((await ask('spend', bad, ada.token)).codes).toEqual(['INVALID_REQUEST']);
    }
    const kolkata = await ask('spend', { ...WHOLE, timeZone: 'Asia/Kolkata' }, ada.token);
    expect(kolkata.nodes).toHaveLength(1);
  });
});

describe('whose spend', () => {
  test('is its tenant’s and the operator’s to read, who sees what it costs too', async () => {
    expect((await ask('spend', { ...WHOLE, tenantId: ada.id }, eve.token)).codes).toEqual(['NOT_FOUND']);
    const own = await ask('spend', WHOLE, eve.token);
    expect(own.nodes[0]?.calls).toBe(events.length - ofAda().length);
    const seen = await ask('spend', { ...WHOLE, tenantId: ada.id }, operator);
    const total = String(spent(ofAda()));
    expect(seen.nodes).toMatchObject([
      { calls: 0, price: { amount: '0', currency: 'EUR' }, cost: { amount: total, currency: 'EUR' } },
      { calls: ofAda().length, price: { amount: total, currency: 'USD' }, cost: { amount: '0', currency: 'USD' } },
    ]);
  });

  test('across tenants is the operator’s alone', async () => {
    expect((await ask('platformSpend', WHOLE, ada.token)).codes).toEqual(['PERMISSION_DENIED']);
    const { nodes } = await ask('platformSpend', { ...WHOLE, by: 'TENANT' }, operator);
    const sold = nodes.filter(({ price }) => price.currency === 'USD');
    expect(shown(sold)).toEqual(expected(events, ({ tenantId }) => [tenantId]));
  });

  test('is kept apart by the database too: a login that names a tenant sees its rows alone', async () => {
    const api = openPool({ url: controlPlane.database.urls.api, size: 1, onError: () => undefined });
    const count = async (tenantId: string): Promise<number> => {
      await api.query(`select set_config('pingtoken.tenant_id', $1, false)`, [tenantId]);
      const { rows } = await api.query<{ tenants: string }>(
        'select count(distinct tenant_id) as tenants from usage_by_day',
      );
      return Number(rows[0]?.tenants);
    };
    expect(await count('')).toBe(0);
    expect(await count(ada.id)).toBe(1);
    await expect(api.query('update usage_by_day set calls = 0')).rejects.toThrow('permission denied');
    await api.end();
  });
});

test('usage is added up to the millisecond, whichever part of it lies in rollups', async () => {
  const moment = fc.integer({ min: FROM - HOUR_MS, max: TO + HOUR_MS });
  const SUMMARY = `query ($from: DateTimeISO, $to: DateTimeISO, $model: String) {
    usageSummary(from: $from, to: $to, model: $model) { calls amounts { amount } } }`;
  await fc.assert(
    fc.asyncProperty(moment, moment, fc.option(fc.constant('model-1')), async (from, to, model) => {
      const variables = { from: iso(from), to: iso(to), model };
      const { data } = await controlPlane.graphql<{ usageSummary: object }>(SUMMARY, variables, ada.token);
      const calls = ofAda().filter(
        (event) => event.admittedAt >= from && event.admittedAt < to && (model === null || event.model === model),
      );
      const amounts = calls.length === 0 ? [] : [{ amount: String(spent(calls)) }];
      expect(data.usageSummary).toEqual({ calls: calls.length, amounts });
    }),
    { numRuns: 25 },
  );
});
