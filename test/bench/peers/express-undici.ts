import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import express from 'express';
import { Agent, type Dispatcher } from 'undici';
import { listenAndTell } from './listen.js';

/**
 * The bar: the least that an Express relay over undici must do, done well. The body is read raw and sent on, the answer is
 * streamed back with backpressure; a caller that leaves ends the call upstream. It knows no key, no price and no usage.
 */
const agent = new Agent({ connections: null, pipelining: 1 });

/** By the first segment of the path, so that one process serves every workload: `name=origin`. */
const origins = new Map(process.argv.slice(2).map((argument) => argument.split('=', 2) as [string, string]));

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
]);

class Relay implements Dispatcher.DispatchHandler {
  #controller: Dispatcher.DispatchController | undefined;

  constructor(private readonly response: ServerResponse) {
    response.on('close', () => {
      if (!response.writableFinished) this.#controller?.abort(new Error('the caller left'));
    });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    const kept: string[] = [];
    for (const name in headers) {
      const value = headers[name];
      if (!HOP_BY_HOP.has(name) && typeof value === 'string') kept.push(name, value);
    }
    this.response.writeHead(status, kept);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.response.write(chunk)) return;
    controller.pause();
    this.response.once('drain', () => {
      controller.resume();
    });
  }

  onResponseEnd(): void {
    this.response.end();
  }

  onResponseError(): void {
    if (this.response.headersSent) this.response.destroy();
    else this.response.writeHead(502).end();
  }
}

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.post('/:workload/v1/chat/completions', (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const [first] = chunks;
    const headers: IncomingHttpHeaders = {};
    for (const name in request.headers) {
      if (!HOP_BY_HOP.has(name) && name !== 'host' && name !== 'content-length') headers[name] = request.headers[name];
    }
    agent.dispatch(
      {
        origin: origins.get(request.params.workload) ?? '',
        path: request.url,
        method: 'POST',
        headers,
        body: chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks),
      },
      new Relay(response),
    );
  });
});
await listenAndTell(createServer(app));
