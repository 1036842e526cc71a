/** A place where the ledger is not what its own records say that it must be. */
export interface LedgerDifference {
  readonly about:
    'account' | 'event' | 'transfer' | 'free-tokens' | 'credit' | 'wallet' | 'lease' | 'budget' | 'rollup';
  readonly id: string;
  readonly expected: string;
  readonly found: string;
}

/** One question whose every row is a difference: `id`, `expected`, `found`. */
export interface LedgerCheck {
  readonly about: LedgerDifference['about'];
  readonly text: string;
}

/** Of each credit: what came in, ran out and was paid back is what its transfers say. */
const WRONG_CREDITS = `
  with left_by as (
    select credit_id, coalesce(sum(amount) filter (where kind = 'expiry'), 0) as expired,
      coalesce(sum(amount) filter (where kind = 'refund'), 0) as refunded
    from transfer where credit_id is not null group by credit_id
  )
  select coalesce(credit.id, arrival.id) as id,
    format('%s came, %s expired, %s refunded', arrival.amount, coalesce(left_by.expired, 0), coalesce(left_by.refunded, 0))
      as expected,
    format('%s came, %s expired, %s refunded', credit.amount, credit.expired, credit.refunded) as found
  from credit
    full join (select * from transfer where kind in ('top_up', 'credit_grant', 'redemption')) arrival
      on arrival.id = credit.transfer_id
    left join left_by on left_by.credit_id = credit.id
  where credit.amount is distinct from arrival.amount or credit.tenant_id is distinct from arrival.tenant_id
    or credit.expired is distinct from coalesce(left_by.expired, 0)
    or credit.refunded is distinct from coalesce(left_by.refunded, 0)`;

/** What a wallet holds is of some credit: no more can be left than came and has neither run out nor been paid back. */
const WRONG_WALLETS = `
  select account.id, format('at most %s of credits', coalesce(sum(credit.amount - credit.expired - credit.refunded), 0))
      as expected,
    format('%s in the wallet', account.credits - account.debits) as found
  from account left join credit on credit.tenant_id = account.tenant_id and credit.currency = account.currency
  where account.kind = 'wallet'
  group by account.id
  having account.credits - account.debits > greatest(0, coalesce(sum(credit.amount - credit.expired - credit.refunded), 0))`;

/** Of each wallet's lease: what was granted, used and came back is what its transfers say. */
const WRONG_LEASES = `
  with moved as (
    select lease_id, coalesce(sum(amount) filter (where kind = 'lease'), 0) as granted,
      coalesce(sum(amount) filter (where kind = 'usage'), 0) as used,
      coalesce(sum(amount) filter (where kind = 'lease_return'), 0) as returned
    from transfer where lease_id is not null group by lease_id
  )
  select coalesce(lease.id, moved.lease_id) as id,
    format('%s granted, %s used, %s returned', moved.granted, moved.used, moved.returned) as expected,
    format('%s granted, %s used, %s returned', lease.granted, lease.used, lease.returned) as found
  from (select * from lease where scope = 'wallet') lease full join moved on moved.lease_id = lease.id
  where (lease.granted, lease.used, lease.returned) is distinct from (moved.granted, moved.used, moved.returned)`;

/** What is set aside is what the open leases have left. */
const WRONG_LEASED = `
  with open as (
    select tenant_id, currency, sum(granted - used - returned) as held from lease where scope = 'wallet' group by 1, 2
  )
  select account.id, format('%s in open leases', coalesce(open.held, 0)) as expected,
    format('%s set aside', account.credits - account.debits) as found
  from account left join open using (tenant_id, currency)
  where account.kind = 'leased' and account.credits - account.debits <> coalesce(open.held, 0)`;

/** Of each lease of a budget: what its calls' tenants paid. */
const WRONG_BUDGET_LEASES = `
  with paid as (
    select named.lease_id, sum(transfer.amount) as used
    from usage_event event cross join lateral unnest(event.lease_ids) as named (lease_id)
      join transfer on transfer.event_id = event.id and transfer.kind = 'usage'
    group by named.lease_id
  )
  select lease.id, format('%s used', coalesce(paid.used, 0)) as expected, format('%s used', lease.used) as found
  from lease left join paid on paid.lease_id = lease.id
  where lease.scope = 'budget' and lease.used <> coalesce(paid.used, 0)`;

const WRONG_BUDGET_LEASED = `
  with open as (
    select budget_id, window_from, sum(granted - used - returned) as held from lease where scope = 'budget' group by 1, 2
  )
  select coalesce(part.budget_id, open.budget_id) as id, format('%s in open leases', coalesce(open.held, 0)) as expected,
    format('%s set aside', part.leased) as found
  from budget_window part full join open using (budget_id, window_from)
  where part.leased is distinct from coalesce(open.held, 0)`;

/** Of each window of a budget: what the calls that count in it have cost their tenant. */
const WRONG_BUDGET_SPENT = `
  with paid as (
    select budget.id as budget_id, budget_window_from(budget.period, budget.time_zone, event.admitted_at) as window_from,
      sum(transfer.amount) as spent
    from budget
      join usage_event event on event.tenant_id = budget.tenant_id and event.currency = budget.currency
        and event.admitted_at >= budget.starts_at and budget.subject_id = case budget.subject
          when 'tenant' then event.tenant_id when 'member' then event.member_id else event.api_key_id end
      join transfer on transfer.event_id = event.id and transfer.kind = 'usage'
    where budget.status = 'active' group by 1, 2
  )
  select coalesce(part.budget_id, paid.budget_id) as id, format('%s spent', coalesce(paid.spent, 0)) as expected,
    format('%s spent', coalesce(part.spent, 0)) as found
  from (
    select budget_window.* from budget_window join budget on budget.id = budget_window.budget_id and budget.status = 'active'
  ) part full join paid using (budget_id, window_from)
  where coalesce(part.spent, 0) <> coalesce(paid.spent, 0)`;

const WRONG_CORRECTIONS = `
  select corrected.id, format('at most %s', corrected.amount) as expected, format('%s taken back', sum(correction.amount)) as found
  from transfer correction join transfer corrected on corrected.id = correction.corrects_transfer_id
  group by corrected.id, corrected.amount, corrected.kind
  having sum(correction.amount) > corrected.amount or corrected.kind <> 'usage'`;

export const WALLET_CHECKS: readonly LedgerCheck[] = [
  { about: 'credit', text: WRONG_CREDITS },
  { about: 'wallet', text: WRONG_WALLETS },
  { about: 'lease', text: WRONG_LEASES },
  { about: 'wallet', text: WRONG_LEASED },
  { about: 'lease', text: WRONG_BUDGET_LEASES },
  { about: 'budget', text: WRONG_BUDGET_LEASED },
  { about: 'budget', text: WRONG_BUDGET_SPENT },
  { about: 'transfer', text: WRONG_CORRECTIONS },
];
