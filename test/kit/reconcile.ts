import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseReader } from './database-reader.js';
import { exactPrice, type PriceList } from './exact-price.js';
import type { SeenCall } from './load.js';
import type { ServedCall, SimulatorBooks } from './simulator-books.js';
import { waitFor } from './wait-for.js';

/** A data plane's death, as the test saw to it. */
export interface DataPlaneKill {
  readonly dataPlaneId: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface ReconcileOptions {
  readonly database: DatabaseReader;
  readonly books: SimulatorBooks;
  /** By model. */
  readonly prices: Readonly<Record<string, PriceList>>;
  /** All calls so far. */
  readonly calls: readonly SeenCall[];
  /** All so far. */
  readonly kills: readonly DataPlaneKill[];
}

export interface Reconciled {
  /** One sentence each; none where callers, provider, events and ledger say the same. */
  readonly differences: readonly string[];
  readonly served: number;
  readonly events: number;
  readonly interrupted: number;
  /** Units of US dollars. */
  readonly spent: bigint;
}

interface EventRow {
  readonly id: string;
  readonly kind: string;
  readonly outcome: string;
  readonly model: string;
  readonly usage: Readonly<Record<string, number>>;
  readonly amount: string;
  readonly data_plane_id: string | null;
  readonly admitted_at: Date;
}

/** Waits until nothing is under way any more: every served call is an event, and no spool of a dead process is left. */
export async function awaitSettled(
  { database, books, home }: Pick<ReconcileOptions, 'database' | 'books'> & { readonly home: string },
  timeoutMs: number,
): Promise<void> {
  let left = '';
  const isSettled = async (): Promise<boolean> => {
    const { requests, inFlight } = await books.served();
    const known = await database.rows<{ id: string }>('select id from usage_event').catch(() => []);
    const ids = new Set(known.map(({ id }) => id));
    const missing = requests.filter(({ requestId }) => !ids.has(requestId)).map(({ requestId }) => requestId);
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

/** Compares what callers saw, what the provider served, the usage events and the ledger. */
export async function reconcile(options: ReconcileOptions): Promise<Reconciled> {
  const { database, books, prices, calls } = options;
  const { requests, repeatedIdCount, droppedRequests } = await books.served();
  const served = new Map(requests.map((request) => [request.requestId, request]));
  const rows = await database.rows<EventRow>(
    `select event.id, kind, outcome, model, usage, amount, data_plane_id, admitted_at
     from usage_event event left join usage_spool spool on spool.id = event.spool_id`,
  );
  const events = new Map(rows.map((row) => [row.id, row]));
  const differences: string[] = [];
  const claim = (isTrue: boolean, sentence: string): void => {
    if (!isTrue) differences.push(sentence);
  };

  claim(repeatedIdCount === 0, `${repeatedIdCount} calls were sent to the provider more than once`);
  claim(droppedRequests === 0, 'the simulator has forgotten calls');
  claim(rows.length === events.size, 'an event is stored twice');
  for (const id of served.keys()) claim(events.has(id), `${id} was served and is no event`);
  const completed = new Set(calls.filter(({ result }) => result === 'complete').map(({ requestId }) => requestId));
  for (const id of completed) {
    const event = events.get(id ?? '');
    claim(event?.outcome === 'completed', `${id} was answered to its end and is ${event?.outcome ?? 'no event'}`);
  }
  let spent = 0n;
  for (const event of rows) {
    const problem = findProblem(event, served.get(event.id), options);
    if (problem !== undefined) differences.push(`${event.id} (${event.kind}, ${event.outcome}): ${problem}`);
    const tokens = served.get(event.id);
    if (tokens !== undefined && isCounted(event)) spent += exactPrice(prices[event.model] ?? {}, tokens);
  }
  differences.push(...(await findLedgerDifferences(database, spent)));
  const interrupted = rows.filter(({ kind }) => kind === 'interrupted').length;
  return { differences, served: served.size, events: rows.length, interrupted, spent };
}

const isCounted = ({ usage }: EventRow): boolean => Object.keys(usage).length > 0;

function findProblem(
  event: EventRow,
  served: ServedCall | undefined,
  { prices, kills }: ReconcileOptions,
): string | undefined {
  if ((event.kind === 'interrupted') !== (event.outcome === 'interrupted'))
    return 'kind and outcome contradict each other';
  if (event.kind === 'interrupted') {
    if (isCounted(event) || event.amount !== '0') return 'something is billed';
    const isOfKill = kills.some(
      ({ dataPlaneId, at }) => dataPlaneId === event.data_plane_id && event.admitted_at.getTime() <= at,
    );
    return isOfKill ? undefined : 'its data plane was not killed while it was open';
  }
  if (event.outcome === 'completed' && served?.outcome !== 'completed') {
    return `at the provider it was ${served?.outcome ?? 'never seen'}`;
  }
  if (!isCounted(event)) {
    if (event.outcome === 'completed') return 'nothing is counted';
    return event.amount === '0' ? undefined : `nothing is counted and ${event.amount} billed`;
  }
  if (served === undefined) return 'counted, and never served';
  const counts = [event.usage['input'], event.usage['output'], event.usage['cacheRead'], event.usage['reasoning']];
  const expected = [
    served.promptTokens - served.cachedTokens,
    served.completionTokens - served.reasoningTokens,
    served.cachedTokens,
    served.reasoningTokens,
  ];
  if (counts.some((count, index) => (count ?? 0) !== expected[index])) {
    return `counts ${counts.join(' ')}, the provider ${expected.join(' ')}`;
  }
  const price = exactPrice(prices[event.model] ?? {}, served);
  return event.amount === String(price) ? undefined : `costs ${event.amount} and should cost ${price}`;
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
};

async function findLedgerDifferences(database: DatabaseReader, spent: bigint): Promise<string[]> {
  const found: string[] = [];
  for (const [sentence, text] of Object.entries(LEDGER_FAULTS)) {
    for (const { fault } of await database.rows<{ fault: string }>(text)) found.push(`${sentence}: ${fault}`);
  }
  const [sums] = await database.rows<{ events: string; wallets: string }>(
    `select (select coalesce(sum(amount), 0)::text from usage_event) as events,
       (select coalesce(sum(debits), 0)::text from account where kind = 'wallet') as wallets`,
  );
  if (sums?.events !== String(spent)) found.push(`events cost ${sums?.events ?? '?'}, tokens times price ${spent}`);
  if (sums?.wallets !== String(spent)) found.push(`wallets paid ${sums?.wallets ?? '?'}, tokens times price ${spent}`);
  return found;
}
