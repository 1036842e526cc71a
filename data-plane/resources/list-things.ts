import { isObject } from '../dialects/chat/json.js';

/** A page of a provider's list, in OpenAI's shape. */
export interface ListPage {
  readonly data: readonly Readonly<Record<string, unknown>>[];
  readonly hasMore: boolean;
}

/** @returns undefined where it is no list */
export function readPage(value: Readonly<Record<string, unknown>> | undefined): ListPage | undefined {
  const data = value?.['data'];
  if (!Array.isArray(data) || !data.every(isObject)) return undefined;
  return { data, hasMore: value?.['has_more'] === true };
}

export interface Listing<Item> {
  readonly items: readonly Item[];
  readonly hasMore: boolean;
}

/** So many pages of a shared list are looked through for one page of a caller's. */
export const MAX_PAGES = 200;

/**
 * Fills one page of a caller's from a list that others' things stand in as well.
 * @param fetchPage gives the page behind a raw id, the first for undefined; undefined ends the call
 * @param pick makes of a thing what the caller is shown, undefined for what is not its own
 * @returns undefined where a page could not be had
 */
export async function fillPage<Item>({
  after,
  limit,
  fetchPage,
  pick,
}: {
  readonly after: string | undefined;
  readonly limit: number;
  readonly fetchPage: (after: string | undefined) => Promise<ListPage | undefined>;
  readonly pick: (thing: Readonly<Record<string, unknown>>) => Item | undefined;
}): Promise<Listing<Item> | undefined> {
  const items: Item[] = [];
  let cursor = after;
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const page = await fetchPage(cursor);
    if (page === undefined) return undefined;
    for (const thing of page.data) {
      const item = pick(thing);
      if (item === undefined) continue;
      // One more than is shown has been found, so there is more.
      if (items.length === limit) return { items, hasMore: true };
      items.push(item);
    }
    const last = page.data.at(-1)?.['id'];
    // A provider that gives the same page again would be asked for ever.
    if (!page.hasMore || typeof last !== 'string' || last === cursor) return { items, hasMore: false };
    cursor = last;
  }
  return { items, hasMore: true };
}

/** The answer to a list, in OpenAI's shape. */
export function listObject({ items, hasMore }: Listing<Readonly<Record<string, unknown>>>): object {
  const ends = { first_id: items[0]?.['id'] ?? null, last_id: items.at(-1)?.['id'] ?? null };
  return { object: 'list', data: items, ...ends, has_more: hasMore };
}
