import type { Runtime } from './runtime-file.js';

/** The block that a start ends with: all that a person needs to make a first call. */
export function readyBanner(options: {
  readonly runtime: Runtime;
  readonly home: string;
  readonly tookMs: number;
}): string {
  const { runtime, home, tookMs } = options;
  const body = JSON.stringify({ model: runtime.model, messages: [{ role: 'user', content: 'Hello' }] });
  return `
PingToken runs (started in ${(tookMs / 1000).toFixed(1)} s, kept in ${home})

  GraphQL    ${runtime.graphqlUrl}
  Gateway    ${runtime.gatewayUrl}
  Operator   ${runtime.operator.email}  ${runtime.operator.password}
  API key    ${runtime.apiKey}

  curl ${runtime.gatewayUrl}/chat/completions -H 'Authorization: Bearer ${runtime.apiKey}' -H 'Content-Type: application/json' -d '${body.replaceAll("'", "'\\''")}'

Each call appears below as it is billed. Ctrl-C stops everything.
`;
}
