import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeTemporaryFolder, type TemporaryFolder } from '../kit/temporary-folder.js';
import { projectFolder } from '../kit/distribution.js';
import type { LoadTool } from './options.js';
import { findProgram, lastJsonLine, runProgram } from './processes.js';

export interface Target {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What one window of load found. */
export interface Window {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly calls: number;
  /** Refused, cut, timed out, or answered with an error status. */
  readonly failed: number;
}

export interface Load {
  readonly tool: LoadTool;
  run(target: Target, options: { readonly connections: number; readonly seconds: number }): Promise<Window>;
}

/** Every connection sends its next call when it has the answer to the last one; one thread, so one core at most. */
export async function createLoad(
  wanted: LoadTool | undefined,
): Promise<{ readonly load: Load; readonly folder: TemporaryFolder }> {
  const folder = await makeTemporaryFolder('bench-load');
  const wrk = findProgram('wrk');
  if (wanted === 'wrk' && wrk === undefined) throw new Error('wrk was asked for and is not installed.');
  const load =
    wrk === undefined || wanted === 'autocannon' ? createAutocannon(folder.path) : createWrk(wrk, folder.path);
  return { load, folder };
}

const GRACE_MS = 30_000;

interface WrkResult {
  readonly calls: number;
  readonly durationUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly failed: number;
}

function createWrk(command: string, folder: string): Load {
  const script = join(folder, 'call.lua');
  return {
    tool: 'wrk',
    run: async ({ url, headers, body }, { connections, seconds }) => {
      await writeFile(script, wrkScript(headers, body));
      const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, url];
      const output = await runProgram(command, args, seconds * 1000 + GRACE_MS);
      const result = lastJsonLine(output) as WrkResult;
      return {
        perSecond: result.calls / (result.durationUs / 1e6),
        p50Ms: result.p50Us / 1000,
        p99Ms: result.p99Us / 1000,
        calls: result.calls,
        failed: result.failed,
      };
    },
  };
}

function wrkScript(headers: Readonly<Record<string, string>>, body: string): string {
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers[ ${luaText(name)} ] = ${luaText(value)}`);
  return `
    wrk.method = "POST"
    wrk.body = ${luaText(body)}
    ${lines.join('\n')}
    done = function(summary, latency)
      local e = summary.errors
      io.write(string.format('{"calls":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,"failed":%d}\\n', summary.requests,
        summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.timeout + e.status))
    end
  `;
}

const luaText = (text: string): string => `[==[${text}]==]`;

interface AutocannonResult {
  readonly requests: { readonly total: number };
  readonly duration: number;
  readonly latency: { readonly p50: number; readonly p99: number };
  readonly non2xx: number;
  readonly errors: number;
}

function createAutocannon(folder: string): Load {
  const script = join(projectFolder(), 'node_modules/autocannon/autocannon.js');
  return {
    tool: 'autocannon',
    run: async ({ url, headers, body }, { connections, seconds }) => {
      const input = join(folder, 'body.json');
      await writeFile(input, body);
      const flags = ['-m', 'POST', '-i', input, '-c', String(connections), '-d', String(seconds), '-j', '-n'];
      const headerFlags = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}=${value}`]);
      const output = await runProgram(
        process.execPath,
        [script, ...flags, ...headerFlags, url],
        seconds * 1000 + GRACE_MS,
      );
      await rm(input);
      const { requests, duration, latency, non2xx, errors } = lastJsonLine(output) as AutocannonResult;
      return {
        perSecond: requests.total / duration,
        p50Ms: latency.p50,
        p99Ms: latency.p99,
        calls: requests.total,
        failed: non2xx + errors,
      };
    },
  };
}
