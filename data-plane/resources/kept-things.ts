import type { Logger } from 'pino';
import type { WithBody } from '../authenticate.js';
import type { AddressRange } from '../environment.js';
import type { Forwarder } from '../forward/forward.js';
import type { UpstreamTimeouts } from '../forward/json-call.js';
import type { Prepared } from '../forward/prepared-call.js';
import { createUpstreamAddresses } from '../forward/upstream-address.js';
import { refuse, type Refusal } from '../http-error.js';
import type { Meter } from '../meter/meter.js';
import type { Spool } from '../meter/spool.js';
import type { LeaseClient } from '../leases/lease-keeper.js';
import type { Snapshot } from '../snapshot.js';
import { createInBackground } from './background.js';
import { createBatchBilling } from './batch-billing.js';
import { createJobMoney } from './job-money.js';
import type { BatchStore } from './batch-store.js';
import { cancelBatch, createBatch, listBatches, showOneBatch } from './batches.js';
import { createExchanger } from './exchange.js';
import { deleteFile, downloadFile, listFiles, showOneFile, uploadFile } from './files.js';
import type { KeptAnswer, KeptCall, KeptTools } from './kept-call.js';
import type { KeptAction, KeptEndpoint } from './kept-endpoint.js';
import { cancelResponse, deleteResponse, listInputItems, showResponse } from './responses.js';
import { idSealerOf } from './sealed-id.js';
import { addPart, cancelUpload, completeUpload, createUpload } from './uploads.js';

const ACTIONS: Readonly<Record<KeptAction, (call: KeptCall, tools: KeptTools) => KeptAnswer>> = {
  'upload-file': uploadFile,
  'list-files': listFiles,
  'show-file': showOneFile,
  'delete-file': deleteFile,
  'download-file': downloadFile,
  'create-upload': createUpload,
  'add-part': addPart,
  'complete-upload': completeUpload,
  'cancel-upload': cancelUpload,
  'create-batch': createBatch,
  'list-batches': listBatches,
  'show-batch': showOneBatch,
  'cancel-batch': cancelBatch,
  'show-response': showResponse,
  'delete-response': deleteResponse,
  'cancel-response': cancelResponse,
  'list-input-items': listInputItems,
};

export interface KeptThings {
  /** Serves a call about what providers keep. @returns why it was refused */
  serve(known: WithBody, endpoint: KeptEndpoint): Promise<Refusal | undefined>;
  /** Makes a response in the background; see `isInBackground`. @returns why it was refused */
  createInBackground(prepared: Prepared): Promise<Refusal | undefined>;
  close(): Promise<void>;
}

export interface KeptThingsOptions {
  readonly batches: BatchStore;
  /** Left out where nothing is to be refused for want of money. */
  readonly allocator?: LeaseClient | undefined;
  /** Resolves when the ledger has all that was written to the spool so far. */
  readonly inLedger?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly spool: Spool;
  readonly snapshot: Snapshot;
  readonly meter: Meter;
  readonly forwarder: Forwarder;
  readonly timeouts: UpstreamTimeouts;
  readonly privateUpstreams: readonly AddressRange[];
  readonly pollIntervalMs: number;
  readonly logger: Logger;
}

/** Files, uploads, batches and stored responses; takes up the batches that earlier processes left to be billed. */
export function createKeptThings(options: KeptThingsOptions): KeptThings {
  const { timeouts, privateUpstreams, batches, allocator, ...shared } = options;
  const exchanger = createExchanger({ timeouts, addresses: createUpstreamAddresses({ privateUpstreams }) });
  const billing = createBatchBilling({
    ...shared,
    store: batches,
    exchanger,
    money: allocator === undefined ? undefined : createJobMoney({ client: allocator, logger: options.logger }),
  });
  billing.start();
  const { meter, forwarder, logger } = options;
  const open = new Set<Promise<unknown>>();
  const tools: KeptTools = { meter, forwarder, logger, exchanger, billing };
  const track = <T>(work: Promise<T>): Promise<T> => {
    open.add(work);
    return work.finally(() => open.delete(work));
  };
  return {
    createInBackground: (prepared) => track(createInBackground(prepared, tools)),
    serve: async (known, endpoint) => {
      const sealer = idSealerOf(known.account.tenant);
      // Without a key of the tenant there is nothing by which its things could be told apart.
      if (sealer === undefined) return refuse('not_found', null, NOT_OFFERED);
      return track(ACTIONS[endpoint.action]({ known, endpoint, sealer, nowMs: Date.now() }, tools));
    },
    close: async () => {
      await billing.close();
      await exchanger.close();
      // Each is settled before the spool is closed.
      await Promise.allSettled(open);
    },
  };
}

const NOT_OFFERED = 'Files, batches and stored responses are not offered yet.';
