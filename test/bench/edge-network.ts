import { once } from 'node:events';
import { createServer as createProvider } from 'node:https';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { SelfSigned } from '../kit/self-signed.js';
import type { Cleanup } from './cleanup.js';

/** A way between two places: what goes in at this port comes out at another, later. */
export interface Distance {
  readonly port: number;
  /** For what is sent from now on. */
  setRoundTripMs(roundTripMs: number): void;
}

/**
 * Passes TCP on with a delay of half a round trip each way. A connection is accepted at once by this machine, so its first
 * bytes are held for the round trip that the handshake of TCP would have taken. The order is kept; bandwidth is not limited.
 */
export async function openDistance(to: number, roundTripMs: number, cleanup: Cleanup): Promise<Distance> {
  let roundTrip = roundTripMs;
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    const isOpenAt = performance.now() + roundTrip;
    passLater(near, far, () => Math.max(isOpenAt, performance.now()) + roundTrip / 2);
    passLater(far, near, () => performance.now() + roundTrip / 2);
  });
  const port = await listen(server, cleanup);
  return {
    port,
    setRoundTripMs: (changed) => {
      roundTrip = changed;
    },
  };
}

function passLater(from: Socket, to: Socket, arrivesAt: () => number): void {
  let lastAt = 0;
  const later = (act: () => void): void => {
    lastAt = Math.max(lastAt, arrivesAt());
    setTimeout(act, Math.max(0, lastAt - performance.now()));
  };
  from.setNoDelay(true);
  from.on('data', (chunk: Buffer) => {
    later(() => to.write(chunk));
  });
  from.on('end', () => {
    later(() => to.end());
  });
  from.on('error', () => undefined);
  from.on('close', () => {
    if (!from.readableEnded) later(() => to.destroy());
  });
}

/**
 * A provider with TLS that streams a short answer at once.
 * @param closes whether it closes each connection after its first answer
 */
export async function startProvider(certificate: SelfSigned, closes: boolean, cleanup: Cleanup): Promise<number> {
  const usage = { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 };
  const first = { choices: [{ index: 0, delta: { role: 'assistant', content: 'Hello' } }] };
  const last = { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage };
  const server = createProvider(certificate, (request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream', ...(closes && { connection: 'close' }) });
      response.write(`data: ${JSON.stringify(first)}\n\n`);
      response.end(`data: ${JSON.stringify(last)}\n\ndata: [DONE]\n\n`);
    });
  });
  return listen(server, cleanup);
}

/** What ends TLS before a data plane, as a load balancer does. */
export function startFront(certificate: SelfSigned, to: number, cleanup: Cleanup): Promise<number> {
  const server = createTlsServer(certificate, (caller) => {
    const dataPlane = connect(to, '127.0.0.1');
    dataPlane.setNoDelay(true);
    caller.setNoDelay(true);
    caller.on('error', () => dataPlane.destroy());
    dataPlane.on('error', () => caller.destroy());
    caller.pipe(dataPlane).pipe(caller);
  });
  return listen(server, cleanup);
}

async function listen(server: Server, cleanup: Cleanup): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}
