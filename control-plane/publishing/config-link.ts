import { once } from 'node:events';
import { setInterval } from 'node:timers';
import express, { type Request, type Response, type Router } from 'express';
import type pg from 'pg';
import type { Logger } from 'pino';
import { configAckSchema, type ConfigHeader, type ConfigPosition } from '@pingtoken/shared/config-snapshot';
import { readSigningKey, seal } from '@pingtoken/shared/crypto';
import type { SpoolConfirmation } from '@pingtoken/shared/lease';
import { CONFIG_LINK, parseJson } from '@pingtoken/shared/wire';
import { openContentKey } from '../providers/providers.js';
import { createConfigDocument } from './config-document.js';
import type { ConfigHead, ConfigLog } from './config-log.js';
import { identifyDataPlane, type KnownDataPlane } from './data-plane-identity.js';
import type { Notifications } from './notifications.js';

/**
 * The control plane's end of the config link. It holds no state of its own: what a data plane has is told by the data plane,
 * what there is to have stands in PostgreSQL, so that any replica serves any data plane and a restart is not noticed.
 */
export interface ConfigLink {
  readonly router: Router;
  /** Ends every standing link; the data planes dial again, elsewhere. */
  close(): void;
}

interface ConfigLinkOptions {
  /** Through the worker login. */
  readonly pool: pg.Pool;
  readonly log: ConfigLog;
  readonly notifications: Notifications;
  readonly signingKey: string;
  readonly contentKeySecret: string;
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

const KEEP_ALIVE_MS = 10_000;
/** The net under NOTIFY: what a lost notification can delay a change by. */
const POLL_MS = 2_000;
const CONFIRMATIONS_WINDOW = '7 days';

export function createConfigLink(options: ConfigLinkOptions): ConfigLink {
  const { pool, log, notifications, logger } = options;
  const signingKey = readSigningKey(options.signingKey);
  const links = new Set<Link>();

  const wake = (link: Link): void => {
    link.sending = link.sending
      .then(() => sendChanges(link))
      .catch((error: unknown) => {
        logger.warn({ dataPlaneId: link.dataPlane.id, error: String(error) }, 'a config link was cut');
        link.response.destroy();
      });
  };

  const sendChanges = async (link: Link): Promise<void> => {
    if (link.sent === null || link.response.destroyed) return;
    const changes = await log.changesSince(link.sent);
    if (changes === null) {
      // Its state is not of this history: it must begin anew, and dials again when it has.
      link.sent = null;
      writeEvent(link.response, 'resync', []);
      return;
    }
    if (changes.lines.length === 0) return;
    const header = await makeHeader(options, link.dataPlane, link.sent, changes.target);
    const document = createConfigDocument(header, signingKey);
    const text =
      document.head + changes.lines.map((line) => document.line(line)).join('') + document.end(changes.target.chain);
    const { epoch, seq } = changes.target;
    await writeEvent(link.response, 'delta', text.trimEnd().split('\n'), `${epoch}.${seq}`);
    link.sent = changes.target;
  };

  const openStream = async (request: Request, response: Response, dataPlane: KnownDataPlane): Promise<void> => {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.flushHeaders();
    const link: Link = { dataPlane, response, sent: readState(request), sending: Promise.resolve() };
    links.add(link);
    response.on('close', () => links.delete(link));
    if (link.sent === null) await writeEvent(response, 'resync', []);
    else wake(link);
    await touch(pool, dataPlane.id);
    for (const confirmation of await readConfirmations(pool, dataPlane.id)) {
      await writeEvent(response, 'spool-confirmed', [JSON.stringify(confirmation)]);
    }
  };

  const sendSnapshot = async (response: Response, dataPlane: KnownDataPlane): Promise<void> => {
    await log.snapshot(async (head, batches) => {
      const document = createConfigDocument(await makeHeader(options, dataPlane, null, head), signingKey);
      response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
      await write(response, document.head);
      for await (const lines of batches) await write(response, lines.map((line) => document.line(line)).join(''));
      response.end(document.end(head.chain));
    });
  };

  const confirm = (payload: string): void => {
    const { dataPlaneId, ...confirmation } = parseJson(payload) as SpoolConfirmation & { dataPlaneId: string };
    for (const link of links) {
      if (link.dataPlane.id === dataPlaneId)
        void writeEvent(link.response, 'spool-confirmed', [JSON.stringify(confirmation)]);
    }
  };

  const wakeAll = (): void => {
    for (const link of links) wake(link);
  };
  const dropRevoked = async (): Promise<void> => {
    if (links.size === 0) return;
    const { rows } = await pool.query<{ id: string }>(`select id from data_plane where status = 'revoked'`);
    const revoked = new Set(rows.map(({ id }) => id));
    for (const link of links) if (revoked.has(link.dataPlane.id)) link.response.destroy();
  };
  notifications.on('config', wakeAll);
  notifications.on('spool-confirmed', confirm);
  notifications.onReconnect(wakeAll);
  const timers = [
    setInterval(() => {
      wakeAll();
      dropRevoked().catch((error: unknown) => {
        logger.warn({ error: String(error) }, 'cannot look for revoked data planes');
      });
    }, POLL_MS),
    setInterval(() => {
      for (const { response } of links) response.write(': keep-alive\n\n');
    }, KEEP_ALIVE_MS),
  ];

  const router = express.Router();
  router.get(CONFIG_LINK.stream, asDataPlane(pool, openStream));
  router.get(
    CONFIG_LINK.snapshot,
    asDataPlane(pool, (_request, response, dataPlane) => sendSnapshot(response, dataPlane)),
  );
  router.post(
    CONFIG_LINK.ack,
    express.json({ limit: '16kb' }),
    asDataPlane(pool, (request, response, dataPlane) => recordAck(pool, request, response, dataPlane)),
  );
  return {
    router,
    close() {
      for (const timer of timers) clearInterval(timer);
      for (const { response } of links) response.end();
    },
  };
}

type Handler = (request: Request, response: Response, dataPlane: KnownDataPlane) => Promise<void>;

function asDataPlane(pool: pg.Pool, handle: Handler) {
  return async (request: Request, response: Response): Promise<void> => {
    const dataPlane = await identifyDataPlane(pool, request.headers.authorization);
    if (dataPlane === null) {
      response.status(401).json({ error: { code: 'unauthenticated', message: 'Not an enrolled data plane.' } });
      return;
    }
    await handle(request, response, dataPlane);
  };
}

async function makeHeader(
  { pool, contentKeySecret }: ConfigLinkOptions,
  dataPlane: KnownDataPlane,
  base: ConfigHead | null,
  { epoch, seq }: ConfigPosition,
): Promise<ConfigHeader> {
  const { rows } = await pool.query<{ id: string; sealed_key: Buffer }>(
    'select id, sealed_key from content_key order by id',
  );
  const publicKey = Buffer.from(dataPlane.sealingKey, 'base64url');
  return {
    kind: 'header',
    format: 'pingtoken-config',
    version: 1,
    dataPlaneId: dataPlane.id,
    base,
    target: { epoch, seq },
    issuedAt: Date.now(),
    contentKeys: rows.map((row) => {
      const key = openContentKey(contentKeySecret, { id: row.id, sealedKey: row.sealed_key });
      return { id: row.id, sealed: seal(publicKey, key).toString('base64url') };
    }),
  };
}

/** `Last-Event-ID: <epoch>.<seq>` and `x-config-chain`: where the data plane stands; null when it has nothing yet. */
function readState(request: Request): ConfigHead | null {
  const match = /^(\d{1,15})\.(\d{1,15})$/.exec(request.get('last-event-id') ?? '');
  const chain = request.get('x-config-chain');
  if (match === null || chain === undefined) return null;
  return { epoch: Number(match[1]), seq: Number(match[2]), chain };
}

async function recordAck(pool: pg.Pool, request: Request, response: Response, { id }: KnownDataPlane): Promise<void> {
  const parsed = configAckSchema.safeParse(request.body);
  if (!parsed.success) {
    response.status(400).json({ error: { code: 'invalid_request', message: 'Not an acknowledgement.' } });
    return;
  }
  const ack = parsed.data;
  if (ack.status === 'applied') {
    await pool.query(
      'update data_plane set acked_epoch = $2, acked_seq = $3, last_refusal = null, last_contact_at = now() where id = $1',
      [id, ack.position.epoch, ack.position.seq],
    );
  } else {
    await pool.query('update data_plane set last_refusal = $2, last_contact_at = now() where id = $1', [id, ack]);
  }
  response.status(204).end();
}

async function touch(pool: pg.Pool, id: string): Promise<void> {
  await pool.query('update data_plane set last_contact_at = now() where id = $1', [id]);
}

async function readConfirmations(pool: pg.Pool, dataPlaneId: string): Promise<SpoolConfirmation[]> {
  const { rows } = await pool.query<{ id: string; confirmed: string }>(
    `select id, confirmed from usage_spool where data_plane_id = $1 and last_seen_at > now() - $2::interval`,
    [dataPlaneId, CONFIRMATIONS_WINDOW],
  );
  return rows.map(({ id, confirmed }) => ({ spoolId: id, confirmedSeq: Number(confirmed) }));
}

function writeEvent(response: Response, event: string, data: readonly string[], id?: string): Promise<void> {
  const lines = data.length === 0 ? 'data:\n' : data.map((line) => `data: ${line}\n`).join('');
  return write(response, `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}${lines}\n`);
}

/** Waits while the reader is slow; a reader that has left ends the writing. */
async function write(response: Response, text: string): Promise<void> {
  if (response.destroyed) return;
  if (!response.write(text)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
}
