import type { Attempt } from '@pingtoken/shared/usage-event';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { COST_OF_TOKEN, sellChaosModel, startChaosTarget, type ChaosTarget } from '../kit/chaos-target.js';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { openDatabaseReader, type DatabaseReader } from '../kit/database-reader.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { readPriceList } from '../kit/exact-price.js';
import { chatCall, textOf, type DrawCall } from '../kit/load-calls.js';
import { startLoad, type Load } from '../kit/load.js';
import { awaitSettled, reconcile } from '../kit/reconcile.js';
import { waitFor } from '../kit/wait-for.js';

const MODEL = 'chaos-chat';
const CALLERS = 10;
const SEED = 4_077;
/** More than the share of one target of six, for each call to it is hedged while it is slow. */
const RETRY = { maxAttempts: 3, budgetShare: 0.25, perAttemptTimeoutMs: 5_000 };
/** What a route's retry budget holds at first. */
const BUDGET_RESERVE = 50;
const RETRY_AFTER_SECONDS = 5;
/** So many calls in a row do not pass by a target that may be called: it would have a sixth of them at least. */
const PASSED_BY = 40;
/** Attempts at the slow target that others were quicker than. */
const HEDGES = 8;
const PHASE_TIMEOUT_MS = 60_000;
const SETUP_TIMEOUT_MS = 180_000;

/** Mostly plain and streamed calls; some die at their provider after the first bytes, some callers leave. */
const draw: DrawCall = (random, name) => {
  const kind = random();
  const say = (directives: string): string => textOf(random, name, directives);
  if (kind < 0.5) return chatCall(MODEL, say('tokens=10'), false);
  if (kind < 0.92) return chatCall(MODEL, say('tokens=20'), true, kind < 0.7);
  if (kind < 0.96) return chatCall(MODEL, say('die-after=3'), true);
  return { ...chatCall(MODEL, say('chunk-delay=5 tokens=60'), true), leavesAfter: 300 + 1_000 * random() };
};

let distribution: Distribution;
let customer: Customer;
let database: DatabaseReader;
const NAMES = ['parked', 'slow', 'resetting', 'severed', 'limited', 'well'] as const;
const targets = {} as Record<(typeof NAMES)[number], ChaosTarget>;
let load: Load | undefined;

beforeAll(async () => {
  distribution = await startDistribution();
  database = openDatabaseReader(distribution.runtime.databaseUrl);
  customer = await createCustomer(distribution);
  for (const name of NAMES) targets[name] = await startChaosTarget(customer, `chaos-${name}`);
  await sellChaosModel(customer, { name: MODEL, targets: Object.values(targets), retry: RETRY, hedging: 'AFTER_P95' });
  const isSold = async (): Promise<boolean> =>
    (await listModels(distribution.runtime.gatewayUrl, customer.key.secret)).includes(MODEL);
  await waitFor(isSold, { timeoutMs: 15_000, what: `${MODEL} at the gateway` });
}, SETUP_TIMEOUT_MS);
afterAll(async () => {
  await load?.stop();
  await Promise.all(Object.values(targets).map((target) => target.close()));
  await database.close();
  await distribution.dispose();
});

/** Waits for so many more calls that are answered to their end. */
async function awaitAnswers(running: Load, count: number): Promise<void> {
  const answered = (): number => running.calls.filter(({ result }) => result === 'complete').length;
  const enough = answered() + count;
  await waitFor(() => answered() >= enough, { timeoutMs: PHASE_TIMEOUT_MS, what: `${count} more answers` });
}

/** Waits until calls pass a target by: none has reached it while so many others were answered. */
async function awaitOpenBreaker(running: Load, { books }: ChaosTarget): Promise<void> {
  const isPassedBy = async (): Promise<boolean> => {
    const before = (await books.summary()).calls;
    await awaitAnswers(running, PASSED_BY);
    return (await books.summary()).calls === before;
  };
  await waitFor(isPassedBy, { timeoutMs: PHASE_TIMEOUT_MS, what: 'a breaker that opens' });
}

/** Waits until a target serves again, more than a probe. */
async function awaitClosedBreaker({ books }: ChaosTarget): Promise<void> {
  const served = async (): Promise<number> => (await books.summary()).completed;
  const enough = (await served()) + 20;
  await waitFor(async () => (await served()) >= enough, { timeoutMs: PHASE_TIMEOUT_MS, what: 'a breaker that closes' });
}

/** A target that is asked too often is let alone for as long as it says. */
async function expectCoolDown(running: Load, limited: ChaosTarget): Promise<void> {
  const since = Date.now();
  await limited.ail({ status: 429, 'retry-after': RETRY_AFTER_SECONDS });
  await awaitAnswers(running, 2 * PASSED_BY);
  await limited.ail();
  // Those that were on their way when the first was refused, and after each wait as many again.
  const waits = 1 + Math.ceil((Date.now() - since) / (RETRY_AFTER_SECONDS * 1_000));
  const refused = (await limited.books.served()).requests.filter(({ status }) => status === 429).length;
  expect(refused).toBeGreaterThan(0);
  expect(refused).toBeLessThanOrEqual(waits * CALLERS);
}

/** Calls to a target that does not answer are answered by others, long before it is given up. */
async function expectHedges(running: Load, slow: ChaosTarget): Promise<void> {
  const asked = (await slow.books.summary()).aborted;
  await slow.ail({ delay: 60_000 });
  const isPassedOver = async (): Promise<boolean> => (await slow.books.summary()).aborted >= asked + HEDGES;
  await waitFor(isPassedOver, { timeoutMs: PHASE_TIMEOUT_MS, what: 'hedges that win' });
  await awaitAnswers(running, PASSED_BY);
  await slow.ail();
}

it(
  'a call that has a healthy target left is answered, whatever becomes of the others',
  { timeout: 300_000 },
  async () => {
    const { parked, slow, resetting, severed, limited } = targets;
    const startedAt = Date.now();
    const { gatewayUrl } = distribution.runtime;
    const running = startLoad({ gatewayUrl, apiKey: customer.key.secret, seed: SEED, callers: CALLERS, draw });
    load = running;
    await awaitAnswers(running, 60);

    await expectHedges(running, slow);
    const faults = [
      [parked, { status: 401 }],
      [resetting, { reset: true }],
    ] as const;
    for (const [target, fault] of faults) {
      await target.ail(fault);
      await awaitOpenBreaker(running, target);
      await target.ail();
    }
    await severed.wire.sever();
    await awaitAnswers(running, PASSED_BY);
    await severed.wire.revive();
    await expectCoolDown(running, limited);

    await Promise.all([parked, slow, resetting, severed, limited].map(awaitClosedBreaker));
    await running.stop();
    await expectAgreement(running, startedAt);
  },
);

/** Nobody was refused, all books agree, and the retry budget was held. */
async function expectAgreement({ calls }: Load, startedAt: number): Promise<void> {
  const books = new Map(Object.values(targets).map((target) => [target.providerId, target.books]));
  await awaitSettled({ database, books, home: distribution.home }, PHASE_TIMEOUT_MS);
  const prices = { [MODEL]: await readPriceList(customer.platform, MODEL) };
  const { differences, spent, ...counts } = await reconcile({ database, books, prices, calls });
  console.log(`${calls.length} calls: ${JSON.stringify(counts)} in ${Date.now() - startedAt} ms`);
  // A call whose answer had begun is never tried again, so the dying ones are cut.
  const failed = calls.filter(({ result }) => !['complete', 'left', 'cut'].includes(result));
  expect(failed).toEqual([]);
  expect(differences).toEqual([]);
  expect(spent).toBeGreaterThan(0n);
  await expectRetries(startedAt);
}

async function expectRetries(startedAt: number): Promise<void> {
  const rows = await database.rows<{ attempts: Attempt[] }>('select attempts from usage_event');
  const inVain = rows.flatMap(({ attempts }) => attempts.slice(0, -1));
  const failed = inVain.filter(({ countedBy }) => countedBy === 'none');
  expect(new Set(failed.map(({ status }) => status))).toEqual(new Set([401, 429, null]));
  const earned = RETRY.budgetShare * rows.length + (Date.now() - startedAt) / 1_000;
  expect(inVain.length).toBeLessThanOrEqual(BUDGET_RESERVE + earned);
  const outpaced = inVain.filter(({ countedBy }) => countedBy === 'estimated');
  expect(outpaced.length).toBeGreaterThanOrEqual(HEDGES);
  await expectOperatorPays(rows.flatMap(({ attempts }) => attempts));
}

/** What providers charge for all attempts, those that lost among them, is booked as the operator's cost, to the last unit. */
async function expectOperatorPays(attempts: readonly Attempt[]): Promise<void> {
  const tokens = attempts.flatMap(({ usage: { request: _request, ...counted } }) => Object.values(counted));
  const [booked] = await database.rows<{ sum: string }>(
    "select coalesce(sum(amount), 0)::text as sum from transfer where kind = 'provider_cost'",
  );
  expect(booked?.sum).toBe(String(COST_OF_TOKEN * BigInt(tokens.reduce((sum, count) => sum + count, 0))));
}
