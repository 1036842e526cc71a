import { createServer, type ServerResponse } from 'node:http';
import { basePathOf, CHAT_PATH, PACE_MS, streamEvents, WORKLOADS } from '../workloads.js';
import { listenAndTell } from './listen.js';

/** Stands for the provider where there is no nginx, and sends the paced stream. Reads the request and ignores it. */
const answers = new Map(
  Object.values(WORKLOADS).map(({ name, providerPath, answer }) => [
    basePathOf(name) + providerPath,
    { head: ['content-type', answer.contentType, 'content-length', String(answer.body.length)], body: answer.body },
  ]),
);
const pacedPath = basePathOf('paced') + CHAT_PATH;
const pacedEvents = streamEvents('paced');

/** One timer sends the next event of every open stream: a timer each would make the upstream the limit. */
const open = new Map<ServerResponse, number>();
setInterval(() => {
  for (const [response, next] of open) {
    response.write(pacedEvents[next]);
    open.set(response, next + 1);
    if (next + 1 < pacedEvents.length) continue;
    open.delete(response);
    response.end();
  }
}, PACE_MS);

const server = createServer((request, response) => {
  request.resume().on('end', () => {
    if (request.url === pacedPath) {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      open.set(response, 0);
      response.on('close', () => open.delete(response));
      return;
    }
    const answer = answers.get((request.url ?? '').split('?', 1)[0] ?? '');
    if (answer === undefined) response.writeHead(404).end();
    else response.writeHead(200, answer.head).end(answer.body);
  });
});
await listenAndTell(server);
