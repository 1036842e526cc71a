import { MODELS, type ModelId, PATHS } from './models.js';
import { createRecordRing, OUTCOMES, type CallEnd, type CallStart, type RecordView } from './record-ring.js';

/** What was used by calls, by kind. */
interface UseTotals {
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  cacheWriteTokens: number;
  images: number;
  audioSeconds: number;
  searches: number;
}

/** What was counted for one model. Its own counts of use are of completed calls only; `cutOff` is of all others. */
export interface ModelTotals extends UseTotals {
  calls: number;
  completed: number;
  aborted: number;
  errors: number;
  died: number;
  /** Of calls that were aborted, died or failed inside their stream: the prompt, and what was handed over. */
  cutOff: UseTotals;
}

/** What `GET /served` answers, the list of requests apart. `calls` is the sum of the five numbers that follow it. */
export interface ServedSummary {
  readonly calls: number;
  readonly completed: number;
  readonly aborted: number;
  readonly errors: number;
  readonly died: number;
  readonly inFlight: number;
  readonly models: Record<string, ModelTotals>;
  readonly paths: Record<string, number>;
  /** Ids that were served more than once, among the records kept; at most 1000 of them are named. */
  readonly repeatedIdCount: number;
  readonly repeatedIds: Record<string, number>;
  readonly keptRequests: number;
  /** Records that gave way to later ones. The totals above include them. */
  readonly droppedRequests: number;
}

/** The simulator's own books, kept without a word from whoever calls it. */
export interface Served {
  /** Counts a call, before its answer goes out. The number names it to `end`. */
  readonly begin: (start: CallStart) => number;
  /** Completes a call, once. Without effect on a call that began before the last `clear`. */
  readonly end: (call: number, start: CallStart, end: CallEnd) => void;
  readonly summary: () => ServedSummary;
  /** The records kept, oldest first. */
  readonly records: () => Generator<RecordView>;
  readonly clear: () => void;
}

/** Counts for ever, and keeps the records of the latest `keep` calls (default 200,000: some 30 MB at most). */
export function createServed({ keep = 200_000 } = {}): Served {
  const ring = createRecordRing(keep);
  let totals = createTotals();
  let firstOfTotals = 0;
  return {
    begin: (start) => {
      totals.outcomes.open += 1;
      totals.paths[start.path] += 1;
      if (start.model) totals.models[start.model].calls += 1;
      return ring.open(start);
    },
    end: (call, start, end) => {
      if (call < firstOfTotals) return;
      ring.close(call, end);
      totals.outcomes.open -= 1;
      totals.outcomes[end.outcome] += 1;
      if (start.model) addToModel(totals.models[start.model], end);
    },
    summary: () => {
      const { open, error, ...others } = totals.outcomes;
      const calls = Object.values(totals.outcomes).reduce((sum, each) => sum + each, 0);
      const { models, paths } = totals;
      return { calls, ...others, errors: error, inFlight: open, models, paths, ...ring.summary() };
    },
    records: () => ring.records(),
    clear: () => {
      firstOfTotals = ring.clear();
      totals = createTotals();
    },
  };
}

const USE = [
  'promptTokens',
  'completionTokens',
  'cachedTokens',
  'reasoningTokens',
  'cacheWriteTokens',
  'images',
  'audioSeconds',
  'searches',
] as const;

function createTotals() {
  const zeros = <K extends string>(names: readonly K[]) =>
    Object.fromEntries(names.map((name) => [name, 0])) as Record<K, number>;
  const use = (): UseTotals => zeros(USE);
  const model = (): ModelTotals => {
    return { calls: 0, completed: 0, aborted: 0, errors: 0, died: 0, ...use(), cutOff: use() };
  };
  const models = Object.fromEntries(MODELS.map(({ id }) => [id, model()])) as Record<ModelId, ModelTotals>;
  return { outcomes: zeros(OUTCOMES), paths: zeros(PATHS), models };
}

function addToModel(model: ModelTotals, { outcome, tokens, units }: CallEnd): void {
  model[outcome === 'error' ? 'errors' : outcome] += 1;
  const sum = outcome === 'completed' ? model : model.cutOff;
  sum.promptTokens += tokens.prompt;
  sum.completionTokens += tokens.completion;
  sum.cachedTokens += tokens.cached;
  sum.reasoningTokens += tokens.reasoning;
  sum.cacheWriteTokens += tokens.cacheWrite;
  sum.images += units.images;
  sum.audioSeconds += units.audioSeconds;
  sum.searches += units.searches;
}
