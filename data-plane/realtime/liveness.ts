import type { WebSocket } from 'ws';

/**
 * Whether one side of a session is still there. Who has nothing to say may be silent for as long as it likes, but answers a
 * ping; what lies between keeps the connection for them. RFC 6455, 5.5.2
 */
export class Liveness {
  readonly #socket: WebSocket;
  readonly #isPaused: () => boolean;
  #heardAt = Date.now();
  #pingedAt = 0;

  constructor(socket: WebSocket, isPaused: () => boolean) {
    this.#socket = socket;
    this.#isPaused = isPaused;
    for (const event of ['message', 'ping', 'pong'] as const) {
      socket.on(event, () => {
        this.#heardAt = Date.now();
      });
    }
  }

  /** @returns false where the side has not been heard of for that long */
  check(nowMs: number, silenceMs: number, pingIntervalMs: number): boolean {
    // Of a side that is not read nothing can be heard.
    if (this.#isPaused()) this.#heardAt = nowMs;
    const silentMs = nowMs - this.#heardAt;
    const unpingedMs = nowMs - this.#pingedAt;
    // However seldom this is asked: nobody is lost who was not asked first, and given time to answer.
    if (silentMs > silenceMs && this.#pingedAt > this.#heardAt && unpingedMs >= pingIntervalMs) return false;
    if (silentMs >= pingIntervalMs && unpingedMs >= pingIntervalMs) {
      this.#pingedAt = nowMs;
      this.#socket.ping();
    }
    return true;
  }
}
