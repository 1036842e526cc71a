import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ConfigPosition } from '@pingtoken/shared/config-snapshot';
import { readVerifyKey } from '@pingtoken/shared/crypto';
import type { Logger } from 'pino';
import { openConfigFiles } from './config-link/config-files.js';
import { ConfigKeeper } from './config-link/config-keeper.js';
import { createControlPlaneClient } from './config-link/control-plane-client.js';
import { createHealthReporter, type HealthReporter } from './config-link/health-reporter.js';
import { ConfigLink, type LinkTiming } from './config-link/link.js';
import type { Identity } from './identity.js';
import { LeaseKeeper, type LeaseClient, type LeaseKeeperOptions } from './leases/lease-keeper.js';
import { ShareKeeper, type ShareKeeperOptions } from './limits/share-keeper.js';
import { SpoolFencer } from './leases/spool-fencer.js';
import { Enqueuer } from './meter/enqueue.js';
import { recoverSpools } from './meter/recover-spools.js';
import { createLedgerWait } from './meter/ledger-wait.js';
import { createClientSealers, type ClientSealers } from './meter/seal-client.js';
import type { SpoolStore } from './meter/spool-store.js';
import { createSpool, type Spool } from './meter/spool.js';
import { connectUsageQueue } from './meter/usage-queue.js';
import { openBatchStore, type BatchStore } from './resources/batch-store.js';
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
  /** Those that are still to be billed. */
  readonly batches: BatchStore;
  readonly clientSealers: ClientSealers;
  /** What this process may spend. */
  readonly leases: Pick<LeaseKeeper, 'reserve' | 'settle'>;
  /** Where to tell of the providers' health. */
  readonly healthReporter: Pick<HealthReporter, 'watch' | 'changed'>;
  /** For what is spent when this process may be gone. */
  readonly allocator: LeaseClient;
  /**
   * Resolves when the ledger has all that was written to the spool so far.
   * @throws the signal's reason
   */
  readonly inLedger: (signal: AbortSignal) => Promise<void>;
  /** What it may let through of limits that it keeps with others. */
  readonly shares: ShareKeeper;
  linkStatus(): LinkStatus;
  /** Resolves when the last good config of the disk, if any, is in force; link, recovery and queue go on behind. */
  start(): Promise<void>;
  /** Records that the queue does not take in time stay in the spool, for the next process. */
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
  readonly linkTiming?: Partial<LinkTiming>;
  /** What a call waits for the allocator at most; see `LeaseKeeper`. */
  readonly leaseTimeoutMs?: number;
}

/** About 500 bytes each. */
const MAX_PEOPLE_SEALED_FOR = 20_000;

/** @throws Error when the spool's folder cannot be made or the verify key is none: such a data plane must not start */
export function openState(options: StateOptions): State {
  const { home, identity, logger } = options;
  const verifyKey = readVerifyKey(options.verifyKey);
  const root = join(home, 'spool');
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const { spool, store, writtenSeq } = createSpool({ root, logger });
  const client = createControlPlaneClient({ controlPlaneUrl: options.controlPlaneUrl, identity });
  const leases = createLeases(options, { client, spoolId: spool.spoolId, writtenSeq });
  const shares = createShares(options, { client, spoolId: spool.spoolId, leases });
  const fencer = new SpoolFencer({ client, logger });
  const healthReporter = createHealthReporter({ client, runId: spool.spoolId, logger });
  const enqueuer = new Enqueuer({
    dataPlaneId: identity.id,
    connect: () => connectUsageQueue({ queueUrl: options.queueUrl, logger }),
    logger,
  });
  enqueuer.addSpool(store);
  let keeper: ConfigKeeper | undefined;
  let link: ConfigLink | undefined;
  const recovery = createRecovery({ root, ownSpoolId: spool.spoolId, enqueuer, fencer, logger });

  async function loadConfig(): Promise<void> {
    const config = { verifyKey, dataPlaneId: identity.id, sealing: identity.sealing };
    const files = await openConfigFiles({ ...config, folder: join(home, 'config') });
    keeper = new ConfigKeeper({ ...config, files, logger });
    await keeper.loadFromDisk();
    link = new ConfigLink({
      client,
      keeper,
      files,
      lastContactAt: latest(await files.lastContactAt(), keeper.state?.issuedAt),
      onConfirmation: (confirmation) => {
        enqueuer.confirm(confirmation);
      },
      logger,
      ...(options.linkTiming === undefined ? {} : { timing: options.linkTiming }),
    });
  }

  async function closeLeases(): Promise<void> {
    leases.close();
    await shares.close();
    await spool.close();
    const lastSeq = writtenSeq();
    // What could not be written has its start on disk: the next process knows the end of this spool, not we.
    if (lastSeq !== undefined && link?.connected === true) await fencer.tryFence(spool.spoolId, lastSeq);
    fencer.close();
  }

  return {
    snapshot: snapshotOf(() => keeper?.state),
    spool,
    batches: openBatchStore({ folder: join(home, 'batches'), logger }),
    clientSealers: createClientSealers({ maxPeople: MAX_PEOPLE_SEALED_FOR }),
    leases,
    healthReporter,
    allocator: client,
    inLedger: createLedgerWait({ store, writtenSeq }),
    shares,
    linkStatus: () => ({
      connected: link?.connected ?? false,
      lastContactAt: link?.lastContactAt,
      position: keeper?.state?.standpoint?.position,
    }),
    start: async () => {
      await loadConfig();
      link?.start();
      leases.start();
      shares.start();
      enqueuer.start();
      recovery.start();
    },
    close: async () => {
      await recovery.started();
      await closeLeases();
      await healthReporter.close();
      await link?.close();
      await enqueuer.close();
      await recovery.close();
    },
  };
}

/** What is in force at the moment that it is asked. */
function snapshotOf(present: () => ConfigKeeper['state']): Snapshot {
  return {
    get catalogue() {
      return present()?.catalogue;
    },
    findAccount: (keyHash) => present()?.findAccount(keyHash),
  };
}

interface Recovery {
  start(): void;
  /** Resolves when all that was left has been read. */
  started(): Promise<void>;
  /** What is not settled by then is for the next process. */
  close(): Promise<void>;
}

/** Brings what dead processes left into the queue, gives their leases back, and removes their spools when both are done. */
function createRecovery({
  root,
  ownSpoolId,
  enqueuer,
  fencer,
  logger,
}: {
  readonly root: string;
  readonly ownSpoolId: string;
  readonly enqueuer: Enqueuer;
  readonly fencer: SpoolFencer;
  readonly logger: Logger;
}): Recovery {
  const recovered = new Set<SpoolStore>();
  let reading: Promise<void> = Promise.resolve();
  const takeUp = (found: SpoolStore): void => {
    recovered.add(found);
    const fenced = fencer.fence(found.spoolId, found.lastSeq);
    const remove = async (): Promise<void> => {
      // Without the folder nobody would know of leases that were never fenced.
      if (!(await fenced)) return;
      recovered.delete(found);
      await removeSpool(found, logger);
    };
    if (found.isDone) void remove();
    else enqueuer.addSpool(found, () => void remove());
  };
  return {
    start: () => {
      const found = { onRecovered: takeUp, onSettled: takeUp };
      reading = recoverSpools({ root, ownSpoolId, ...found, logger }).catch((error: unknown) => {
        logger.error({ reason: String(error) }, 'usage spools could not be recovered');
      });
    },
    started: () => reading,
    close: async () => {
      for (const found of recovered) await found.close();
    },
  };
}

function createLeases(
  { leaseTimeoutMs, logger }: StateOptions,
  own: Pick<LeaseKeeperOptions, 'client' | 'spoolId' | 'writtenSeq'>,
): LeaseKeeper {
  return new LeaseKeeper({ ...own, logger, ...(leaseTimeoutMs !== undefined && { timeoutMs: leaseTimeoutMs }) });
}

function createShares(
  { leaseTimeoutMs, logger }: StateOptions,
  { leases, ...own }: Pick<ShareKeeperOptions, 'client' | 'spoolId'> & { readonly leases: LeaseKeeper },
): ShareKeeper {
  return new ShareKeeper({
    ...own,
    logger,
    ...(leaseTimeoutMs !== undefined && { timeoutMs: leaseTimeoutMs }),
    onRecalledLeases: (leaseIds) => {
      leases.recall(leaseIds);
    },
  });
}

async function removeSpool(store: SpoolStore, logger: Logger): Promise<void> {
  try {
    await store.remove();
  } catch (error) {
    logger.warn({ spoolId: store.spoolId, reason: String(error) }, 'a settled spool could not be removed');
  }
}

function latest(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.max(one, other);
}
