import { expect } from 'vitest';
import { exactPrice, parseUnits, type PriceList } from './exact-price.js';
import type { Platform } from './platform.js';
import type { ServedCall, SimulatorBooks } from './simulator-books.js';
import { waitFor } from './wait-for.js';

/** A call as its tenant sees it. */
export interface ShownUsage {
  readonly id: string;
  readonly apiKeyId: string;
  readonly model: string;
  readonly operation: string;
  readonly outcome: string;
  readonly streamed: boolean;
  readonly status: number | null;
  readonly counts: readonly { readonly dimension: string; readonly count: number }[];
  readonly price: { readonly amount: string; readonly currency: string };
}

interface UsagePage {
  readonly usage: {
    readonly edges: readonly { readonly node: ShownUsage }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

const USAGE = `query ($after: String) { usage(first: 100, after: $after) {
  edges { node { id apiKeyId model operation outcome streamed status counts { dimension count } price { amount currency } } }
  pageInfo { hasNextPage endCursor } } }`;

/** Every call of a tenant, page by page, by request id. */
export async function readUsage(platform: Platform, token: string): Promise<Map<string, ShownUsage>> {
  const found = new Map<string, ShownUsage>();
  for (let after: string | null | undefined = null; after !== undefined;) {
    const { usage }: UsagePage = await platform.query<UsagePage>(USAGE, token, { after });
    for (const { node } of usage.edges) found.set(node.id, node);
    after = usage.pageInfo.hasNextPage ? usage.pageInfo.endCursor : undefined;
  }
  return found;
}

/** @returns units (10^-12 of a US dollar) */
export async function readBalance(platform: Platform, token: string): Promise<bigint> {
  const { wallet } = await platform.query<{ wallet: { balance: string } }>('{ wallet { balance } }', token);
  return parseUnits(wallet.balance);
}

/** Waits until the ledger knows a call. */
export function awaitUsage(platform: Platform, token: string, requestId: string): Promise<ShownUsage> {
  return waitFor(async () => (await readUsage(platform, token)).get(requestId), {
    timeoutMs: 20_000,
    what: `usage of ${requestId}`,
  });
}

/** Demands that the gateway billed what the simulator served, token for token and unit for unit. */
export async function expectSameAsServed(usage: ShownUsage, books: SimulatorBooks, prices: PriceList): Promise<bigint> {
  const served = await books.servedCall(usage.id);
  const price = exactPrice(prices, served);
  expect({ id: usage.id, ...countsOf(usage) }).toEqual({ id: usage.id, ...tokensOf(served) });
  expect({ id: usage.id, price: parseUnits(usage.price.amount) }).toEqual({ id: usage.id, price });
  return price;
}

interface Tokens {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly reasoning: number;
}

function countsOf({ counts }: ShownUsage): Tokens {
  const of = (wanted: string): number => counts.find(({ dimension }) => dimension === wanted)?.count ?? 0;
  return { input: of('INPUT'), output: of('OUTPUT'), cached: of('CACHE_READ'), reasoning: of('REASONING') };
}

function tokensOf(served: ServedCall): Tokens {
  const { promptTokens, completionTokens, cachedTokens: cached, reasoningTokens: reasoning } = served;
  return { input: promptTokens - cached, output: completionTokens - reasoning, cached, reasoning };
}
