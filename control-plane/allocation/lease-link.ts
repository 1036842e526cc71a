import express, { type Router } from 'express';
import type pg from 'pg';
import type { Logger } from 'pino';
import { LEASE_LINK, leaseFencesSchema, leaseRequestsSchema, type LeaseAnswer } from '@pingtoken/shared/lease';
import { SHARE_LINK, shareRequestSchema } from '@pingtoken/shared/rate-share';
import { asDataPlane, type DataPlaneHandler } from '../publishing/as-data-plane.js';
import { createAllocator, type Allocator } from './allocate.js';
import { closeSpool } from './close-leases.js';
import { fenceLeases } from './fence.js';
import { exchangeShares } from './share-limits.js';

export interface LeaseLinkOptions {
  /** Through the worker login. */
  readonly pool: pg.Pool;
  readonly logger: Logger;
  readonly leaseMs?: number;
}

/** The allocator's address: data planes ask for leases here, and fence them. It holds no state of its own. */
export function createLeaseLink({ pool, logger, leaseMs }: LeaseLinkOptions): Router {
  const allocator = createAllocator({ pool, ...(leaseMs !== undefined && { leaseMs }) });
  const router = express.Router();
  const json = express.json({ limit: '512kb' });
  router.post(LEASE_LINK.requests, json, asDataPlane(pool, answerRequests(allocator, logger)));
  router.post(SHARE_LINK, json, asDataPlane(pool, answerShares(pool)));
  router.post(LEASE_LINK.fences, json, asDataPlane(pool, takeFences(pool, logger)));
  return router;
}

function answerRequests(allocator: Allocator, logger: Logger): DataPlaneHandler {
  return async (request, response, { id }) => {
    const { data } = leaseRequestsSchema.safeParse(request.body);
    if (data === undefined) {
      response.status(400).json({ error: { code: 'invalid_request', message: 'Not a request for leases.' } });
      return;
    }
    const answers: LeaseAnswer[] = [];
    try {
      for (const each of data.requests) answers.push(await allocator.allocate(id, each));
    } catch (error) {
      // What was granted so far is found again by the same requests.
      logger.warn({ dataPlaneId: id, error: String(error) }, 'leases could not be granted');
      response.status(503).json({ error: { code: 'budget_unavailable', message: 'Try again.' } });
      return;
    }
    response.json({ answers });
  };
}

function answerShares(pool: pg.Pool): DataPlaneHandler {
  return async (request, response, { id }) => {
    const { data } = shareRequestSchema.safeParse(request.body);
    if (data === undefined) {
      response.status(400).json({ error: { code: 'invalid_request', message: 'Not a request for shares.' } });
      return;
    }
    const answer = await exchangeShares(pool, id, data);
    if (answer === undefined)
      response.status(409).json({ error: { code: 'conflict', message: 'A later turn was taken.' } });
    else response.json(answer);
  };
}

function takeFences(pool: pg.Pool, logger: Logger): DataPlaneHandler {
  return async (request, response, { id }) => {
    const { data } = leaseFencesSchema.safeParse(request.body);
    if (data === undefined) {
      response.status(400).json({ error: { code: 'invalid_request', message: 'Not a fence.' } });
      return;
    }
    await fenceLeases(pool, id, data);
    await closeSpool(pool, data.spoolId, logger);
    response.status(204).end();
  };
}
