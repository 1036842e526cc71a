/** One thing that happens. Indexes are taken modulo how many there are. */
export type Step =
  | { readonly type: 'call'; readonly plane: number; readonly amount: number; readonly isLimited: boolean }
  | { readonly type: 'end'; readonly plane: number; readonly call: number; readonly percent: number }
  | { readonly type: 'ask'; readonly plane: number; readonly isHeard: boolean }
  | { readonly type: 'repeat'; readonly plane: number; readonly answer: number }
  | { readonly type: 'fence'; readonly plane: number; readonly isHeard: boolean }
  | { readonly type: 'sync'; readonly plane: number }
  | { readonly type: 'send'; readonly plane: number; readonly source: number; readonly limit: number }
  | { readonly type: 'note'; readonly plane: number }
  | { readonly type: 'die'; readonly plane: number; readonly isPowerCut: boolean }
  | { readonly type: 'work'; readonly job: number; readonly isRepeated: boolean; readonly isHeard: boolean }
  | { readonly type: 'drop'; readonly job: number }
  | { readonly type: 'recover'; readonly spool: number; readonly isTorn: boolean }
  | { readonly type: 'leave'; readonly spool: number }
  | { readonly type: 'lose'; readonly spool: number }
  | { readonly type: 'close' }
  | { readonly type: 'wait'; readonly ms: number };
