/** What a schedule lays hands on. The provider simulator is not among them: its count is what all else is held against. */
export type ChaosPart = 'data plane 1' | 'data plane 2' | 'worker' | 'control plane' | 'PostgreSQL' | 'Redis';

/** `kill`: SIGKILL. `pause`: SIGSTOP, and SIGCONT after a while. `restart`: as an operator stops it, at its leisure. */
export type ChaosDeed = 'kill' | 'pause' | 'restart';

export interface ChaosFault {
  /** Since the beginning of the round, milliseconds. */
  readonly atMs: number;
  readonly deed: ChaosDeed;
  /** At the same moment. */
  readonly parts: readonly ChaosPart[];
  /** Of a pause; 0 of anything else. */
  readonly forMs: number;
}

const FAULTS = { least: 3, most: 6 };
const FIRST_WITHIN_MS = 600;
const GAP_MS = 1_500;
/** From a hiccup to longer than a job's lock, a lease request and a client's patience last. */
const PAUSES_MS = { least: 100, most: 7_000 };
/** Share of each deed; the rest are restarts. */
const KILLS = 0.55;
const PAUSES = 0.3;
/** Share of faults that take a second and a third part with the first. */
const TOGETHER = 0.35;

const PARTS: readonly ChaosPart[] = ['data plane 1', 'data plane 2', 'worker', 'control plane', 'PostgreSQL'];

/** Draws what happens in one round, in order of time; pauses overlap with whatever comes next. Pure: the same numbers, the same. */
export function drawSchedule(random: () => number, { redis }: { readonly redis: boolean }): readonly ChaosFault[] {
  const parts = redis ? [...PARTS, 'Redis' as const] : PARTS;
  const count = FAULTS.least + Math.floor(random() * (FAULTS.most - FAULTS.least + 1));
  let atMs = Math.floor(random() * FIRST_WITHIN_MS);
  return Array.from({ length: count }, () => {
    const fault = { atMs, ...drawDeed(random), parts: drawParts(random, parts) };
    atMs += Math.floor(random() * GAP_MS);
    return fault;
  });
}

function drawDeed(random: () => number): Pick<ChaosFault, 'deed' | 'forMs'> {
  const kind = random();
  const forMs = Math.floor(PAUSES_MS.least * (PAUSES_MS.most / PAUSES_MS.least) ** random());
  if (kind < KILLS) return { deed: 'kill', forMs: 0 };
  return kind < KILLS + PAUSES ? { deed: 'pause', forMs } : { deed: 'restart', forMs: 0 };
}

function drawParts(random: () => number, parts: readonly ChaosPart[]): ChaosPart[] {
  const left = [...parts];
  const drawn: ChaosPart[] = [];
  const count = random() < TOGETHER ? 2 + Math.floor(random() * 2) : 1;
  while (drawn.length < count) drawn.push(...left.splice(Math.floor(random() * left.length), 1));
  return drawn;
}

export function describeFault({ atMs, deed, parts, forMs }: ChaosFault): string {
  return `${atMs} ms: ${deed} ${parts.join(', ')}${forMs > 0 ? ` for ${forMs} ms` : ''}`;
}
