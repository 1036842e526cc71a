import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { sendJson, sendRefusal, type Answer, type Refusal } from '../http-error.js';

/** Gives a connection that was to become a WebSocket its answer by HTTP after all, and ends it. */
function answerOn(socket: Socket, { response }: Answer, send: () => void): void {
  if (socket.destroyed || !(response instanceof ServerResponse)) return;
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once('finish', () => {
    response.detachSocket(socket);
    socket.destroySoon();
  });
  send();
}

export function refuseUpgrade(socket: Socket, answer: Answer, refusal: Refusal): void {
  const headers = refusal.refused === 'upgrade_required' ? UPGRADE_HEADERS : [];
  answerOn(socket, answer, () => {
    sendRefusal(answer, refusal, headers);
  });
}

/** RFC 9110, 15.5.22; RFC 6455, 4.4 */
export const UPGRADE_HEADERS = ['upgrade', 'websocket', 'sec-websocket-version', '13'] as const;

/** Passes on what the provider has answered in the place of a session. */
export function passRefusal(
  socket: Socket,
  answer: Answer,
  { status, json, headers }: { readonly status: number; readonly json: string; readonly headers: readonly string[] },
): void {
  answerOn(socket, answer, () => {
    sendJson(answer, status, json, headers);
  });
}
