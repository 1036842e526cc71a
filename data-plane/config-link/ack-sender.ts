import type { ConfigAck } from '@pingtoken/shared/config-snapshot';
import type { Logger } from 'pino';
import type { ControlPlaneClient } from './control-plane-client.js';

/** Tells the control plane what came of its documents without holding up the next one. */
export interface AckSender {
  /** Takes the place of what could not be sent yet: only where we stand now is of interest. */
  send(acks: readonly ConfigAck[]): void;
}

export function createAckSender(options: {
  readonly client: ControlPlaneClient;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}): AckSender {
  const { client, signal, logger } = options;
  let waiting: ConfigAck[] = [];
  let sending = false;

  async function drain(): Promise<void> {
    if (sending) return;
    sending = true;
    try {
      for (let ack = waiting.shift(); ack !== undefined && !signal.aborted; ack = waiting.shift()) {
        await client.sendAck(ack, signal);
      }
    } catch (error) {
      // Not tried again by itself: each dial tells where we stand anew.
      waiting = [];
      if (!signal.aborted) logger.warn({ reason: String(error) }, 'config acknowledgement not sent');
    } finally {
      sending = false;
    }
  }

  return {
    send: (acks) => {
      if (acks.length === 0) return;
      waiting = [...acks];
      void drain();
    },
  };
}
