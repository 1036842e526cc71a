import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import type { ReadyMessage } from '@pingtoken/shared/wire';
import { createLeaseLink } from './allocation/lease-link.js';
import { openPool } from './database/sql.js';
import { readControlPlaneEnvironment } from './environment.js';
import { createControlPlaneApp } from './graphql/server.js';
import { createHealthLink } from './health/health-link.js';
import { createConfigLink } from './publishing/config-link.js';
import { createConfigLog } from './publishing/config-log.js';
import { openNotifications } from './publishing/notifications.js';
import { openServices } from './services.js';

const DRAIN_MS = 5_000;

// Environment.
const environment = readControlPlaneEnvironment();
const logger = pino({ level: environment.LOG_LEVEL, base: { process: 'control-plane' } });

// Services.
const services = await openServices(environment, logger);
const pool = openPool({
  url: environment.WORKER_DATABASE_URL,
  size: 10,
  onError: (error) => {
    logger.warn({ error: error.message }, 'an idle database connection failed');
  },
});
const notifications = openNotifications({
  url: environment.WORKER_DATABASE_URL,
  channels: ['config', 'spool-confirmed'],
  logger,
});
const configLink = createConfigLink({
  pool,
  log: createConfigLog({ pool }),
  notifications,
  signingKey: environment.CONFIG_SIGNING_KEY,
  contentKeySecret: environment.CONTENT_KEY_SECRET,
  logger,
});
const { app, stop } = await createControlPlaneApp({
  services,
  dataPlaneLinks: [configLink.router, createLeaseLink({ pool, logger }), createHealthLink({ pool })],
  trustedProxies: environment.TRUSTED_PROXIES.split(',').filter((range) => range.trim() !== ''),
  logger,
});

// Listen.
const server = app.listen(environment.CONTROL_PLANE_PORT, environment.HOST);
server.on('error', (error: NodeJS.ErrnoException) => {
  const taken = error.code === 'EADDRINUSE';
  const port = environment.CONTROL_PLANE_PORT;
  logger.fatal(taken ? `Port ${port} is taken: stop what uses it or set CONTROL_PLANE_PORT.` : error.message);
  process.exit(1);
});
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
logger.info({ port }, 'the control plane is ready');
const ready: ReadyMessage = { type: 'ready', ports: [port] };
process.send?.(ready);

// Drain.
let draining = false;
async function drain(): Promise<void> {
  if (draining) return;
  draining = true;
  setTimeout(() => process.exit(1), DRAIN_MS).unref();
  configLink.close();
  server.close();
  server.closeIdleConnections();
  await stop();
  await notifications.close();
  await services.close();
  await pool.end();
  process.exit(0);
}
for (const signal of ['SIGTERM', 'SIGINT', 'disconnect']) process.on(signal, () => void drain());
