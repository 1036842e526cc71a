import type { Faults } from './directives.js';
import type { ModelId } from './models.js';
import type { Payload } from './payload.js';
import type { TokenCount, UnitCount } from './tokens.js';

/** How one call will be answered. Nothing of it has been sent. */
export interface Decision {
  readonly model: ModelId | null;
  readonly faults: Faults;
  readonly status: number;
  /** What the whole answer costs; zeros for an error. */
  readonly tokens: TokenCount;
  readonly units: UnitCount;
  readonly payload: Payload;
}
