import { execFileSync, fork, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseJson } from '@pingtoken/shared/wire';

const STOP_MS = 3_000;
const START_MS = 20_000;

/** Looked for on the path, and where Debian keeps servers that are not on everybody's. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Ends a process that this one started: gently, then by force. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(late);
}

export interface StartedServer {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly url: string;
}

/** Starts a server of this folder in a process of its own; it says its address once it listens, and ends with this process. */
export async function startPeer(script: string, args: readonly string[]): Promise<StartedServer> {
  const path = fileURLToPath(new URL(`./peers/${script}.js`, import.meta.url));
  const child = fork(path, [...args], { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [message] = (await Promise.race([once(child, 'message'), ended(child, script)])) as [{ readonly url: string }];
  return { child, pid: pidOf(child, script), url: message.url };
}

/** Starts any server, and waits until something listens at its address. */
export async function startServer(options: {
  readonly command: string;
  readonly args: readonly string[];
  readonly url: string;
  readonly env?: NodeJS.ProcessEnv;
}): Promise<StartedServer> {
  const { command, args, url, env = process.env } = options;
  const child = spawn(command, [...args], { stdio: ['ignore', 'ignore', 'inherit'], env });
  await Promise.race([answers(url), ended(child, command)]);
  return { child, pid: pidOf(child, command), url };
}

async function answers(url: string): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      await (await fetch(url, { signal: AbortSignal.timeout(2_000) })).arrayBuffer();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

async function ended(child: ChildProcess, name: string): Promise<never> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  throw new Error(`${name} ended before it served (${signal ?? `exit code ${code ?? 'unknown'}`})`);
}

function pidOf(child: ChildProcess, name: string): number {
  if (child.pid === undefined) throw new Error(`${name} has no process`);
  return child.pid;
}

/** Resident memory of a process and all below it, in bytes. */
export function residentBytes(pid: number): number {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,rss='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const members = new Set([pid]);
  // A parent is not always listed before its child.
  for (let before = 0; before !== members.size;) {
    before = members.size;
    for (const [child = 0, parent = 0] of rows) if (members.has(parent)) members.add(child);
  }
  return rows.reduce((sum, [member = 0, , kilobytes = 0]) => sum + (members.has(member) ? kilobytes * 1024 : 0), 0);
}

const TICKS_A_SECOND = 100;

/** Processor time of a process and those directly below it, in milliseconds; undefined where there is no /proc. */
export function processorMs(pid: number): number | undefined {
  if (!existsSync(`/proc/${pid}/stat`)) return undefined;
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children].reduce((sum, member) => {
    // Fields are counted from behind the command's name, which may hold spaces: the 12th is utime, the 13th stime.
    const fields = readFileSync(`/proc/${member}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return sum + ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_A_SECOND;
  }, 0);
}

/** Runs a program to its end. @throws Error with what it printed when it fails */
export async function runProgram(command: string, args: readonly string[], timeoutMs: number): Promise<string> {
  const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${command} failed (${code ?? 'killed'}): ${output.stderr}${output.stdout}`);
  return output.stdout;
}

export function lastJsonLine(output: string): unknown {
  const line = output.split('\n').findLast((each) => each.startsWith('{'));
  if (line === undefined) throw new Error(`no result in: ${output}`);
  return parseJson(line);
}
