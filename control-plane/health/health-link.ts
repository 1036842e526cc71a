import express, { type Router } from 'express';
import type pg from 'pg';
import { healthReportSchema } from '@pingtoken/shared/health-report';
import { CONFIG_LINK } from '@pingtoken/shared/wire';
import { asDataPlane } from '../publishing/as-data-plane.js';
import { takeReport } from './take-report.js';

/** Where data planes report health; it holds no state of its own. @param pool through the worker login */
export function createHealthLink({ pool }: { readonly pool: pg.Pool }): Router {
  const router = express.Router();
  const takeOne = asDataPlane(pool, async (request, response, { id }) => {
    const { data } = healthReportSchema.safeParse(request.body);
    if (data === undefined) {
      response.status(400).json({ error: { code: 'invalid_request', message: 'Not a health report.' } });
      return;
    }
    await takeReport(pool, id, data);
    response.status(204).end();
  });
  router.post(CONFIG_LINK.health, express.json({ limit: '2mb' }), takeOne);
  return router;
}
