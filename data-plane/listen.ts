import { createServer, IncomingMessage, ServerResponse, STATUS_CODES, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import express from 'express';
import type { DataPlaneEnvironment } from './environment.js';
import type { Gateway } from './gateway.js';
import { asksForSession } from './realtime/receive-upgrade.js';
import { openAiErrorType } from './dialects/openai-error-type.js';

/** The listening sockets of a data plane. */
export interface Listeners {
  /** The own port first. */
  readonly ports: readonly number[];
  /** No new connections; those that wait for a next request are closed, also the ones that come to it later. */
  stopAccepting(): void;
  /** Resolves when every connection is gone. */
  closed(): Promise<void>;
  readonly cutConnections: () => void;
}

export type ListenEnvironment = Pick<
  DataPlaneEnvironment,
  | 'HOST'
  | 'DATA_PLANE_PORT'
  | 'DATA_PLANE_OWN_PORT'
  | 'MAX_HEADER_BYTES'
  | 'MAX_CONNECTIONS'
  | 'RECEIVE_HEAD_TIMEOUT_MS'
  | 'RECEIVE_TIMEOUT_MS'
  | 'UPSTREAM_HEADERS_TIMEOUT_MS'
  | 'IDLE_TIMEOUT_MS'
>;

/**
 * Listens on the port that data planes of one machine share, and on one of its own if it is to have one.
 * @throws Error with one sentence for a terminal when a port is taken
 */
export async function listen(gateway: Gateway, environment: ListenEnvironment): Promise<Listeners> {
  const { HOST: host, DATA_PLANE_PORT: sharedPort, DATA_PLANE_OWN_PORT: ownPort } = environment;
  const servers: Server[] = [];
  if (ownPort !== undefined) {
    servers.push(
      await open({ server: createHttpServer(gateway, environment), host, port: ownPort }, 'DATA_PLANE_OWN_PORT'),
    );
  }
  const shared = { server: createHttpServer(gateway, environment), host, port: sharedPort, reusePort: true };
  servers.push(await open(shared, 'DATA_PLANE_PORT'));
  return {
    ports: servers.map((server) => (server.address() as AddressInfo).port),
    stopAccepting: () => {
      for (const server of servers) stopAccepting(server);
    },
    closed: async () => {
      await Promise.all(servers.map((server) => new Promise((resolve) => server.once('close', resolve))));
    },
    cutConnections: () => {
      for (const server of servers) server.closeAllConnections();
    },
  };
}

const IDLE_CHECK_MS = 50;

/** Node closes idle connections once, when the server closes; one whose answer ends a moment later would stay open. */
function stopAccepting(server: Server): void {
  const sweep = setInterval(() => {
    server.closeIdleConnections();
  }, IDLE_CHECK_MS);
  server.close(() => {
    clearInterval(sweep);
  });
}

interface OpenOptions {
  readonly server: Server;
  readonly host: string;
  readonly port: number;
  readonly reusePort?: boolean;
}

function open({ server, host, port, reusePort = false }: OpenOptions, variable: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'is taken' : `cannot be opened (${error.code ?? error.message})`;
      reject(new Error(`Port ${port} on ${host} ${reason}; set ${variable} to another one.`));
    });
    server.listen({ host, port, reusePort }, () => {
      resolve(server);
    });
  });
}

const KEEP_ALIVE_MS = 75_000;
const SILENCE_MARGIN_MS = 60_000;

/** Express hosts; the gateway is its one handler, so that nothing else is on a call's way. */
export function createHttpServer(gateway: Gateway, environment: ListenEnvironment): Server {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((request, response) => {
    gateway.handle(request, response);
  });
  const headTimeoutMs = Math.min(environment.RECEIVE_HEAD_TIMEOUT_MS, environment.RECEIVE_TIMEOUT_MS);
  const server = createServer({
    ...expressMessageClasses(app),
    maxHeaderSize: environment.MAX_HEADER_BYTES,
    requestTimeout: environment.RECEIVE_TIMEOUT_MS,
    headersTimeout: headTimeoutMs,
    connectionsCheckingInterval: Math.min(5_000, headTimeoutMs),
    // Longer than the load balancer in front keeps its side, so that it never sends into a connection we just closed.
    keepAliveTimeout: KEEP_ALIVE_MS,
    // All else that speaks of an upgrade is a call like any other: some clients offer HTTP/2 with their first request.
    shouldUpgradeCallback: asksForSession,
  });
  server.maxConnections = environment.MAX_CONNECTIONS;
  // Longer than the longest silence that a healthy call may have: only connections that hang reach it.
  server.timeout = environment.UPSTREAM_HEADERS_TIMEOUT_MS + environment.IDLE_TIMEOUT_MS + SILENCE_MARGIN_MS;
  server.on('request', app);
  // Without a listener Node gives leave to send the body before anyone knows who sends it.
  server.on('checkContinue', app);
  server.on('upgrade', (request, socket: Socket, head) => {
    gateway.handleUpgrade(request, socket, head);
  });
  server.on('clientError', refuseConnection);
  server.on('connection', (socket: Socket) => {
    // Pipelined requests listen for their socket's end, each for itself.
    socket.setMaxListeners(0);
  });
  return server;
}

/**
 * Express sets the prototype of each request and response to its own, which costs more than all else it does. Where they
 * have it from birth, setting it again is free.
 */
function expressMessageClasses(app: express.Express) {
  class Request extends IncomingMessage {}
  class Response extends ServerResponse<Request> {}
  Object.setPrototypeOf(Request.prototype, app.request);
  Object.setPrototypeOf(Response.prototype, app.response);
  app.request = Request.prototype as express.Request;
  app.response = Response.prototype as unknown as express.Response;
  return { IncomingMessage: Request, ServerResponse: Response };
}

/** What cannot be read as a request: no request object exists, so the socket is answered. */
function refuseConnection(
  error: NodeJS.ErrnoException,
  socket: Socket & { _httpMessage?: ServerResponse | null },
): void {
  // Attack: garbage pipelined behind a request. An answer now would land in the middle of the one that is under way.
  if (!socket.writable || socket._httpMessage?.headersSent === true) {
    socket.destroy();
    return;
  }
  const status = CLIENT_ERROR_STATUS[error.code ?? ''] ?? 400;
  const message = STATUS_CODES[status] ?? 'Bad Request';
  const body = JSON.stringify({
    error: { message: `${message}.`, type: openAiErrorType(status), param: null, code: 'invalid_request' },
  });
  const head = [
    `HTTP/1.1 ${status} ${message}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => {
    socket.destroy();
  });
}

const CLIENT_ERROR_STATUS: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};
