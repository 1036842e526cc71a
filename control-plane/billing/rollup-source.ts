import { SERIES_COLUMNS, SUM_COLUMNS } from './rollup-columns.js';

/** Whose usage is asked for: one tenant's own, or all tenants', as only the operator may. */
export type SpendOf = { readonly tenantId: string } | 'all-tenants';

export interface RollupRange {
  /** Milliseconds since 1970, full hours of UTC. */
  readonly from: number;
  readonly to: number;
  /** Whether the days of UTC that lie in between need not be told apart by hour. */
  readonly usesDays: boolean;
  readonly apiKeyId?: string | null | undefined;
  readonly memberId?: string | null | undefined;
  readonly providerId?: string | null | undefined;
  readonly model?: string | null | undefined;
  readonly region?: string | null | undefined;
  readonly tag?: string | null | undefined;
  readonly currency?: string | null | undefined;
}

/** Collects the values of a statement. */
export class StatementValues {
  readonly all: (string | number)[] = [];

  add(value: string | number): string {
    return `$${this.all.push(value)}`;
  }

  instant(ms: number): string {
    return `${this.add(new Date(ms).toISOString())}::timestamptz`;
  }
}

const DAY_MS = 86_400_000;
const COLUMNS = ['tenant_id', 'bucket', ...SERIES_COLUMNS, ...SUM_COLUMNS].join(', ');

/**
 * A select of rollups, all columns: days where whole days will do, and hours for what lies before and behind them. Pure but for `values`.
 */
export function rollupSource(of: SpendOf, range: RollupRange, values: StatementValues): string {
  const { from, to } = range;
  const firstDay = Math.ceil(from / DAY_MS) * DAY_MS;
  const lastDay = Math.floor(to / DAY_MS) * DAY_MS;
  const usesDays = range.usesDays && firstDay < lastDay;
  const ranges: [table: string, from: number, to: number][] = usesDays
    ? [
        ['usage_by_hour', from, firstDay],
        ['usage_by_day', firstDay, lastDay],
        ['usage_by_hour', lastDay, to],
      ]
    : [['usage_by_hour', from, to]];
  return ranges
    .filter(([, begin, end]) => begin < end)
    .map(([table, begin, end]) => {
      const within = `bucket >= ${values.instant(begin)} and bucket < ${values.instant(end)}`;
      return `select ${COLUMNS} from ${table} where ${within} ${filters(of, range, values)}`;
    })
    .join(' union all ');
}

function filters(of: SpendOf, range: RollupRange, values: StatementValues): string {
  const { apiKeyId, memberId, providerId, model, region, tag, currency } = range;
  const tests: string[] = of === 'all-tenants' ? [] : [`tenant_id = ${values.add(of.tenantId)}::uuid`];
  if (apiKeyId != null) tests.push(`api_key_id = ${values.add(apiKeyId)}::uuid`);
  if (memberId != null) tests.push(`member_id = ${values.add(memberId)}::uuid`);
  if (providerId != null) tests.push(`provider_id = ${values.add(providerId)}::uuid`);
  if (model != null) tests.push(`model = ${values.add(model)}::text`);
  if (region != null) tests.push(`region = ${values.add(region)}::text`);
  if (tag != null) tests.push(`tags @> array[${values.add(tag)}::text]`);
  if (currency != null) tests.push(`currency = ${values.add(currency)}::text`);
  return tests.map((test) => `and ${test}`).join(' ');
}
