import { describe, expect, it } from 'vitest';
import { fillPage, MAX_PAGES, readPage, type ListPage } from './list-things.js';

/** A provider's list of 100 things, of which every tenth is ours, ten a page. */
const things = Array.from({ length: 100 }, (_, index) => ({ id: `t${index}`, isOwn: index % 10 === 5 }));
let asked: (string | undefined)[] = [];

function fetchPage(after: string | undefined): Promise<ListPage> {
  asked.push(after);
  const from = after === undefined ? 0 : things.findIndex(({ id }) => id === after) + 1;
  return Promise.resolve({ data: things.slice(from, from + 10), hasMore: from + 10 < things.length });
}
const pick = ({ id, isOwn }: Readonly<Record<string, unknown>>) => (isOwn === true ? { id } : undefined);

describe('a page of our own things', () => {
  it('is full as long as there are some, and says whether there are more', async () => {
    asked = [];
    expect(await fillPage({ after: undefined, limit: 3, fetchPage, pick })).toEqual({
      items: [{ id: 't5' }, { id: 't15' }, { id: 't25' }],
      hasMore: true,
    });
    expect(asked).toEqual([undefined, 't9', 't19', 't29']);
    expect(await fillPage({ after: 't25', limit: 7, fetchPage, pick })).toMatchObject({ hasMore: false });
    expect((await fillPage({ after: 't85', limit: 7, fetchPage, pick }))?.items).toEqual([{ id: 't95' }]);
    expect(await fillPage({ after: 't95', limit: 7, fetchPage, pick })).toEqual({ items: [], hasMore: false });
    expect(await fillPage({ after: undefined, limit: 0, fetchPage, pick })).toEqual({ items: [], hasMore: true });
    expect(await fillPage({ after: 't95', limit: 0, fetchPage, pick })).toEqual({ items: [], hasMore: false });
  });

  it('ends where a page cannot be had', async () => {
    expect(await fillPage({ after: undefined, limit: 3, fetchPage: () => Promise.resolve(undefined), pick })).toBe(
      undefined,
    );
  });

  it('is not looked for without end', async () => {
    let pages = 0;
    const endless = () => {
      pages += 1;
      return Promise.resolve({ data: [{ id: `x${pages}` }], hasMore: true });
    };
    expect(await fillPage({ after: undefined, limit: 1, fetchPage: endless, pick })).toEqual({
      items: [],
      hasMore: true,
    });
    expect(pages).toBe(MAX_PAGES);
    const same = () => Promise.resolve({ data: [{ id: 'x' }], hasMore: true });
    expect(await fillPage({ after: undefined, limit: 1, fetchPage: same, pick })).toEqual({
      items: [],
      hasMore: false,
    });
  });

  it.each([undefined, {}, { data: 7 }, { data: [7] }])('is none in %j', (value) => {
    expect(readPage(value)).toBeUndefined();
  });
});
