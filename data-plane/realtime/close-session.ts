import type { WebSocket } from 'ws';

/** RFC 6455, 7.4.1, and https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number */
export const CLOSE_CODES = {
  normal: 1000,
  /** The session has lasted as long as it may. */
  goingAway: 1001,
  /** Nothing was said with the close, or there was none: these two are never sent. */
  none: 1005,
  lost: 1006,
  /** The caller may not go on. */
  policy: 1008,
  /** The provider failed, or we did. */
  failure: 1011,
  /** This process stops; another one will take the session. */
  restart: 1012,
} as const;

/** How long the other side may take to answer a close; the library itself would give it half a minute. */
const CLOSE_TIMEOUT_MS = 1_000;

/** Says goodbye to one side, and cuts the connection where it does not answer. */
export function closeSocket(socket: WebSocket, code: number): void {
  socket.close(code);
  cutSoon(socket);
}

/** For a side that has been told already that it is over. */
export function cutSoon(socket: WebSocket): void {
  const timer = setTimeout(() => {
    socket.terminate();
  }, CLOSE_TIMEOUT_MS);
  socket.once('close', () => {
    clearTimeout(timer);
  });
}

/** @returns a code that may be sent in the place of one that was received */
export function sendableCode(code: number): number {
  return code === CLOSE_CODES.none || code === CLOSE_CODES.lost ? CLOSE_CODES.normal : code;
}
