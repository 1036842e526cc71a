import { parseAddressRanges } from '@pingtoken/shared/address-ranges';
import type { DataPlaneEnvironment } from '../../data-plane/environment.js';
import type { GatewayEnvironment } from '../../data-plane/gateway.js';
import type { ListenEnvironment } from '../../data-plane/listen.js';

export type FixtureEnvironment = GatewayEnvironment &
  ListenEnvironment &
  Pick<DataPlaneEnvironment, 'PRIVATE_UPSTREAMS'>;

/** A gateway's, before providers at this machine. */
export const ENVIRONMENT: FixtureEnvironment = {
  HOST: '127.0.0.1',
  DATA_PLANE_PORT: 0,
  DATA_PLANE_OWN_PORT: undefined,
  TRUSTED_PROXIES: [],
  // The scripted providers are here.
  PRIVATE_UPSTREAMS: parseAddressRanges('127.0.0.0/8, ::1/128'),
  MAX_BODY_BYTES: 1024 * 1024,
  MAX_HEADER_BYTES: 16 * 1024,
  MAX_CONNECTIONS: 1_000,
  RECEIVE_HEAD_TIMEOUT_MS: 10_000,
  RECEIVE_TIMEOUT_MS: 10_000,
  UPSTREAM_CONNECT_TIMEOUT_MS: 1_000,
  UPSTREAM_HEADERS_TIMEOUT_MS: 10_000,
  FIRST_TOKEN_TIMEOUT_MS: 60_000,
  IDLE_TIMEOUT_MS: 10_000,
  UPSTREAM_TOTAL_TIMEOUT_MS: 60_000,
  WARM_CONNECTIONS: 0,
  UPSTREAM_HTTP2: 'off',
  STREAM_COMMENT_INTERVAL_MS: 15_000,
  // Loading the tokenizer takes long where many tests run at once.
  ESTIMATE_TIMEOUT_MS: 25_000,
  BATCH_POLL_INTERVAL_MS: 50,
  REDIS_URL: undefined,
  IDEMPOTENCY_WINDOW_MS: 60_000,
  REPLAY_MAX_ANSWER_BYTES: 1e6,
  REPLAY_MAX_BYTES: 1e7,
};
