import type { ConfigPosition } from '@pingtoken/shared/config-snapshot';
import type { Logger } from 'pino';
import type { Identity } from './identity.js';
import type { ClientSealers } from './meter/seal-client.js';
import type { Spool } from './meter/spool.js';
import type { Snapshot } from './snapshot.js';

/** How far the config link can be trusted right now. */
export interface LinkStatus {
  readonly connected: boolean;
  /** Milliseconds since 1970 when the control plane was last heard of, also across restarts; undefined for never. */
  readonly lastContactAt: number | undefined;
  /** State in force; undefined until a verified document is loaded. */
  readonly position: ConfigPosition | undefined;
}

/** Config in, usage out: all that a data plane process knows and must not forget. */
export interface State {
  readonly snapshot: Snapshot;
  readonly spool: Spool;
  readonly clientSealers: ClientSealers;
  linkStatus(): LinkStatus;
  /** Resolves when the last good config of the disk, if any, is in force; link, recovery and queue go on behind. */
  start(): Promise<void>;
  close(): Promise<void>;
}

export interface StateOptions {
  /** `DATA_PLANE_HOME`, owned by this process alone (see `StateLock`). */
  readonly home: string;
  readonly controlPlaneUrl: string;
  /** `redis://…` or `postgres://…`. */
  readonly queueUrl: string;
  /** Ed25519, SPKI, base64url: signs config documents. */
  readonly verifyKey: string;
  readonly logger: Logger;
  readonly identity: Identity;
}

export function openState(options: StateOptions): State {
  throw new Error(`not built yet: ${options.home}`);
}
