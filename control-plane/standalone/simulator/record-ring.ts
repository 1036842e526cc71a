import { MODELS, type ModelId, PATHS, type ProviderPath } from './models.js';
import type { TokenCount, UnitCount } from './tokens.js';

export interface CallStart {
  readonly requestId: string;
  readonly path: ProviderPath;
  readonly model: ModelId | null;
}

export interface CallEnd {
  readonly status: number;
  readonly outcome: Exclude<Outcome, 'open'>;
  readonly tokens: TokenCount;
  readonly units: UnitCount;
  readonly chunksSent: number;
  readonly usage: CallRecord['usage'];
}

/**
 * How a call ended. `completed`: the last byte of a 2xx answer was handed to the system. `aborted`: the caller hung up.
 * `error`: the answer was an error, by a fault or by a refusal, or an error event ended its stream. `died`: a fault
 * destroyed the socket. `open`: not ended.
 */
export const OUTCOMES = ['open', 'completed', 'aborted', 'error', 'died'] as const;
export type Outcome = (typeof OUTCOMES)[number];

const USAGES = ['none', 'reported', 'zero'] as const;

/** One call as `/served` shows it. Counts are 0 while it is open. `model` is null where the call named none that exists. */
export interface CallRecord {
  readonly requestId: string;
  readonly model: ModelId | null;
  readonly path: ProviderPath;
  /** The HTTP status; 0 while it is open, or if the head was never sent. */
  readonly status: number;
  readonly outcome: Outcome;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly reasoningTokens: number;
  readonly cacheWriteTokens: number;
  /** What was given beside tokens: whole images, begun seconds of audio heard, searches. */
  readonly images: number;
  readonly audioSeconds: number;
  readonly searches: number;
  /** Events handed over, `[DONE]` not counted; 0 for a plain answer. */
  readonly chunksSent: number;
  /** Whether the answer told its usage: not at all, truly, or as zeros. */
  readonly usage: (typeof USAGES)[number];
}

/** `callsOfId`: how many of the records kept have this id. */
export type RecordView = CallRecord & { readonly callsOfId: number };

const CELLS = 14;

/**
 * Keeps the latest `capacity` records as rows of numbers in one flat array: 56 bytes each, and their ids (128 characters
 * at most), so that 200,000 of them cost neither much memory nor garbage collection.
 */
export function createRecordRing(capacity: number) {
  const ids = new Array<string>(capacity).fill('');
  const cells = new Uint32Array(capacity * CELLS);
  const repeats = createRepeats();
  let next = 0;
  let first = 0;
  let firstEver = 0;
  const viewOf = (slot: number): RecordView => {
    const requestId = ids[slot] ?? '';
    const row = cells.subarray(slot * CELLS, (slot + 1) * CELLS);
    return { requestId, ...readRow(row), callsOfId: repeats.countOf(requestId) };
  };
  return {
    /** Adds a record, over the oldest if there is no room, and returns its number. Numbers only grow. */
    open: (start: CallStart): number => {
      const slot = next % capacity;
      if (next - first >= capacity) {
        repeats.remove(ids[slot] ?? '');
        first += 1;
      }
      ids[slot] = start.requestId;
      cells.fill(0, slot * CELLS, (slot + 1) * CELLS);
      cells.set([MODELS.findIndex(({ id }) => id === start.model) + 1, PATHS.indexOf(start.path)], slot * CELLS);
      repeats.add(start.requestId);
      next += 1;
      return next - 1;
    },
    /** Writes a call's end, if its record is still kept. */
    close: (call: number, end: CallEnd): void => {
      if (call >= first) cells.set(endCells(end), (call % capacity) * CELLS + 2);
    },
    records: function* (): Generator<RecordView> {
      const end = next;
      // Calls may arrive while the list is being read out: what they overwrite is skipped, not shown as something else.
      for (let call = first; call < end; call += 1) if (call >= first) yield viewOf(call % capacity);
    },
    summary: () => ({ ...repeats.summary(), keptRequests: next - first, droppedRequests: first - firstEver }),
    /** Forgets every record and returns the number that the next one will have. */
    clear: (): number => {
      ids.fill('');
      repeats.clear();
      first = next;
      firstEver = next;
      return next;
    },
  };
}

/** The cells of a row after its first two, which are the model and the path. */
function endCells({ status, outcome, usage, tokens, units, chunksSent }: CallEnd): number[] {
  const { prompt, completion, cached, reasoning, cacheWrite } = tokens;
  const { images, audioSeconds, searches } = units;
  const counts = [prompt, completion, cached, reasoning, chunksSent, cacheWrite, images, audioSeconds, searches];
  const told = USAGES.indexOf(usage);
  return [status, OUTCOMES.indexOf(outcome), told, ...counts];
}

function readRow(row: Uint32Array): Omit<CallRecord, 'requestId'> {
  const [model = 0, path = 0, status = 0, outcome = 0, usage = 0, ...counts] = row;
  const [promptTokens = 0, completionTokens = 0, cachedTokens = 0, reasoningTokens = 0, chunksSent = 0, ...others] =
    counts;
  const [cacheWriteTokens = 0, images = 0, audioSeconds = 0, searches = 0] = others;
  return {
    model: MODELS[model - 1]?.id ?? null,
    path: PATHS[path] ?? 'unknown',
    status,
    outcome: OUTCOMES[outcome] ?? 'open',
    promptTokens,
    completionTokens,
    cachedTokens,
    reasoningTokens,
    cacheWriteTokens,
    images,
    audioSeconds,
    searches,
    chunksSent,
    usage: USAGES[usage] ?? 'none',
  };
}

/** How often each id occurs. */
function createRepeats() {
  const counts = new Map<string, number>();
  const repeated = new Map<string, number>();
  const set = (id: string, count: number): void => {
    if (count > 0) counts.set(id, count);
    else counts.delete(id);
    if (count > 1) repeated.set(id, count);
    else repeated.delete(id);
  };
  return {
    add: (id: string) => {
      set(id, (counts.get(id) ?? 0) + 1);
    },
    remove: (id: string) => {
      set(id, (counts.get(id) ?? 0) - 1);
    },
    countOf: (id: string) => counts.get(id) ?? 0,
    summary: () => ({
      repeatedIdCount: repeated.size,
      repeatedIds: Object.fromEntries([...repeated].slice(0, 1000)),
    }),
    clear: () => {
      counts.clear();
      repeated.clear();
    },
  };
}
