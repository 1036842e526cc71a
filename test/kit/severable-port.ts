import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A port that stands for a machine: what is behind it can be lost, and found again at the same address. */
export interface SeverablePort {
  readonly port: number;
  /** Resets every connection and refuses new ones, as a machine whose server has died does. */
  sever(): Promise<void>;
  revive(): Promise<void>;
  close(): Promise<void>;
}

/** @param to port at this machine that bytes are passed to and from */
export async function openSeverablePort(to: number): Promise<SeverablePort> {
  const sockets = new Set<Socket>();
  const relay = (caller: Socket): void => {
    const server = connect(to, '127.0.0.1');
    for (const [socket, other] of [
      [caller, server],
      [server, caller],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        // A reset is passed on as one: the other side must not take it for a clean end.
        if (!socket.readableEnded) other.resetAndDestroy();
        else other.end();
      });
    }
    caller.pipe(server);
    server.pipe(caller);
  };
  const listen = async (port: number): Promise<Server> => {
    const server = createServer(relay).listen(port, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  let server = await listen(0);
  const { port } = server.address() as AddressInfo;
  const sever = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.resetAndDestroy();
    await closed;
  };
  const revive = async (): Promise<void> => {
    server = await listen(port);
  };
  return { port, sever, revive, close: sever };
}
