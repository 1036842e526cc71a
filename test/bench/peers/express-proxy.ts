import { Agent, createServer } from 'node:http';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { listenAndTell } from './listen.js';

/** http-proxy-middleware in Express, as its manual has it, with connections to the upstream that are kept. */
const app = express();
app.disable('x-powered-by');
app.use((request, _response, next) => {
  // Copied on, it would name the upstream's connection and close it.
  delete request.headers.connection;
  next();
});
/** By the first segment of the path: `name=origin`. */
for (const argument of process.argv.slice(2)) {
  const [name = '', target = ''] = argument.split('=', 2);
  const agent = new Agent({ keepAlive: true });
  app.use(createProxyMiddleware({ pathFilter: `/${name}/**`, target, agent, changeOrigin: true }));
}
await listenAndTell(createServer(app));
