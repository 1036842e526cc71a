import { setTimeout as delay } from 'node:timers/promises';
import { spoolConfirmationSchema, type SpoolConfirmation } from '@pingtoken/shared/lease';
import { parseJson } from '@pingtoken/shared/wire';
import type { EventSourceMessage } from 'eventsource-parser';
import type { Logger } from 'pino';
import { createAckSender } from './ack-sender.js';
import type { ConfigFiles } from './config-files.js';
import type { ConfigKeeper, Taken } from './config-keeper.js';
import type { ControlPlaneClient } from './control-plane-client.js';
import { EventTooLargeError, readEventStream } from './event-stream.js';
import { backoffMs, createSnapshotSchedule, type Backoff } from './snapshot-schedule.js';

/** Dials the control plane and keeps dialling for as long as the process lives. */
export interface ConfigLink {
  readonly connected: boolean;
  readonly lastContactAt: number | undefined;
  /** Returns at once; the link goes on behind. */
  start(): void;
  close(): Promise<void>;
}

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

export function createConfigLink(options: ConfigLinkOptions): ConfigLink {
  const { client, keeper, files, logger } = options;
  const timing = { ...TIMING, ...options.timing };
  const closing = new AbortController();
  const acks = createAckSender({ client, signal: closing.signal, logger });
  let running: Promise<void> = Promise.resolve();
  let connected = false;
  let lastContactAt = options.lastContactAt;
  let contactNotedAt = 0;
  const snapshot = createSnapshotSchedule(timing);
  let dialFailures = 0;

  function heard(): void {
    lastContactAt = Date.now();
    if (lastContactAt - contactNotedAt < timing.noteContactEveryMs) return;
    contactNotedAt = lastContactAt;
    files.noteContact(lastContactAt).catch((error: unknown) => {
      logger.warn({ reason: String(error) }, 'contact not noted');
    });
  }

  function note({ acks: answers, needsSnapshot }: Taken): void {
    acks.send(answers);
    if (needsSnapshot !== undefined) snapshot.request(needsSnapshot);
  }

  async function fetchSnapshot(): Promise<void> {
    try {
      await client.downloadSnapshot(files.incomingPath, closing.signal);
    } catch (error) {
      snapshot.failed('transport');
      if (!closing.signal.aborted) logger.warn({ reason: String(error) }, 'no config snapshot; trying again');
      return;
    }
    heard();
    const taken = await keeper.takeSnapshot();
    if (taken.needsSnapshot === undefined) snapshot.succeeded();
    else snapshot.failed('content');
    acks.send(taken.acks);
  }

  async function handle(event: EventSourceMessage): Promise<void> {
    if (event.event === 'delta') note(await keeper.takeDelta(Buffer.from(event.data)));
    else if (event.event === 'resync') snapshot.request('fault');
    else if (event.event === 'spool-confirmed') confirm(event.data);
  }

  function confirm(data: string): void {
    try {
      options.onConfirmation(spoolConfirmationSchema.parse(parseJson(data)));
    } catch (error) {
      logger.error({ reason: String(error) }, 'spool confirmation not understood');
    }
  }

  /** Resolves when the stream has ended, was silent for too long, or a snapshot is due. */
  async function followStream(): Promise<void> {
    const dropped = new AbortController();
    const signal = AbortSignal.any([closing.signal, dropped.signal]);
    let sinceMs = Date.now();
    const watch = setInterval(
      () => {
        if (Date.now() - sinceMs > timing.silenceMs) dropped.abort(new Error('the link was silent for too long'));
        else if (snapshot.isDue()) dropped.abort();
      },
      Math.min(1_000, timing.silenceMs / 4),
    );
    try {
      const body = await client.openStream(keeper.state?.standpoint, signal);
      connected = true;
      logger.info({ position: keeper.state?.standpoint?.position }, 'config link up');
      heard();
      tellPosition();
      const onSignOfLife = (): void => {
        sinceMs = Date.now();
        dialFailures = 0;
        heard();
      };
      const onEvent = async (event: EventSourceMessage): Promise<void> => {
        await handle(event);
        sinceMs = Date.now();
        if (snapshot.isDue()) dropped.abort();
      };
      await readEventStream({ body, onSignOfLife, onEvent });
    } finally {
      connected = false;
      clearInterval(watch);
    }
  }

  /** Acknowledgements may have been lost with the last link, or with the last process. */
  function tellPosition(): void {
    const position = keeper.state?.standpoint?.position;
    if (position !== undefined) acks.send([{ status: 'applied', position }]);
    else acks.flush();
  }

  async function run(): Promise<void> {
    if (keeper.state === undefined) snapshot.request('fault');
    while (!closing.signal.aborted) {
      // After a snapshot the stream is dialled anew: the deltas of the old one start from states that we have left.
      if (snapshot.isDue()) await fetchSnapshot();
      dialFailures += 1;
      try {
        await followStream();
        logger.info('config link ended');
      } catch (error) {
        if (error instanceof EventTooLargeError) snapshot.request('fault');
        if (!closing.signal.aborted && !snapshot.isDue()) logger.warn({ reason: String(error) }, 'config link down');
      }
      const pauseMs = snapshot.isDue() ? 0 : backoffMs(timing.redial, dialFailures - 1);
      await delay(pauseMs, undefined, { signal: closing.signal }).catch(() => undefined);
    }
  }

  return {
    get connected() {
      return connected;
    },
    get lastContactAt() {
      return lastContactAt;
    },
    start: () => {
      running = run();
    },
    close: async () => {
      closing.abort();
      await running;
      await client.close();
      if (lastContactAt !== undefined) await files.noteContact(lastContactAt).catch(() => undefined);
    },
  };
}
