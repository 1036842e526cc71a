import type { Capability } from '@pingtoken/shared/config-snapshot';
import type { Operation } from '@pingtoken/shared/usage-event';
import type { Refusal } from '../../http-error.js';

/** A model that a caller could call now, in no vendor's terms. */
export interface ListedModel {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** The provider that would be called first. */
  readonly owner: string;
  readonly operations: readonly Operation[];
  readonly capabilities: readonly Capability[];
  /** Tokens; null where it is not known. */
  readonly contextWindow: number | null;
  readonly maxOutputTokens: number | null;
}

/** How a vendor's API tells which models there are. */
export interface ModelList {
  /** Whether this API has calls for the model: what its callers cannot call they are not shown. */
  has(model: ListedModel): boolean;
  /** @param models those that it has, in any order */
  list(models: readonly ListedModel[], query: URLSearchParams): object | Refusal;
  show(model: ListedModel): object;
}

/** A whole number without sign, as a query spells it; undefined for anything else. */
export function readCount(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
