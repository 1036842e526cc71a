import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseReader } from './database-reader.js';
import { findEventProblem, type DataPlaneKill, type EventRow } from './event-problem.js';
import type { PriceList } from './exact-price.js';
import type { SeenCall } from './load.js';
import type { ServedCall, SimulatorBooks } from './simulator-books.js';
import { waitFor } from './wait-for.js';

export interface ReconcileOptions {
  readonly database: DatabaseReader;
  /** The books of each provider, by its id; providers of one simulator share theirs. */
  readonly books: ReadonlyMap<string, SimulatorBooks>;
  /** By model. */
  readonly prices: Readonly<Record<string, PriceList>>;
  /** All calls so far. */
  readonly calls: readonly SeenCall[];
  /** All so far; none where no data plane dies. */
  readonly kills?: readonly DataPlaneKill[];
}

export interface Reconciled {
  /** One sentence each; none where callers, providers, events and ledger say the same. */
  readonly differences: readonly string[];
  readonly served: number;
  readonly events: number;
  readonly interrupted: number;
  /** Events that were counted here and not by their provider. */
  readonly estimated: number;
  /** Units of US dollars. */
  readonly spent: bigint;
}

/** Waits until nothing is under way any more: every served call is an event, and no spool of a dead process is left. */
export async function awaitSettled(
  { database, books, home }: Pick<ReconcileOptions, 'database' | 'books'> & { readonly home: string },
  timeoutMs: number,
): Promise<void> {
  let left = '';
  const isSettled = async (): Promise<boolean> => {
    const all = await Promise.all([...new Set(books.values())].map((each) => each.served()));
    const inFlight = all.reduce((sum, each) => sum + each.inFlight, 0);
    const known = await database.rows<{ id: string }>('select id from usage_event').catch(() => []);
    const ids = new Set(known.map(({ id }) => id));
    const served = all.flatMap(({ requests }) => requests.map(({ requestId }) => requestId));
    const missing = served.filter((requestId) => !ids.has(requestId));
    const spools = await countForeignSpools(home);
    left = `${inFlight} under way, ${spools} spools of dead processes, ${missing.length} not booked: ${missing.slice(0, 5).join(' ')}`;
    return inFlight === 0 && spools === 0 && missing.length === 0;
  };
  await waitFor(isSettled, { timeoutMs, intervalMs: 250, what: 'the ledger' }).catch((error: unknown) => {
    throw new Error(`not settled: ${left}`, { cause: error });
  });
}

/** A spool that its process left behind is removed once the ledger has confirmed all of it. */
async function countForeignSpools(home: string): Promise<number> {
  const folders = (await readdir(home)).filter((name) => name.startsWith('data-plane-'));
  const spools = await Promise.all(folders.map((name) => readdir(join(home, name, 'spool'))));
  return spools.reduce((sum, names) => sum + Math.max(0, names.length - 1), 0);
}

/** Compares what callers saw, what the providers served, the usage events and the ledger. */
export async function reconcile(options: ReconcileOptions): Promise<Reconciled> {
  const { database, calls, kills = [] } = options;
  const served = await readServed(options.books);
  const rows = await database.rows<EventRow>(
    `select event.id, kind, outcome, model, usage, counted_by, attempts, amount, data_plane_id, spool_id, admitted_at
     from usage_event event left join usage_spool spool on spool.id = event.spool_id`,
  );
  const events = new Map(rows.map((row) => [row.id, row]));
  const seen = new Map(calls.flatMap((call) => (call.requestId === null ? [] : [[call.requestId, call] as const])));
  const differences = [...served.faults];
  const claim = (isTrue: boolean, sentence: string): void => {
    if (!isTrue) differences.push(sentence);
  };

  claim(rows.length === events.size, 'an event is stored twice');
  for (const id of served.ids) claim(events.has(id), `${id} was served and is no event`);
  for (const { requestId, result, status } of calls) {
    const isPoor = result === 'refused' && (status === 402 || status === 429);
    if (isPoor)
      claim(
        served.all(requestId ?? '').every((each) => each.status === status),
        `${requestId} was refused ${status} and served`,
      );
    if (result !== 'complete') continue;
    const outcome = events.get(requestId ?? '')?.outcome ?? 'no event';
    // Where the provider does not say what it took, that is still being counted after the answer, and dies with its process.
    const mayDie = served.all(requestId ?? '').every(({ usage }) => usage === 'none');
    const isRight = outcome === 'completed' || (mayDie && outcome === 'interrupted');
    claim(isRight, `${requestId} was answered to its end and is ${outcome}`);
  }
  for (const event of rows) {
    const servedBy = (providerId: string): ServedCall | undefined => served.find(providerId, event.id);
    const facts = { served: servedBy, times: served.all(event.id).length, seen: seen.get(event.id) };
    const problem = findEventProblem(event, { ...facts, kills, prices: options.prices[event.model] ?? {} });
    if (problem !== undefined) differences.push(`${event.id} (${event.kind}, ${event.outcome}): ${problem}`);
  }
  const spent = rows.reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  differences.push(...(await findLedgerDifferences(database, spent)));
  const count = (isMeant: (row: EventRow) => boolean): number => rows.filter(isMeant).length;
  return {
    differences,
    served: served.ids.size,
    events: rows.length,
    interrupted: count(({ kind }) => kind === 'interrupted'),
    estimated: count((row) => row.counted_by === 'estimated'),
    spent,
  };
}

interface AllServed {
  readonly ids: ReadonlySet<string>;
  readonly faults: readonly string[];
  readonly find: (providerId: string, requestId: string) => ServedCall | undefined;
  /** All records of a call, of whichever provider. */
  readonly all: (requestId: string) => readonly ServedCall[];
}

/** Of each call there is at most one record at each simulator: a target is not tried again where its route does not say so. */
async function readServed(books: ReconcileOptions['books']): Promise<AllServed> {
  const byBooks = new Map<SimulatorBooks, ReadonlyMap<string, ServedCall>>();
  const faults: string[] = [];
  for (const each of new Set(books.values())) {
    const { requests, repeatedIdCount, droppedRequests } = await each.served();
    if (repeatedIdCount > 0) faults.push(`${repeatedIdCount} calls were sent to one provider more than once`);
    if (droppedRequests > 0) faults.push('a simulator has forgotten calls');
    byBooks.set(each, new Map(requests.map((request) => [request.requestId, request])));
  }
  const maps = [...byBooks.values()];
  return {
    ids: new Set(maps.flatMap((map) => [...map.keys()])),
    faults,
    find: (providerId, requestId) => {
      const found = books.get(providerId);
      return found === undefined ? undefined : byBooks.get(found)?.get(requestId);
    },
    all: (requestId) => maps.flatMap((map) => map.get(requestId) ?? []),
  };
}

const LEDGER_FAULTS: Readonly<Record<string, string>> = {
  'an account is not the sum of its transfers': `
    with leg as (
      select debit_account_id as id, amount as debit, 0 as credit from transfer
      union all select credit_account_id, 0, amount from transfer
    ), total as (select id, sum(debit) as debits, sum(credit) as credits from leg group by id)
    select account.id::text as fault from account left join total using (id)
    where account.debits <> coalesce(total.debits, 0) or account.credits <> coalesce(total.credits, 0)`,
  'an event and its transfer differ': `
    select coalesce(event.id, booking.event_id)::text as fault
    from (select * from usage_event where amount > 0) event
      full join (select event_id, sum(amount) as amount, count(*) as times from transfer where kind = 'usage' group by event_id) booking
        on booking.event_id = event.id
    where event.amount is distinct from booking.amount or booking.times <> 1`,
  'money came from nowhere': `
    select currency as fault from account group by currency having sum(debits) <> sum(credits)`,
  'a record was set aside': `
    select format('%s %s: %s', spool_id, seq, reason) as fault from usage_quarantine`,
  'a wallet and its leases are not what came in, less what calls cost': `
    with paid_in as (
      select tenant_id, sum(amount) as amount from transfer where kind in ('top_up', 'credit_grant', 'redemption') group by 1
    ), spent as (
      select tenant_id, sum(amount) as amount from usage_event group by 1
    ), held as (
      select tenant_id, sum(credits - debits) as amount from account where kind in ('wallet', 'leased') group by 1
    )
    select format('%s: holds %s, of %s less %s', held.tenant_id, held.amount, coalesce(paid_in.amount, 0), coalesce(spent.amount, 0))
      as fault
    from held left join paid_in using (tenant_id) left join spent using (tenant_id)
    where held.amount <> coalesce(paid_in.amount, 0) - coalesce(spent.amount, 0)`,
  'a prepaid wallet is below zero': `
    select account.tenant_id::text as fault from account join tenant on tenant.id = account.tenant_id
    where account.kind in ('wallet', 'leased') and billing_mode = 'prepaid' and credits < debits`,
  'a hard budget is exceeded': `
    select budget.id::text as fault
    from budget_window part join budget on budget.id = part.budget_id and budget.is_hard and budget.status = 'active'
    where part.spent + part.leased > budget.amount`,
  'the operator has lost something': `
    select tenant_id::text as fault from account where kind = 'operator_loss' and debits > 0`,
};

async function findLedgerDifferences(database: DatabaseReader, spent: bigint): Promise<string[]> {
  const found: string[] = [];
  for (const [sentence, text] of Object.entries(LEDGER_FAULTS)) {
    for (const { fault } of await database.rows<{ fault: string }>(text)) found.push(`${sentence}: ${fault}`);
  }
  const [sums] = await database.rows<{ events: string; paid: string }>(
    `select (select coalesce(sum(amount), 0)::text from usage_event) as events,
       (select coalesce(sum(amount), 0)::text from transfer where kind = 'usage') as paid`,
  );
  if (sums?.events !== String(spent)) found.push(`events cost ${sums?.events ?? '?'}, the list of them ${spent}`);
  if (sums?.paid !== String(spent)) found.push(`tenants paid ${sums?.paid ?? '?'}, events cost ${spent}`);
  return found;
}
