import { setTimeout as delay } from 'node:timers/promises';
import { spoolConfirmationSchema, type SpoolConfirmation } from '@pingtoken/shared/lease';
import { parseJson } from '@pingtoken/shared/wire';
import type { EventSourceMessage } from 'eventsource-parser';
import type { Logger } from 'pino';
import { createAckSender, type AckSender } from './ack-sender.js';
import type { ConfigFiles } from './config-files.js';
import type { ConfigKeeper, Taken } from './config-keeper.js';
import type { ControlPlaneClient } from './control-plane-client.js';
import { EventTooLargeError, readEventStream } from './event-stream.js';
import { backoffMs, createSnapshotSchedule, type Backoff, type SnapshotSchedule } from './snapshot-schedule.js';

export interface ConfigLinkOptions {
  readonly client: ControlPlaneClient;
  readonly keeper: ConfigKeeper;
  readonly files: ConfigFiles;
  /** When the control plane was last heard of before this process started. */
  readonly lastContactAt: number | undefined;
  readonly onConfirmation: (confirmation: SpoolConfirmation) => void;
  readonly logger: Logger;
  readonly timing?: Partial<LinkTiming>;
}

export interface LinkTiming {
  /** A link that was silent for so long is dropped: the control plane sends a comment every 10 s. */
  readonly silenceMs: number;
  readonly redial: Backoff;
  /** Between attempts to get a snapshot that helps: one that is broken for good must not be fetched in a loop. */
  readonly snapshot: Backoff;
  readonly noteContactEveryMs: number;
  /** A fresh snapshot to shorten the log has time; data planes should not all ask at once. */
  readonly compactionSpreadMs: number;
}

const TIMING: LinkTiming = {
  silenceMs: 30_000,
  redial: { minMs: 100, maxMs: 5_000 },
  snapshot: { minMs: 500, maxMs: 60_000 },
  noteContactEveryMs: 60_000,
  compactionSpreadMs: 60_000,
};

/** Dials the control plane and keeps dialling for as long as the process lives. */
export class ConfigLink {
  readonly #options: ConfigLinkOptions;
  readonly #timing: LinkTiming;
  readonly #closing = new AbortController();
  readonly #acks: AckSender;
  readonly #snapshot: SnapshotSchedule;
  #running: Promise<void> = Promise.resolve();
  #connected = false;
  #lastContactAt: number | undefined;
  #contactNotedAt = 0;
  #dialFailures = 0;

  constructor(options: ConfigLinkOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#lastContactAt = options.lastContactAt;
    this.#acks = createAckSender({ ...options, signal: this.#closing.signal });
    this.#snapshot = createSnapshotSchedule(this.#timing);
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Milliseconds since 1970; undefined for never. */
  get lastContactAt(): number | undefined {
    return this.#lastContactAt;
  }

  /** Returns at once; the link goes on behind. */
  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    await this.#options.client.close();
    if (this.#lastContactAt !== undefined) await this.#noteContact(this.#lastContactAt);
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    if (this.#options.keeper.state === undefined) this.#snapshot.request('fault');
    while (!signal.aborted) {
      // After a snapshot the stream is dialled anew: the deltas of the old one start from states that we have left.
      if (this.#snapshot.isDue()) await this.#fetchSnapshot();
      this.#dialFailures += 1;
      await this.#followStream().catch((error: unknown) => {
        if (error instanceof EventTooLargeError) this.#snapshot.request('fault');
        if (!signal.aborted && !this.#snapshot.isDue()) {
          this.#options.logger.warn({ reason: String(error) }, 'config link down');
        }
      });
      const pauseMs = this.#snapshot.isDue() ? 0 : backoffMs(this.#timing.redial, this.#dialFailures - 1);
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #fetchSnapshot(): Promise<void> {
    const { client, files, keeper, logger } = this.#options;
    try {
      await client.downloadSnapshot(files.incomingPath, this.#closing.signal);
    } catch (error) {
      this.#snapshot.failed('transport');
      if (!this.#closing.signal.aborted) logger.warn({ reason: String(error) }, 'no config snapshot; trying again');
      return;
    }
    this.#heard();
    const taken = await keeper.takeSnapshot();
    if (taken.needsSnapshot === undefined) this.#snapshot.succeeded();
    else this.#snapshot.failed('content');
    this.#acks.send(taken.acks);
  }

  /** Resolves, or throws, when the stream has ended, was silent for too long, or a snapshot is due. */
  async #followStream(): Promise<void> {
    const { client, keeper, logger } = this.#options;
    const dropped = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, dropped.signal]);
    let aliveAt = Date.now();
    const watch = setInterval(
      () => {
        if (Date.now() - aliveAt > this.#timing.silenceMs) dropped.abort(new Error('the link was silent for too long'));
        else if (this.#snapshot.isDue()) dropped.abort();
      },
      Math.min(1_000, this.#timing.silenceMs / 4),
    );
    try {
      const body = await client.openStream(keeper.state?.standpoint, signal);
      this.#connected = true;
      logger.info({ position: keeper.state?.standpoint?.position }, 'config link up');
      this.#heard();
      // Acknowledgements may have been lost with the last link, or with the last process.
      this.#acks.send(keeper.standing());
      await readEventStream({
        body,
        onSignOfLife: () => {
          aliveAt = Date.now();
          this.#dialFailures = 0;
          this.#heard();
        },
        onEvent: async (event) => {
          await this.#handle(event);
          aliveAt = Date.now();
          if (this.#snapshot.isDue()) dropped.abort();
        },
      });
      logger.info('config link ended');
    } finally {
      this.#connected = false;
      clearInterval(watch);
    }
  }

  async #handle(event: EventSourceMessage): Promise<void> {
    if (event.event === 'delta') this.#note(await this.#options.keeper.takeDelta(Buffer.from(event.data)));
    else if (event.event === 'resync') this.#snapshot.request('fault');
    else if (event.event === 'spool-confirmed') this.#confirm(event.data);
  }

  #note({ acks, needsSnapshot }: Taken): void {
    this.#acks.send(acks);
    if (needsSnapshot !== undefined) this.#snapshot.request(needsSnapshot);
  }

  #confirm(data: string): void {
    try {
      this.#options.onConfirmation(spoolConfirmationSchema.parse(parseJson(data)));
    } catch (error) {
      this.#options.logger.error({ reason: String(error) }, 'spool confirmation not understood');
    }
  }

  #heard(): void {
    this.#lastContactAt = Date.now();
    if (this.#lastContactAt - this.#contactNotedAt < this.#timing.noteContactEveryMs) return;
    this.#contactNotedAt = this.#lastContactAt;
    void this.#noteContact(this.#lastContactAt);
  }

  async #noteContact(atMs: number): Promise<void> {
    try {
      await this.#options.files.noteContact(atMs);
    } catch (error) {
      this.#options.logger.warn({ reason: String(error) }, 'contact not noted');
    }
  }
}
