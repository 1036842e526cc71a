import type { Request, Response } from 'express';
import type pg from 'pg';
import { identifyDataPlane, type KnownDataPlane } from './data-plane-identity.js';

export type DataPlaneHandler = (request: Request, response: Response, dataPlane: KnownDataPlane) => Promise<void>;

/** Lets nobody but an enrolled data plane through; see `identifyDataPlane`. */
export function asDataPlane(pool: pg.Pool, handle: DataPlaneHandler) {
  return async (request: Request, response: Response): Promise<void> => {
    const dataPlane = await identifyDataPlane(pool, request.headers.authorization);
    if (dataPlane === null) {
      response.status(401).json({ error: { code: 'unauthenticated', message: 'Not an enrolled data plane.' } });
      return;
    }
    await handle(request, response, dataPlane);
  };
}
