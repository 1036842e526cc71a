import type { ConfigAck } from '@pingtoken/shared/config-snapshot';
import type { Logger } from 'pino';
import type { ControlPlaneClient } from './control-plane-client.js';

/** Tells the control plane what came of its documents, in order, without holding up the next document. */
export interface AckSender {
  send(acks: readonly ConfigAck[]): void;
  /** Tries at once what could not be sent before. */
  flush(): void;
}

/** More refusals than that tell nobody anything new. */
const MAX_WAITING = 32;

export function createAckSender(options: {
  readonly client: ControlPlaneClient;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}): AckSender {
  const { client, signal, logger } = options;
  const waiting: ConfigAck[] = [];
  let sending = false;

  async function drain(): Promise<void> {
    if (sending) return;
    sending = true;
    try {
      for (let ack = waiting[0]; ack !== undefined && !signal.aborted; ack = waiting[0]) {
        await client.sendAck(ack, signal);
        const at = waiting.indexOf(ack);
        if (at >= 0) waiting.splice(at, 1);
      }
    } catch (error) {
      // It stays, and goes out when the link is up again: the control plane also learns our position from each dial.
      if (!signal.aborted) logger.warn({ reason: String(error) }, 'config acknowledgement not sent');
    } finally {
      sending = false;
    }
  }

  return {
    send: (acks) => {
      for (const ack of acks) {
        // A later state applied says all that an earlier one would have said.
        const superseded = ack.status === 'applied' ? waiting.findIndex(({ status }) => status === 'applied') : -1;
        if (superseded > 0 || (superseded === 0 && !sending)) waiting.splice(superseded, 1);
        waiting.push(ack);
      }
      if (waiting.length > MAX_WAITING) waiting.splice(1, waiting.length - MAX_WAITING);
      void drain();
    },
    flush: () => void drain(),
  };
}
