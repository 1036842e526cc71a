import type { UsageEvent } from '@pingtoken/shared/usage-event';

/** What an interrupted call is made from: everything known at admission. */
export type StartRecord = Pick<
  UsageEvent,
  | 'eventId'
  | 'tenantId'
  | 'apiKeyId'
  | 'memberId'
  | 'config'
  | 'operation'
  | 'model'
  | 'streamed'
  | 'admittedAt'
  | 'attempts'
  | 'priceCardVersionId'
  | 'leaseIds'
  | 'client'
>;

/** How a call ended; the spool adds its own id, the sequence number and the kind. */
export type EndRecord = Omit<UsageEvent, 'version' | 'spoolId' | 'seq' | 'kind'>;

export interface Spool {
  /** UUIDv7, new at every process start. */
  readonly spoolId: string;
  /**
   * Written to the file when it returns: a kill -9 after that cannot take it.
   * @throws SpoolUnavailableError (disk full, I/O error): the call must not go out
   */
  start(record: StartRecord): void;
  /** Settles a started call; becomes a usage event with the next seq. Never throws: kept in memory and retried if the disk refuses. */
  end(record: EndRecord): void;
  close(): Promise<void>;
}

/** No record can be kept, so no call may be made. */
export class SpoolUnavailableError extends Error {
  constructor(cause: unknown) {
    super('the usage spool cannot be written', { cause });
    this.name = 'SpoolUnavailableError';
  }
}
