import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Telling one's own processes from strangers. A process id alone is no proof: the system gives it to somebody else later.
 * Linux is asked through /proc, every other system through `ps`.
 */
const IS_LINUX = process.platform === 'linux';

/** Names one process for good (which boot, when started), or null when none that runs has the id. */
export function processIdentity(pid: number): string | null {
  if (!IS_LINUX) return ps(pid, 'lstart=');
  const status = read(`/proc/${pid}/stat`);
  if (status === null) return null;
  // The name, in parentheses, may hold anything; the fields that follow are state, parent, …, start time (field 22).
  const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
  // A zombie has ended and only waits for its parent; where nobody reaps, as in many containers, it stays for ever.
  if (fields[0] === 'Z' || fields[0] === 'X') return null;
  return `${read('/proc/sys/kernel/random/boot_id')?.trim() ?? ''} ${fields[19] ?? ''}`;
}

/** The command line, its arguments apart by spaces, or null. */
export function commandLine(pid: number): string | null {
  if (!IS_LINUX) return ps(pid, 'command=');
  const text = read(`/proc/${pid}/cmdline`);
  return text === null || text === '' ? null : text.split('\0').join(' ').trimEnd();
}

/**
 * Ends a process that is known to be ours: each signal in turn, with time to obey, and SIGKILL at last.
 * @returns once the process is gone
 */
export async function endProcess(pid: number, signals: readonly NodeJS.Signals[], graceMs: number): Promise<void> {
  const identity = processIdentity(pid);
  if (identity === null) return;
  for (const signal of [...signals, 'SIGKILL'] as const) {
    if (!send(pid, signal)) return;
    const deadline = Date.now() + graceMs;
    while (Date.now() < deadline) {
      if (processIdentity(pid) !== identity) return;
      await sleep(20);
    }
  }
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function ps(pid: number, column: string): string | null {
  try {
    const [state = 'Z', ...rest] = execFileSync('/bin/ps', ['-o', `stat=,${column}`, '-p', String(pid)], {
      encoding: 'utf8',
    })
      .trim()
      .split(/\s+/);
    return state.startsWith('Z') ? null : rest.join(' ');
  } catch {
    return null;
  }
}
