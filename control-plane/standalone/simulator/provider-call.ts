import type { IncomingHttpHeaders } from 'node:http';
import type { Body } from './body.js';
import type { Decision } from './decision.js';
import type { Faults } from './directives.js';
import type { DialectName } from './errors.js';
import type { Stores } from './stores.js';

/** One call to the provider, received whole, and what its decision needs from outside. */
export interface ProviderCall {
  readonly body: Body;
  readonly headers: IncomingHttpHeaders;
  /** The `:id` of the path, decoded; '' where it has none. */
  readonly id: string;
  readonly query: URLSearchParams;
  readonly dialect: DialectName;
  readonly stores: Stores;
  readonly callNumber: number;
  readonly nowMs: number;
  /** The global faults that apply to it. */
  readonly takeFaults: (model: string | null) => Faults;
  /** Decides and counts a call that a stored one, as of a batch, asks for. `line` is method and path. */
  readonly decideNested: (line: string, body: object, requestId: string) => Decision;
}
