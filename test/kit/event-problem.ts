import type { Attempt } from '@pingtoken/shared/usage-event';
import { exactPrice, type PriceList } from './exact-price.js';
import type { SeenCall } from './load.js';
import type { ServedCall } from './simulator-books.js';

/** A data plane's death, as the test saw to it. */
export interface DataPlaneKill {
  readonly dataPlaneId: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** For how long it may still take calls: it was only told to stop. Default 0. */
  readonly drainsForMs?: number;
}

/** A call as the control plane keeps it. */
export interface EventRow {
  readonly id: string;
  readonly kind: string;
  readonly outcome: string;
  readonly model: string;
  /** Of the attempt that is billed. */
  readonly usage: Readonly<Record<string, number>>;
  readonly counted_by: Attempt['countedBy'];
  readonly attempts: readonly Attempt[];
  readonly amount: string;
  readonly data_plane_id: string | null;
  readonly spool_id: string;
  readonly admitted_at: Date;
}

export interface EventFacts {
  readonly served: (providerId: string) => ServedCall | undefined;
  /** How many simulators have seen the call. */
  readonly times: number;
  /** Undefined where its caller never learned its id. */
  readonly seen: SeenCall | undefined;
  readonly prices: PriceList;
  readonly kills: readonly DataPlaneKill[];
}

/**
 * How far the tokenizer's count of a text may be from the simulator's, which counts four bytes of a prompt as a token and a
 * word of an answer, of which some have letters that are tokens of their own. Beside that factor, what a message, its role
 * and the answer's beginning add, and digits.
 */
const TIMES = 2;
const BESIDE = 16;

/** @returns what is wrong with an event, by what caller and providers say of the call; undefined where nothing is */
export function findEventProblem(event: EventRow, facts: EventFacts): string | undefined {
  if (event.kind === 'interrupted' && event.outcome !== 'interrupted') return 'kind and outcome contradict each other';
  if (event.outcome === 'interrupted') return findInterruptionProblem(event, facts);
  return findAttemptProblem(event, facts) ?? findCountProblem(event, facts);
}

const isCounted = ({ usage }: Pick<EventRow, 'usage'>): boolean => Object.keys(usage).length > 0;

function findInterruptionProblem(event: EventRow, { kills }: EventFacts): string | undefined {
  if (isCounted(event) || event.amount !== '0') return 'something is billed';
  const death = findDeath(event, kills);
  if (death === undefined) return 'its data plane was not killed while it was open';
  // Only who is told to stop can say so himself.
  const isOwnWord = event.kind === 'usage';
  return isOwnWord && death.drainsForMs === undefined ? 'a process that was killed has written its end' : undefined;
}

/** @returns the end of the process whose spool the event is from, where that was not over when the call was admitted */
function findDeath(event: EventRow, kills: readonly DataPlaneKill[]): DataPlaneKill | undefined {
  const startedAt = startOf(event.spool_id);
  const [death] = kills
    .filter(({ dataPlaneId, at }) => dataPlaneId === event.data_plane_id && at >= startedAt)
    .toSorted((one, other) => one.at - other.at);
  if (death === undefined) return undefined;
  return event.admitted_at.getTime() <= death.at + (death.drainsForMs ?? 0) ? death : undefined;
}

/** A spool is of one process, and its id is a UUIDv7 of that process's start. */
const startOf = (spoolId: string): number => Number.parseInt(spoolId.replaceAll('-', '').slice(0, 12), 16);

/** Each attempt that was answered is in its provider's books with that answer, and no call is there that is no attempt. */
function findAttemptProblem({ attempts, outcome }: EventRow, { served, times }: EventFacts): string | undefined {
  const providers = new Set(attempts.map(({ providerId }) => providerId));
  if (providers.size !== attempts.length) return 'a provider was tried twice';
  const records = attempts.map(({ providerId }) => served(providerId));
  if (records.filter((record) => record !== undefined).length !== times) return 'a provider was tried in secret';
  for (const [index, { status }] of attempts.entries()) {
    const record = records[index];
    if (status !== null && record === undefined) return `attempt ${index} was answered ${status}, and never served`;
    if (status !== null && record?.status !== status) return `attempt ${index}: ${status}, served ${record?.status}`;
  }
  for (const [index, attempt] of attempts.slice(0, -1).entries()) {
    const problem = findVainProblem(attempt, records[index]);
    if (problem !== undefined) return `attempt ${index} ${problem}`;
  }
  const last = records.at(-1);
  if (outcome === 'completed' && last?.outcome !== 'completed') {
    return `at the provider it was ${last?.outcome ?? 'never seen'}`;
  }
  return undefined;
}

/** What goes out of a stream before it says anything: its caller has been given nothing then. */
const OPENING_EVENTS = 1;

/**
 * An attempt that another one has taken the place of has failed, and is not counted, or was cancelled because the other one was
 * quicker, and is counted as far as its provider was asked; it had given its caller nothing.
 */
function findVainProblem({ status, usage, countedBy }: Attempt, record: ServedCall | undefined): string | undefined {
  if (countedBy === 'none') {
    if (isCounted({ usage })) return 'is counted by nobody';
    const hadBegun = status === 200 && (record?.chunksSent ?? 0) > OPENING_EVENTS;
    return hadBegun ? 'had begun to answer, and another was made' : undefined;
  }
  const { promptTokens, completionTokens } = asServed(usage);
  if (completionTokens > 0) return 'is counted for an answer that nobody was given';
  // One that was cancelled on its way there is unknown to the provider.
  if (record === undefined || countedBy === 'provider') return undefined;
  return isNear(promptTokens, record.promptTokens) && isNear(record.promptTokens, promptTokens)
    ? undefined
    : `is taken to have read ${promptTokens} tokens, and its provider says ${record.promptTokens}`;
}

const isNear = (count: number, told: number): boolean => count <= told * TIMES + BESIDE;

function findCountProblem(event: EventRow, facts: EventFacts): string | undefined {
  const { usage, amount, outcome } = event;
  const attempt = event.attempts.at(-1);
  if (!isCounted(event)) {
    if (outcome === 'completed') return 'nothing is counted';
    // What a provider breaks off is nobody's to pay.
    const words = outcome === 'caller-left' ? (facts.seen?.wordsSeen ?? 0) : 0;
    if (words > 0) return `${words} words were delivered and nothing is counted`;
    return amount === '0' ? undefined : `nothing is counted and ${amount} billed`;
  }
  const served = attempt === undefined ? undefined : facts.served(attempt.providerId);
  if (served === undefined) return 'counted, and never served';
  const problem =
    event.counted_by === 'estimated' ? strays(usage, served, facts.seen) : differs(event, served, facts.seen);
  if (problem !== undefined) return problem;
  const price = exactPrice(facts.prices, asServed(usage));
  return amount === String(price) ? undefined : `costs ${amount} and should cost ${price}`;
}

function asServed({ input = 0, output = 0, cacheRead = 0, reasoning = 0, audioInput = 0 }: EventRow['usage']) {
  return {
    promptTokens: input + cacheRead + audioInput,
    completionTokens: output + reasoning,
    cachedTokens: cacheRead,
    reasoningTokens: reasoning,
    audioTokens: audioInput,
  };
}

/**
 * What the provider counted is what it served, token for token. Of a call that its caller has left it is what the provider had
 * said by then, as Gemini does in every event: no less than what the caller has seen, and no more than what was given.
 */
function differs({ usage, outcome }: EventRow, served: ServedCall, seen: SeenCall | undefined): string | undefined {
  const told = asServed(usage);
  if (outcome === 'caller-left' && told.promptTokens === served.promptTokens) {
    const isBetween =
      told.completionTokens >= (seen?.wordsSeen ?? 0) && told.completionTokens <= served.completionTokens;
    if (isBetween && told.cachedTokens === served.cachedTokens) return undefined;
  }
  const names = ['promptTokens', 'completionTokens', 'cachedTokens', 'reasoningTokens'] as const;
  if (names.every((name) => told[name] === served[name])) return undefined;
  const list = (counts: Pick<ServedCall, (typeof names)[number]>): string =>
    names.map((name) => counts[name]).join(' ');
  return `counts ${list(told)}, the provider ${list(served)}`;
}

/** What was counted here is no less than what the caller has seen, and about what the provider gave. */
function strays(usage: EventRow['usage'], served: ServedCall, seen: SeenCall | undefined): string | undefined {
  if (served.outcome === 'completed' && served.usage === 'reported') {
    // The rest of an answer whose caller had left may have been on its way.
    if (seen === undefined || seen.result === 'complete') return 'estimated, and the provider had reported';
  }
  const { promptTokens, completionTokens } = asServed(usage);
  if (!isNear(promptTokens, served.promptTokens) || !isNear(served.promptTokens, promptTokens)) {
    return `estimates a prompt of ${promptTokens} tokens, the provider has ${served.promptTokens}`;
  }
  if (!isNear(completionTokens, served.completionTokens)) {
    return `estimates ${completionTokens} tokens of an answer, the provider gave ${served.completionTokens}`;
  }
  const words = seen?.wordsSeen ?? 0;
  return completionTokens < words ? `estimates ${completionTokens} tokens, and ${words} words were seen` : undefined;
}
