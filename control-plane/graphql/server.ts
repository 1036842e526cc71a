import { ApolloServer, type ApolloServerPlugin } from '@apollo/server';
import { ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled';
import { expressMiddleware } from '@as-integrations/express5';
import { ApolloArmor } from '@escape.tech/graphql-armor';
import express, { type ErrorRequestHandler, type Express, type Request, type Router } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import type { CallerClient } from '@pingtoken/shared/usage-event';
import type { Services } from '../services.js';
import type { Context } from './context.js';
import { createErrorFormatter, errorExtensions } from './errors.js';
import { createLoaders } from './loaders.js';
import { buildApiSchema } from './schema.js';

interface ControlPlaneOptions {
  readonly services: Services;
  /** What data planes dial: the config link, and the allocator of leases. */
  readonly dataPlaneLinks: readonly Router[];
  /** Ranges as Express' `trust proxy` takes them; empty for none. */
  readonly trustedProxies: readonly string[];
  readonly logger: Logger;
}

const MAX_REQUEST = '1mb';
const MAX_TOKENS = 5000;

export interface ControlPlaneApp {
  readonly app: Express;
  /** Lets running operations finish. */
  stop(): Promise<void>;
}

export async function createControlPlaneApp(options: ControlPlaneOptions): Promise<ControlPlaneApp> {
  const { services, dataPlaneLinks, trustedProxies, logger } = options;
  const armor = new ApolloArmor({
    maxDepth: { n: 10 },
    maxAliases: { n: 20 },
    maxDirectives: { n: 50 },
    // The parser itself counts them, see below: this plugin's errors would be answered with status 500.
    maxTokens: { enabled: false },
    costLimit: { maxCost: 20_000, objectCost: 2, scalarCost: 1, depthCostFactor: 1.3, ignoreIntrospection: true },
    // The schema is public; hiding what a typing error may have meant helps nobody.
    blockFieldSuggestion: { enabled: false },
  });
  const { plugins, ...limits } = armor.protect();
  const apollo = new ApolloServer<Context>({
    schema: buildApiSchema(),
    parseOptions: { maxLexicalTokens: MAX_TOKENS },
    ...limits,
    // Its types were written against Apollo's CommonJS build, which is the same at run time.
    plugins: [...(plugins as unknown as ApolloServerPlugin<Context>[]), ApolloServerPluginLandingPageDisabled()],
    introspection: true,
    // The launcher ends this process; Apollo must not race it to the exit.
    stopOnTerminationSignals: false,
    includeStacktraceInErrorResponses: false,
    formatError: createErrorFormatter(logger),
    logger,
  });
  await apollo.start();

  const app = express();
  app.disable('x-powered-by');
  app.set('trust proxy', [...trustedProxies]);
  app.use(helmet());
  app.get('/healthz', (_request, response) => void response.type('text/plain').send('ok'));
  app.use(...dataPlaneLinks);
  app.use(
    '/graphql',
    express.json({ limit: MAX_REQUEST }),
    expressMiddleware(apollo, {
      context: async ({ req }): Promise<Context> => {
        const token = /^Bearer (\S+)$/i.exec(req.headers.authorization ?? '')?.[1];
        const viewer = token === undefined ? null : await services.signIn.authenticate(token);
        return { services, viewer, client: readClient(req), loaders: createLoaders({ services, viewer }) };
      },
    }),
  );
  app.use((_request, response) => void response.status(404).json(errorBody('unknown_path')));
  app.use(createErrorHandler(logger));
  return { app, stop: () => apollo.stop() };
}

function readClient(request: Request): CallerClient {
  const header = (name: string): string => (request.get(name) ?? '').slice(0, 512);
  return { ip: request.ip ?? '', device: header('sec-ch-ua-platform'), browser: header('user-agent') };
}

/** As GraphQL's own answers, for requests that never got there. */
function errorBody(code: ErrorCode): object {
  return { errors: [{ message: ERROR_CODES[code].message, extensions: errorExtensions(code) }] };
}

/** Faults before GraphQL: a body that is no JSON, or too large. Express' own answer would show a stack. */
function createErrorHandler(logger: Logger): ErrorRequestHandler {
  return (error: unknown, _request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const type = error instanceof Error && 'type' in error ? error.type : undefined;
    const code: ErrorCode =
      type === 'entity.too.large'
        ? 'body_too_large'
        : type === 'entity.parse.failed'
          ? 'malformed_json'
          : type === undefined
            ? 'internal_error'
            : 'invalid_request';
    if (code === 'internal_error') logger.error({ error }, 'a request failed');
    response.status(ERROR_CODES[code].status).json(errorBody(code));
  };
}
