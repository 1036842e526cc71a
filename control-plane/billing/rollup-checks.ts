import type { LedgerCheck } from './wallet-checks.js';
import { SERIES_COLUMNS, SUM_COLUMNS } from './rollup-columns.js';

const sumsOf = (relation: string): string => SUM_COLUMNS.map((name) => `${relation}.${name}`).join(', ');
const told = (relation: string): string => `concat_ws(' ', ${sumsOf(relation)})`;

/** @param truth a relation of what the table must hold */
const wrongRollups = (table: string, truth: string): string => `
  with truth as (${truth})
  select coalesce(kept.series, truth.series) as id,
    format('%s of %s from %s: %s', '${SUM_COLUMNS.join(' ')}', coalesce(kept.tenant_id, truth.tenant_id),
      coalesce(kept.bucket, truth.bucket), ${told('truth')}) as expected,
    ${told('kept')} as found
  from ${table} kept full join truth
    on (kept.tenant_id, kept.bucket, kept.series) = (truth.tenant_id, truth.bucket, truth.series)
  where (${sumsOf('kept')}) is distinct from (${sumsOf('truth')})`;

/** What the days must be, by their hours. @param where restricts the hours */
export const daysOfHours = (where = ''): string => `
  select tenant_id, date_trunc('day', bucket, 'UTC') as bucket, series, ${SERIES_COLUMNS.join(', ')},
    ${SUM_COLUMNS.map((name) => `sum(${name}) as ${name}`).join(', ')}
  from usage_by_hour ${where} group by tenant_id, date_trunc('day', bucket, 'UTC'), series, ${SERIES_COLUMNS.join(', ')}`;

/** A call is booked in its own month, or in the first one that was open; nothing is booked in a month that is closed. */
const WRONG_PERIODS = `
  select transfer.id, format('booked in %s or the first open month after it', ledger_month(event.admitted_at)) as expected,
    format('booked in %s at %s', transfer.period, transfer.created_at) as found
  from transfer left join usage_event event on event.id = transfer.event_id
    left join ledger_period own on own.month = transfer.period
    left join ledger_period before on before.month = (transfer.period - interval '1 month')::date
  where transfer.created_at > own.closed_at
    or transfer.period < least(ledger_month(event.admitted_at), ledger_month(transfer.created_at))
    or (transfer.period > ledger_month(event.admitted_at) and before.month is null)`;

export const ROLLUP_CHECKS: readonly LedgerCheck[] = [
  {
    about: 'rollup',
    text: wrongRollups('usage_by_hour', `select * from rollup_usage('hour', '-infinity', 'infinity')`),
  },
  { about: 'rollup', text: wrongRollups('usage_by_day', daysOfHours()) },
  { about: 'transfer', text: WRONG_PERIODS },
];
