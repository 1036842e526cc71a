import type { LeaseRefusal } from '@pingtoken/shared/lease';
import type { Shortfall } from './lease-book.js';

/** What the allocator said about a scope last; `unavailable` where it said nothing in time. */
export type AllocatorWord = LeaseRefusal | 'granted' | 'unavailable';

export type LeaseErrorCode = 'insufficient_funds' | 'budget_reserved' | 'budget_unavailable';

/**
 * Why a call that still lacks something is refused. `insufficient_funds` (402) only where waiting is no use: the allocator has
 * counted what is leased too. What calls under way hold may come back: `budget_reserved` (429). Where nobody knows:
 * `budget_unavailable` (503).
 */
export function refusalOf(
  { lacking }: Shortfall,
  wordOn: (lacking: Shortfall['lacking'][number]) => AllocatorWord,
): LeaseErrorCode {
  const words = lacking.map(wordOn);
  if (words.includes('exhausted')) return 'insufficient_funds';
  if (words.includes('reserved')) return 'budget_reserved';
  if (
    lacking.every(
      ({ isReserved }, index) => words[index] === 'granted' || (words[index] === 'unavailable' && isReserved),
    )
  )
    return 'budget_reserved';
  return 'budget_unavailable';
}
