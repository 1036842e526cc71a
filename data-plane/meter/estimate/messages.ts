import type { Usage } from '@pingtoken/shared/rate-card';
import type { Dialect } from '@pingtoken/shared/config-snapshot';

/** What the data plane tells the thread that counts. `call` is a number of its own for each call, not the call's id. */
export type ToThread =
  | { readonly kind: 'delivered'; readonly call: number; readonly dialect: Dialect; readonly bytes: Uint8Array }
  /** A piece of the request's body; pieces come in order. */
  | { readonly kind: 'prompt'; readonly call: number; readonly dialect: Dialect; readonly bytes: Uint8Array }
  | CountMessage
  /** Something will have to be counted: load what that takes. */
  | { readonly kind: 'prepare' }
  | { readonly kind: 'discard'; readonly call: number }
  | { readonly kind: 'inspect'; readonly request: number };

/** All of a call is there: count it. */
export interface CountMessage {
  readonly kind: 'count';
  readonly call: number;
  readonly dialect: Dialect;
  /** Milliseconds since 1970: what is not tokenised by then is extrapolated. */
  readonly extrapolateFrom: number;
  /** No answer is waited for: the prompt alone is counted. */
  readonly promptOnly: boolean;
}

export type FromThread =
  | {
      readonly kind: 'counted';
      readonly call: number;
      /** Undefined where nothing of an answer was delivered, or with a fault. */
      readonly usage: Usage | undefined;
      /** The error's name, for its text may quote the prompt. */
      readonly fault?: string;
    }
  /** The tokenizer is loaded. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'inspected'; readonly request: number; readonly held: HeldByThread };

/** What the thread keeps of calls that are not over yet. */
export interface HeldByThread {
  readonly calls: number;
  /** Bytes that are kept as they came; text that was read already is not among them. */
  readonly bytes: number;
}
