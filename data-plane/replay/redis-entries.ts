import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import {
  CLAIM_MS,
  ENTRY_OVERHEAD_BYTES,
  FINGERPRINT_BYTES,
  OWNER_BYTES,
  StoreUnavailableError,
  type Entry,
  type EntryClaim,
  type EntryStore,
} from './entry-store.js';

/** All keys of one slot, so that a cluster runs the scripts too. */
const PREFIX = '{pingtoken-replay}:';
const INDEX = `${PREFIX}index`;
const BYTES = `${PREFIX}bytes`;

/** The first byte of a value. */
const PENDING = 'P';
const KEPT = 'K';

/** KEYS: entry. ARGV: value of the claim, its time. Returns what stands there, nil where it is claimed now. */
const CLAIM = `
  local found = redis.call('GET', KEYS[1])
  if found then return found end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return false`;

const FIND = `return redis.call('GET', KEYS[1])`;

/** KEYS: entries. ARGV: time, then the head of each claim. */
const RENEW = `
  for index, key in ipairs(KEYS) do
    local head = ARGV[index + 1]
    if redis.call('GETRANGE', key, 0, #head - 1) == head then redis.call('PEXPIRE', key, ARGV[1]) end
  end`;

/**
 * KEYS: entry, index, bytes. ARGV: head of the claim, value, time, the most bytes of all, overhead. The index has each entry
 * by the instant of its end, as <bytes>:<key>; what ends soonest makes room.
 */
const KEEP = `
  local head = redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
  if head ~= '' and head ~= ARGV[1] then return 0 end
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local function forget(member)
    redis.call('ZREM', KEYS[2], member)
    return redis.call('DECRBY', KEYS[3], string.match(member, '^%d+'))
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 200)) do forget(member) end
  local size = #ARGV[2] + ARGV[5]
  redis.call('ZADD', KEYS[2], now + ARGV[3], string.format('%d:%s', size, KEYS[1]))
  local total = redis.call('INCRBY', KEYS[3], size)
  while total > tonumber(ARGV[4]) do
    local first = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
    if not first then redis.call('SET', KEYS[3], 0) break end
    redis.call('DEL', string.match(first, '^%d+:(.*)$'))
    total = forget(first)
  end
  return 1`;

/** KEYS: entry. ARGV: how its value begins. */
const REMOVE = `
  if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
  return 0`;

const TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 2_000;
/** After a failure nothing is asked for so long: no call waits for what did not answer the one before it. */
const PAUSE_MS = 1_000;
const RENEWED_AT_ONCE = 500;

export interface RedisEntriesOptions {
  /** `redis://…` or `rediss://…` */
  readonly url: string;
  /** Of all entries together, whoever keeps them. */
  readonly maxBytes: number;
  readonly logger: Pick<Logger, 'warn'>;
}

/** Entries that data planes share. What it cannot be asked within a quarter of a second goes on without it. */
export class RedisEntries implements EntryStore {
  readonly #options: RedisEntriesOptions;
  #redis: Redis | undefined;
  #isClosed = false;
  #pausedUntil = 0;

  constructor(options: RedisEntriesOptions) {
    this.#options = options;
    void this.#connect();
  }

  async claim(claim: EntryClaim): Promise<Entry | undefined> {
    const value = Buffer.concat([headOf(claim), claim.fingerprint]);
    const found = await this.#run(CLAIM, [claim.name], [value, String(CLAIM_MS)]);
    return Buffer.isBuffer(found) ? readEntry(found) : undefined;
  }

  async find(name: string): Promise<Entry | undefined> {
    const found = await this.#run(FIND, [name], []);
    return Buffer.isBuffer(found) ? readEntry(found) : undefined;
  }

  async renew(claims: readonly EntryClaim[]): Promise<void> {
    for (let at = 0; at < claims.length; at += RENEWED_AT_ONCE) {
      const some = claims.slice(at, at + RENEWED_AT_ONCE);
      await this.#run(
        RENEW,
        some.map(({ name }) => name),
        [String(CLAIM_MS), ...some.map(headOf)],
      );
    }
  }

  async keep(claim: EntryClaim, sealed: Buffer, ttlMs: number): Promise<void> {
    const value = Buffer.concat([Buffer.from(KEPT), claim.fingerprint, sealed]);
    const bounds = [String(this.#options.maxBytes), String(ENTRY_OVERHEAD_BYTES)];
    await this.#run(KEEP, [claim.name], [headOf(claim), value, String(ttlMs), ...bounds], [INDEX, BYTES]);
  }

  async release(claim: EntryClaim): Promise<void> {
    await this.#run(REMOVE, [claim.name], [headOf(claim)]);
  }

  async remove(name: string, fingerprint: Buffer): Promise<void> {
    await this.#run(REMOVE, [name], [Buffer.concat([Buffer.from(KEPT), fingerprint])]);
  }

  close(): void {
    this.#isClosed = true;
    this.#redis?.disconnect();
  }

  /** Loaded beside the start: it takes some 50 ms, and no call waits for it. */
  async #connect(): Promise<void> {
    const { Redis: Client } = await import('ioredis');
    const redis = new Client(this.#options.url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      // Nothing is sent twice: an answer that comes late is nobody's any more.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      commandTimeout: TIMEOUT_MS,
      retryStrategy: (times) => Math.min(times * 200, 5_000),
    });
    redis.on('error', (error: Error) => {
      this.#pause(error);
    });
    if (this.#isClosed) return;
    this.#redis = redis;
    // A failure is heard of by the listener above, and tried again.
    await redis.connect().catch(() => undefined);
  }

  async #run(
    script: string,
    names: readonly string[],
    values: readonly (string | Buffer)[],
    keys: readonly string[] = [],
  ): Promise<unknown> {
    const redis = this.#redis;
    if (redis?.status !== 'ready' || Date.now() < this.#pausedUntil) throw new StoreUnavailableError('not connected');
    const all = [...names.map((name) => PREFIX + name), ...keys];
    try {
      return await redis.callBuffer('EVAL', script, String(all.length), ...all, ...values);
    } catch (error) {
      this.#pause(error);
      throw new StoreUnavailableError(error);
    }
  }

  #pause(error: unknown): void {
    const now = Date.now();
    if (now >= this.#pausedUntil && !this.#isClosed) {
      this.#options.logger.warn({ reason: String(error) }, 'answers cannot be kept or found');
    }
    this.#pausedUntil = now + PAUSE_MS;
  }
}

function headOf({ owner }: EntryClaim): Buffer {
  return Buffer.concat([Buffer.from(PENDING), owner]);
}

function readEntry(value: Buffer): Entry | undefined {
  const isKept = value.toString('latin1', 0, 1) === KEPT;
  const start = 1 + (isKept ? 0 : OWNER_BYTES);
  const end = start + FINGERPRINT_BYTES;
  return { fingerprint: value.subarray(start, end), sealed: isKept ? value.subarray(end) : undefined };
}
