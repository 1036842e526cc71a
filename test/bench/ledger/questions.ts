import type { Ask } from './api.js';
import type { BenchTenant, Market } from './customers.js';

export interface Latency {
  readonly name: string;
  /** Milliseconds over HTTP; the first one found nothing prepared. */
  readonly first: number;
  readonly median: number;
  readonly slowest: number;
}

interface Question {
  readonly name: string;
  readonly query: string;
  readonly variables: Record<string, unknown>;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ROUNDS = 15;

/** What a console asks, of the tenant with the most calls and, as the operator, of all. */
export async function measureQuestions(ask: Ask, { tenants, models }: Market): Promise<Latency[]> {
  const [busiest] = tenants;
  if (busiest === undefined) throw new Error('there is no tenant');
  const latencies: Latency[] = [];
  for (const question of questionsOf(busiest, models.at(-1)?.name ?? '')) latencies.push(await measure(ask, question));
  return latencies;
}

async function measure(ask: Ask, { name, query, variables }: Question): Promise<Latency> {
  const times: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const start = performance.now();
    const { errors } = await ask(query, variables);
    times.push(performance.now() - start);
    if (errors !== undefined) throw new Error(`${name}: ${errors.map(({ message }) => message).join('; ')}`);
  }
  const [first = 0, ...others] = times;
  const sorted = others.toSorted((one, other) => one - other);
  return { name, first, median: sorted[Math.floor(ROUNDS / 2)] ?? 0, slowest: sorted.at(-1) ?? 0 };
}

function questionsOf({ tenantId, apiKeyIds }: BenchTenant, rareModel: string): Question[] {
  const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const daysAgo = (days: number): string => new Date(now - days * DAY_MS).toISOString();
  const odd = (days: number): string => new Date(now - days * DAY_MS + 1_234_567).toISOString();
  const usage = (name: string, variables: object = {}): Question => ({
    name: `usage, ${name}`,
    query: `query ($tenantId: ID, $apiKeyId: ID, $model: String, $from: DateTimeISO, $to: DateTimeISO) {
      usage(tenantId: $tenantId, apiKeyId: $apiKeyId, model: $model, from: $from, to: $to, first: 100) {
        edges { node { id model price { amount } counts { dimension count } } } pageInfo { endCursor } } }`,
    variables: { tenantId, ...variables },
  });
  const summary = (name: string, variables: object = {}): Question => ({
    name: `usageSummary, ${name}`,
    query: `query ($tenantId: ID, $model: String, $from: DateTimeISO, $to: DateTimeISO) {
      usageSummary(tenantId: $tenantId, model: $model, from: $from, to: $to) {
        calls amounts { amount } counts { dimension count } } }`,
    variables: { tenantId, ...variables },
  });
  const spend = (name: string, variables: object, operation = 'spend'): Question => ({
    name: `${operation}, ${name}`,
    query: `query ($by: SpendDimension, $interval: SpendInterval, $timeZone: String, $from: DateTimeISO
        ${operation === 'spend' ? ', $tenantId: ID' : ''}) {
      ${operation}(by: $by, interval: $interval, timeZone: $timeZone, from: $from, first: 300
        ${operation === 'spend' ? ', tenantId: $tenantId' : ''}) {
        edges { node { from key calls failures price { amount } cost { amount } counts { dimension count } } } } }`,
    variables: { ...(operation === 'spend' && { tenantId }), timeZone: 'UTC', ...variables },
  });
  return [
    usage('newest 100'),
    usage('of one key', { apiKeyId: apiKeyIds.at(-1) }),
    usage('of the rarest model', { model: rareModel }),
    usage('of a model that nobody calls', { model: 'none' }),
    usage('of an hour 20 days ago', { from: daysAgo(20), to: new Date(now - 20 * DAY_MS + HOUR_MS).toISOString() }),
    summary('of all time'),
    summary('of 20 days and odd minutes', { from: odd(25), to: odd(5) }),
    {
      name: 'wallet',
      query: 'query ($tenantId: ID) { wallet(tenantId: $tenantId) { balance } }',
      variables: { tenantId },
    },
    ledger('newest 100', tenantId),
    ledger('top-ups only', tenantId, ['TOP_UP', 'REFUND']),
    ...['API_KEY', 'MEMBER', 'MODEL', 'PROVIDER', 'REGION', 'TAG'].map((by) => spend(`by ${by}`, { by })),
    spend('by MODEL and DAY', { by: 'MODEL', interval: 'DAY' }),
    spend('by MODEL and HOUR of a week', { by: 'MODEL', interval: 'HOUR', from: daysAgo(7) }),
    spend('by MODEL and DAY of New York', { by: 'MODEL', interval: 'DAY', timeZone: 'America/New_York' }),
    spend('by TENANT', { by: 'TENANT' }, 'platformSpend'),
    spend('by MODEL and DAY', { by: 'MODEL', interval: 'DAY' }, 'platformSpend'),
  ];
}

function ledger(name: string, tenantId: string, kinds?: readonly string[]): Question {
  return {
    name: `walletTransactions, ${name}`,
    query: `query ($tenantId: ID, $kinds: [WalletTransactionKind!]) {
      walletTransactions(tenantId: $tenantId, kinds: $kinds, first: 100) { nodes { id amount { amount } } } }`,
    variables: { tenantId, ...(kinds && { kinds }) },
  };
}
