import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { bodyOf } from '../body.js';
import type { Books } from '../books.js';
import { errorBody, invalidRequest, missingKey, modelNotFound, unknownUrl, type Refusal } from '../errors.js';
import { findModel, type Model } from '../models.js';
import { readRequestId } from '../request-id.js';
import { NO_TOKENS, NO_UNITS } from '../tokens.js';
import { createSession } from './session.js';

const PATH = '/v1/realtime';
/** The largest message that is accepted, bytes. */
const MESSAGE_BYTES = 16 * 1024 * 1024;

/**
 * `/v1/realtime?model=…`, a WebSocket. A connection is one call in the books, counted from its begin to its end: completed
 * where it was closed with a closing frame, aborted where it was not, died where a fault cut it. What the caller
 * sent stands in `/received` when the connection is over, one message a line.
 */
export function createUpgrade({ served, receptions, faults }: Books) {
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_BYTES,
    handleProtocols: (protocols) => (protocols.has('realtime') ? 'realtime' : false),
  });
  let connections = 0;

  const follow = (request: IncomingMessage, requestId: string, model: Model, socket: WebSocket): void => {
    const start = { requestId, path: PATH, model: model.id } as const;
    const call = served.begin(start);
    const gone = new AbortController();
    const heard: string[] = [];
    let sent = 0;
    let isCut = false;
    const session = createSession({
      model: model.id,
      gone: gone.signal,
      takeFaults: () => faults.take(model.id),
      send: (event) => {
        sent += 1;
        socket.send(JSON.stringify(event));
      },
      die: () => {
        isCut = true;
        gone.abort();
        socket.terminate();
      },
    });
    socket.on('message', (data: Buffer) => {
      const text = data.toString('utf8');
      heard.push(text);
      session.receive(text).catch(() => {
        socket.close(1011);
      });
    });
    socket.on('error', () => {
      socket.terminate();
    });
    socket.once('close', (code) => {
      gone.abort();
      const { tokens, audioSeconds, toldUsage } = session.spent();
      served.end(call, start, {
        status: 101,
        outcome: isCut ? 'died' : code === 1006 ? 'aborted' : 'completed',
        tokens,
        units: { ...NO_UNITS, audioSeconds },
        chunksSent: sent,
        usage: toldUsage ? 'reported' : 'none',
      });
      receptions.add(receptionOf(request, requestId, heard.join('\n')));
    });
  };

  const handle = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    connections += 1;
    const requestId = readRequestId(request.headers) ?? `sim-realtime-${connections}`;
    const checked = check(request);
    if ('status' in checked) {
      const start = { requestId, path: PATH, model: null } as const;
      const end = { status: checked.status, outcome: 'error', tokens: NO_TOKENS, units: NO_UNITS } as const;
      served.end(served.begin(start), start, { ...end, chunksSent: 0, usage: 'none' });
      receptions.add(receptionOf(request, requestId, ''));
      refuseUpgrade(socket, checked);
      return;
    }
    server.handleUpgrade(request, socket, head, (webSocket) => {
      follow(request, requestId, checked, webSocket);
    });
  };
  return {
    handle,
    /** Cuts every connection; the HTTP server no longer knows of them. */
    cut: (): void => {
      for (const client of server.clients) client.terminate();
    },
  };
}

/** Browsers cannot set a header, so the key may also come as a subprotocol. */
function check({ url = '', headers }: IncomingMessage): Model | Refusal {
  const { pathname, searchParams } = new URL(url, 'http://simulator');
  if (pathname !== PATH && pathname !== '/realtime') return unknownUrl('GET', pathname);
  const asProtocol = /openai-insecure-api-key\.\S/.test(headers['sec-websocket-protocol'] ?? '');
  if (!asProtocol && !/^bearer +\S/i.test(headers.authorization ?? '')) return missingKey('openai');
  const name = searchParams.get('model');
  if (!name) return invalidRequest('You must provide a model parameter.', 'model');
  return findModel(name, 'realtime') ?? findModel(name, 'chat') ?? modelNotFound(name);
}

function refuseUpgrade(socket: Duplex, refusal: Refusal): void {
  const body = JSON.stringify(errorBody('openai', refusal));
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? ''}\r\nconnection: close\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function receptionOf(
  { method = '', url = '', httpVersion, rawHeaders }: IncomingMessage,
  requestId: string,
  text: string,
) {
  return { requestId, method, url, httpVersion, rawHeaders, body: bodyOf(text) };
}
