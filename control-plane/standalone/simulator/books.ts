import type { FaultBook } from './fault-book.js';
import type { Receptions } from './received.js';
import type { Served } from './served.js';

/** Everything the simulator remembers of its calls. */
export interface Books {
  readonly served: Served;
  readonly receptions: Receptions;
  readonly faults: FaultBook;
}
