import { once } from 'node:events';
import type { Response } from 'express';
import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import type { ConfigHeader, ConfigPosition } from '@pingtoken/shared/config-snapshot';
import type { SpoolConfirmation } from '@pingtoken/shared/lease';
import { createConfigDocument } from './config-document.js';
import type { ConfigHead, ConfigLog } from './config-log.js';
import type { KnownDataPlane } from './data-plane-identity.js';

/** The SSE links that stand at this moment, and what is sent over them. */
export interface StandingLinks {
  /** @param state what the data plane said it has; null for nothing */
  open(dataPlane: KnownDataPlane, response: Response, state: ConfigHead | null): void;
  /** Sends each data plane what it does not have yet. */
  wakeAll(): void;
  confirm(dataPlaneId: string, confirmation: SpoolConfirmation): void;
  keepAlive(): void;
  cut(dataPlaneIds: ReadonlySet<string>): void;
  closeAll(): void;
  readonly size: number;
}

interface StandingLinksOptions {
  readonly log: ConfigLog;
  readonly signingKey: KeyObject;
  readonly makeHeader: (
    dataPlane: KnownDataPlane,
    base: ConfigHead | null,
    target: ConfigPosition,
  ) => Promise<ConfigHeader>;
  readonly logger: Logger;
}

/** A data plane that is connected, and the state it has been brought to. */
interface Link {
  readonly dataPlane: KnownDataPlane;
  readonly response: Response;
  sent: ConfigHead | null;
  /** One send at a time: a second would start from a state that the first is about to change. */
  sending: Promise<void>;
}

export function createStandingLinks({ log, signingKey, makeHeader, logger }: StandingLinksOptions): StandingLinks {
  const links = new Set<Link>();

  const sendChanges = async (link: Link): Promise<void> => {
    if (link.sent === null || link.response.destroyed) return;
    const changes = await log.changesSince(link.sent);
    if (changes === null) {
      // Its state is not of this history: it must begin anew, and dials again when it has.
      link.sent = null;
      await writeEvent(link.response, 'resync', []);
      return;
    }
    if (changes.lines.length === 0) return;
    const { target, lines } = changes;
    const document = createConfigDocument(await makeHeader(link.dataPlane, link.sent, target), signingKey);
    const text = document.head + lines.map((line) => document.line(line)).join('') + document.end(target.chain);
    await writeEvent(link.response, 'delta', text.trimEnd().split('\n'), `${target.epoch}.${target.seq}`);
    link.sent = target;
  };

  const enqueue = (link: Link, send: () => Promise<void>): void => {
    link.sending = link.sending.then(send).catch((error: unknown) => {
      logger.warn({ dataPlaneId: link.dataPlane.id, error: String(error) }, 'a config link was cut');
      link.response.destroy();
    });
  };
  const ofDataPlanes = (ids: ReadonlySet<string>): Link[] =>
    [...links].filter(({ dataPlane }) => ids.has(dataPlane.id));

  return {
    open(dataPlane, response, state) {
      const link: Link = { dataPlane, response, sent: state, sending: Promise.resolve() };
      links.add(link);
      response.on('close', () => links.delete(link));
      enqueue(link, () => (state === null ? writeEvent(response, 'resync', []) : sendChanges(link)));
    },
    wakeAll() {
      for (const link of links) enqueue(link, () => sendChanges(link));
    },
    confirm(dataPlaneId, confirmation) {
      for (const link of ofDataPlanes(new Set([dataPlaneId]))) {
        enqueue(link, () => writeEvent(link.response, 'spool-confirmed', [JSON.stringify(confirmation)]));
      }
    },
    keepAlive() {
      for (const { response } of links) response.write(': keep-alive\n\n');
    },
    cut(dataPlaneIds) {
      for (const { response } of ofDataPlanes(dataPlaneIds)) response.destroy();
    },
    closeAll() {
      for (const { response } of links) response.end();
    },
    get size() {
      return links.size;
    },
  };
}

function writeEvent(response: Response, event: string, data: readonly string[], id?: string): Promise<void> {
  const lines = data.length === 0 ? 'data:\n' : data.map((line) => `data: ${line}\n`).join('');
  return write(response, `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}${lines}\n`);
}

/** Waits while the reader is slow; a reader that has left ends the writing. */
export async function write(response: Response, text: string): Promise<void> {
  if (response.destroyed) return;
  if (!response.write(text)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
}
