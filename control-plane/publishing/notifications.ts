import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';

/** PostgreSQL's NOTIFY, heard for as long as the process lives; a lost connection is made anew. */
export interface Notifications {
  on(channel: string, listener: (payload: string) => void): void;
  /** Called whenever notifications may have been missed. */
  onReconnect(listener: () => void): void;
  close(): Promise<void>;
}

const RECONNECT_DELAY_MS = 500;

export function openNotifications(options: {
  url: string;
  channels: readonly string[];
  logger: Logger;
}): Notifications {
  const { url, channels, logger } = options;
  const emitter = new EventEmitter().setMaxListeners(0);
  const stopped = new AbortController();
  // Made at once: a stop that comes while a connection is being made must not be missed.
  const stop = once(stopped.signal, 'abort');

  const listen = async (): Promise<void> => {
    const client = new pg.Client({ connectionString: url, keepAlive: true });
    const lost = once(client, 'end');
    client.on('error', (error) => {
      logger.warn({ error: error.message }, 'the notification connection failed');
    });
    client.on('notification', ({ channel, payload = '' }) => emitter.emit(`channel:${channel}`, payload));
    try {
      await client.connect();
      for (const channel of channels) await client.query(`listen ${pg.escapeIdentifier(channel)}`);
      emitter.emit('reconnect');
      await Promise.race([lost, stop]);
    } finally {
      await client.end().catch(() => undefined);
    }
  };

  const isStopped = (): boolean => stopped.signal.aborted;
  const loop = async (): Promise<void> => {
    while (!isStopped()) {
      await listen().catch((error: unknown) => {
        logger.warn({ error: String(error) }, 'cannot listen for notifications');
      });
      if (!isStopped()) await delay(RECONNECT_DELAY_MS);
    }
  };
  const running = loop();

  return {
    on: (channel, listener) => emitter.on(`channel:${channel}`, listener),
    onReconnect: (listener) => emitter.on('reconnect', listener),
    async close() {
      stopped.abort();
      await running;
    },
  };
}
