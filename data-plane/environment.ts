import { z } from 'zod';
import { addressRangesSchema } from '@pingtoken/shared/address-ranges';
import { portSchema, readEnvironment } from '@pingtoken/shared/environment';

const milliseconds = (defaultMs: number) => z.coerce.number().int().positive().default(defaultMs);

export type { AddressRange } from '@pingtoken/shared/address-ranges';

/** Every setting of a data plane. The table in the README is made from the descriptions. */
export const dataPlaneEnvironment = z.object({
  HOST: z.string().default('127.0.0.1').describe('Address that the data plane listens on.'),
  DATA_PLANE_PORT: portSchema(8080).describe('Port that callers use; several data planes of one machine may share it.'),
  DATA_PLANE_OWN_PORT: z.coerce
    .number()
    .int()
    .min(0)
    .max(65535)
    .optional()
    .describe('A second port that this process has for itself, 0 for any free one; none if unset.'),
  CONTROL_PLANE_URL: z
    .url({ protocol: /^https?$/ })
    .describe('Base address of the control plane, which the data plane dials.'),
  DATA_PLANE_HOME: z
    .string()
    .min(1)
    .describe('Folder of identity, last good configuration and spool; one living process owns it.'),
  DATA_PLANE_REGION: z
    .string()
    .trim()
    .min(1)
    .max(60)
    .default('local')
    .describe('Where it stands; goes into the identity that it makes at its first start.'),
  QUEUE_URL: z
    .url({ protocol: /^(rediss?|postgres|postgresql)$/ })
    .describe('Queue that takes the usage: `redis://…` or `postgres://…`.'),
  CONFIG_VERIFY_KEY: z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/)
    .describe('Ed25519 public key (SPKI, base64url) that configuration must be signed with.'),
  TRUSTED_PROXIES: addressRangesSchema().describe(
    'Comma-separated address ranges whose X-Forwarded-For is believed; none by default.',
  ),
  PRIVATE_UPSTREAMS: addressRangesSchema().describe(
    'Comma-separated address ranges, not of the public internet, that providers may be reached at; none by default.',
  ),
  MAX_BODY_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .max(1024 * 1024 * 1024)
    .default(32 * 1024 * 1024)
    .describe('Longest request body, in bytes; a longer one is answered with 413.'),
  MAX_HEADER_BYTES: z.coerce
    .number()
    .int()
    .min(1024)
    .max(1024 * 1024)
    .default(16 * 1024)
    .describe('Longest head of a request, in bytes; a longer one is answered with 431.'),
  MAX_CONNECTIONS: z.coerce
    .number()
    .int()
    .positive()
    .default(50_000)
    .describe('Connections of callers at once, for each port; one more is closed unanswered.'),
  RECEIVE_HEAD_TIMEOUT_MS: milliseconds(60_000).describe(
    'Longest time that a caller may take to send the head of a request; then it is answered with 408.',
  ),
  RECEIVE_TIMEOUT_MS: milliseconds(300_000).describe(
    'Longest time that a caller may take to send one request with its body; then it is answered with 408.',
  ),
  UPSTREAM_CONNECT_TIMEOUT_MS: milliseconds(5_000).describe('Longest time to connect to a provider.'),
  UPSTREAM_HEADERS_TIMEOUT_MS: milliseconds(600_000).describe(
    'Longest wait for the head of a provider’s answer; a reasoning model may be silent for minutes.',
  ),
  FIRST_TOKEN_TIMEOUT_MS: milliseconds(600_000).describe(
    'Longest wait of a streamed call for the first event of its answer, at each provider that is tried; a route may set less.',
  ),
  IDLE_TIMEOUT_MS: milliseconds(300_000).describe(
    'Longest silence inside an answer: of the provider that sends it, or of the caller that does not take it.',
  ),
  UPSTREAM_TOTAL_TIMEOUT_MS: milliseconds(3_600_000).describe(
    'Longest time of one call, from the moment that it goes out to the end of its answer.',
  ),
  WARM_CONNECTIONS: z.coerce
    .number()
    .int()
    .min(0)
    .max(32)
    .default(2)
    .describe(
      'Connections kept open and unused to each provider’s host in use, so that a call waits for no handshake.',
    ),
  UPSTREAM_HTTP2: z
    .enum(['on', 'off'])
    .default('off')
    .describe('Whether JSON calls go by HTTP/2 where the provider offers it. Read in `data-plane/README.md` why not.'),
  STREAM_COMMENT_INTERVAL_MS: milliseconds(15_000).describe(
    'After so long a silence inside a stream the caller gets a comment, so that what lies between keeps the connection.',
  ),
  ESTIMATE_TIMEOUT_MS: milliseconds(5_000).describe(
    'Longest time to count tokens here that the provider did not report, tokenizer loaded; then none are billed.',
  ),
  LEASE_TIMEOUT_MS: milliseconds(200).describe(
    'Longest wait of a call for the control plane where what is leased of its wallet or budgets does not cover it; then it is answered with 503.',
  ),
  BATCH_POLL_INTERVAL_MS: milliseconds(10_000).describe(
    'How soon after its submission a batch, or a response in the background, is asked whether it is over; each later wait is longer, up to five minutes (a response: one).',
  ),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/ })
    .optional()
    .describe('Redis where data planes find each other’s answers, to repeat them; each keeps its own if unset.'),
  IDEMPOTENCY_WINDOW_MS: milliseconds(86_400_000).describe(
    'How long the answer to a call with an idempotency key is kept, to be given again.',
  ),
  REPLAY_MAX_ANSWER_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .max(64 * 1024 * 1024)
    .default(2 * 1024 * 1024)
    .describe('Longest answer that is kept to be given again, in bytes.'),
  REPLAY_MAX_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .default(64 * 1024 * 1024)
    .describe('What is kept of answers in all, in bytes, in Redis or in each process; the oldest make room.'),
  DRAIN_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .nonnegative()
    .default(8_000)
    .describe('How long open calls may go on after a stop signal; then they are cut.'),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('Least level that is logged.'),
});
export type DataPlaneEnvironment = z.infer<typeof dataPlaneEnvironment>;

/** @throws Error naming every variable that is missing or not valid, fit for a terminal */
export function readDataPlaneEnvironment(): DataPlaneEnvironment {
  return readEnvironment(dataPlaneEnvironment, process.env);
}
