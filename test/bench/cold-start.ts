import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cleanup } from './cleanup.js';
import { median } from './measure.js';
import type { Platform } from './platform.js';
import { endProcess, residentBytes } from './processes.js';
import { startSecondDataPlane } from './second-data-plane.js';

export interface ColdStart {
  readonly readyMs: readonly number[];
  readonly medianReadyMs: number;
  /** Some seconds after the start, with nothing to do. */
  readonly idleBytes: number;
  /** What it loads its config from: the last snapshot, and the changes since. */
  readonly onDiskBytes: { readonly snapshot: number; readonly deltas: number };
}

const STARTS = 5;
const IDLE_MS = 8_000;

/**
 * How soon a data plane serves when there is no control plane: that process is stopped, so that it takes connections and
 * answers nothing, which is harder on whoever dials it than a refusal.
 */
export async function measureColdStart(platform: Platform, cleanup: Cleanup): Promise<ColdStart> {
  const config = join(platform.distribution.home, 'data-plane-1/config');
  const { controlPlane } = platform.distribution.runtime.processes;
  const resume = (): void => {
    process.kill(controlPlane, 'SIGCONT');
  };
  process.kill(controlPlane, 'SIGSTOP');
  cleanup.add(resume);
  const onDiskBytes = {
    snapshot: await sizeOf(join(config, 'snapshot.ndjson')),
    deltas: await sizeOf(join(config, 'deltas.ndjson')),
  };
  const readyMs: number[] = [];
  let idleBytes = 0;
  for (let start = 0; start < STARTS; start += 1) {
    const dataPlane = await startSecondDataPlane(platform, { cleanup });
    readyMs.push(dataPlane.readyMs);
    if (start === STARTS - 1) {
      await sleep(IDLE_MS);
      idleBytes = residentBytes(dataPlane.pid);
    }
    await endProcess(dataPlane.child, 'SIGKILL');
  }
  resume();
  return { readyMs, medianReadyMs: median(readyMs), idleBytes, onDiskBytes };
}

async function sizeOf(path: string): Promise<number> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.size ?? 0;
}
