import type { KeyObject } from 'node:crypto';
import express, { type Request, type Router } from 'express';
import type pg from 'pg';
import type { Logger } from 'pino';
import { z } from 'zod';
import { configAckSchema, type ConfigHeader, type ConfigPosition } from '@pingtoken/shared/config-snapshot';
import { readSigningKey, seal } from '@pingtoken/shared/crypto';
import { spoolConfirmationSchema, type SpoolConfirmation } from '@pingtoken/shared/lease';
import { CONFIG_LINK, parseJson } from '@pingtoken/shared/wire';
import { openContentKey } from '../providers/providers.js';
import { asDataPlane, type DataPlaneHandler } from './as-data-plane.js';
import { createConfigDocument } from './config-document.js';
import type { ConfigHead, ConfigLog } from './config-log.js';
import type { KnownDataPlane } from './data-plane-identity.js';
import type { Notifications } from './notifications.js';
import { createStandingLinks, write, type StandingLinks } from './standing-links.js';

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

const KEEP_ALIVE_MS = 10_000;
/** The net under NOTIFY: what a lost notification can delay a change by. */
const POLL_MS = 2_000;
const CONFIRMATIONS_WINDOW = '7 days';

/** What a worker notifies when it has committed a batch. */
const confirmationSchema = spoolConfirmationSchema.extend({ dataPlaneId: z.uuid() });

export function createConfigLink(options: ConfigLinkOptions): ConfigLink {
  const { pool, log, notifications, logger, contentKeySecret } = options;
  const signingKey = readSigningKey(options.signingKey);
  const makeHeader = createHeaderMaker(pool, contentKeySecret);
  const links = createStandingLinks({ log, signingKey, makeHeader, logger });

  notifications.on('config', links.wakeAll);
  notifications.onReconnect(links.wakeAll);
  notifications.on('spool-confirmed', (payload) => {
    const { dataPlaneId, ...confirmation } = confirmationSchema.parse(parseJson(payload));
    links.confirm(dataPlaneId, confirmation);
  });
  const warn = (error: unknown): void => {
    logger.warn({ error: String(error) }, 'cannot look after the config links');
  };
  const timers = [
    setInterval(links.keepAlive, KEEP_ALIVE_MS),
    setInterval(() => {
      links.wakeAll();
      if (links.size > 0) findRevoked(pool).then(links.cut, warn);
    }, POLL_MS),
  ];

  const router = express.Router();
  router.get(CONFIG_LINK.stream, asDataPlane(pool, openStream(pool, links)));
  router.get(CONFIG_LINK.snapshot, asDataPlane(pool, sendSnapshot(log, signingKey, makeHeader)));
  router.post(CONFIG_LINK.ack, express.json({ limit: '16kb' }), asDataPlane(pool, recordAck(pool)));
  return {
    router,
    close() {
      for (const timer of timers) clearInterval(timer);
      links.closeAll();
    },
  };
}

function openStream(pool: pg.Pool, links: StandingLinks): DataPlaneHandler {
  return async (request, response, dataPlane) => {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.flushHeaders();
    links.open(dataPlane, response, readState(request));
    await pool.query('update data_plane set last_contact_at = now() where id = $1', [dataPlane.id]);
    for (const confirmation of await readConfirmations(pool, dataPlane.id)) links.confirm(dataPlane.id, confirmation);
  };
}

function sendSnapshot(log: ConfigLog, signingKey: KeyObject, makeHeader: HeaderMaker): DataPlaneHandler {
  return (_request, response, dataPlane) =>
    log.snapshot(async (head, batches) => {
      const document = createConfigDocument(await makeHeader(dataPlane, null, head), signingKey);
      response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
      await write(response, document.head);
      for await (const lines of batches) await write(response, lines.map((line) => document.line(line)).join(''));
      response.end(document.end(head.chain));
    });
}

type HeaderMaker = (
  dataPlane: KnownDataPlane,
  base: ConfigHead | null,
  target: ConfigPosition,
) => Promise<ConfigHeader>;

/** Credentials are encrypted once for all; only their keys are sealed to each data plane. */
function createHeaderMaker(pool: pg.Pool, contentKeySecret: string): HeaderMaker {
  return async (dataPlane, base, { epoch, seq }) => {
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
  };
}

/** `Last-Event-ID: <epoch>.<seq>` and `x-config-chain`: where the data plane stands; null when it has nothing yet. */
function readState(request: Request): ConfigHead | null {
  const match = /^(\d{1,15})\.(\d{1,15})$/.exec(request.get('last-event-id') ?? '');
  const chain = request.get('x-config-chain');
  if (match === null || chain === undefined) return null;
  return { epoch: Number(match[1]), seq: Number(match[2]), chain };
}

function recordAck(pool: pg.Pool): DataPlaneHandler {
  return async (request, response, { id }) => {
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
  };
}

async function findRevoked(pool: pg.Pool): Promise<ReadonlySet<string>> {
  const { rows } = await pool.query<{ id: string }>(`select id from data_plane where status = 'revoked'`);
  return new Set(rows.map(({ id }) => id));
}

async function readConfirmations(pool: pg.Pool, dataPlaneId: string): Promise<SpoolConfirmation[]> {
  const { rows } = await pool.query<{ id: string; confirmed: string }>(
    `select id, confirmed from usage_spool where data_plane_id = $1 and last_seen_at > now() - $2::interval`,
    [dataPlaneId, CONFIRMATIONS_WINDOW],
  );
  return rows.map(({ id, confirmed }) => ({ spoolId: id, confirmedSeq: Number(confirmed) }));
}
