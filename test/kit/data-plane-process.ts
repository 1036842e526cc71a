import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { waitFor } from './wait-for.js';

/** How a running process was started; Linux only. */
export interface ProcessStart {
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingFolder: string;
}

export function readProcessStart(pid: number, workingFolder: string): ProcessStart {
  const [, ...args] = split(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  const environment = Object.fromEntries(
    split(readFileSync(`/proc/${pid}/environ`, 'utf8')).map((each) => {
      const equals = each.indexOf('=');
      return [each.slice(0, equals), each.slice(equals + 1)];
    }),
  );
  // The launcher's channel to its child is none of ours.
  delete environment['NODE_CHANNEL_FD'];
  return { args, environment, workingFolder };
}

const split = (text: string): string[] => text.split('\0').filter((part) => part !== '');

/** Starts the same program again, without anybody who would replace it when it dies. */
export function startAgain({ args, environment, workingFolder }: ProcessStart): ChildProcess {
  return spawn(process.execPath, [...args], { cwd: workingFolder, env: environment, stdio: 'ignore' });
}

/** SIGTERM, and waits for its end. */
export async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** Resident memory, MiB; Linux only. */
export function residentMiB(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kilobytes) / 1024);
}

/** @param url of a data plane, without a path */
export async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** Waits until each data plane has the config of that sequence number, or a later one, in force. */
export async function awaitConfig(urls: readonly string[], seq: number, timeoutMs: number): Promise<void> {
  for (const url of urls) {
    const what = `config ${seq} at ${url}`;
    await waitFor(async () => (await configSeqOf(url)) >= seq, { timeoutMs, what, intervalMs: 50 });
  }
}

async function configSeqOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  return Number(/^pingtoken_config_seq (\d+)/m.exec(text)?.[1] ?? 0);
}
