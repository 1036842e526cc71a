import type { Cleanup } from './cleanup.js';
import { startNginx } from './nginx.js';
import type { WorkloadName } from './options.js';
import { endProcess, findProgram, startPeer } from './processes.js';
import type { Upstream } from './upstream.js';
import { basePathOf, CHAT_PATH } from './workloads.js';

/** Somebody who carries a call to the upstream and its answer back, in processes of its own. */
export interface Contender {
  readonly name: ContenderName;
  start(): Promise<RunningContender>;
}

export type ContenderName =
  | 'upstream directly'
  | 'nginx proxy'
  | 'Express + undici'
  | 'Express + http-proxy-middleware'
  | 'Portkey'
  | 'PingToken'
  /** The same words as a stream that is not translated, in turn with one that is. */
  | 'PingToken, relayed';

export interface RunningContender {
  readonly name: ContenderName;
  readonly pid: number;
  /** Where a call of this workload is sent, and what it must carry besides its body. */
  addressOf(workload: WorkloadName): { readonly url: string; readonly headers: Readonly<Record<string, string>> };
  /** Runs before each window and after it; not part of it. */
  readonly before?: () => Promise<void> | void;
  readonly after?: () => Promise<void>;
}

export interface ContenderSettings {
  readonly upstream: Upstream;
  readonly workloads: readonly WorkloadName[];
  readonly cleanup: Cleanup;
}

export const JSON_HEADERS = { 'content-type': 'application/json', authorization: 'Bearer sk-bench-upstream' };

/** The path at contenders that change nothing of it. */
const pathOf = (workload: WorkloadName): string => basePathOf(workload) + CHAT_PATH;

/** Everyone but PingToken and the gateways that are installed on demand. */
export function plainContenders(settings: ContenderSettings): Contender[] {
  const nginx = findProgram('nginx');
  return [
    direct(settings),
    ...(nginx === undefined ? [] : [nginxProxy(nginx, settings)]),
    nodePeer('Express + undici', 'express-undici', settings),
    nodePeer('Express + http-proxy-middleware', 'express-proxy', settings),
  ];
}

function direct({ upstream }: ContenderSettings): Contender {
  const name = 'upstream directly';
  return {
    name,
    start: () =>
      Promise.resolve({
        name,
        pid: upstream.pid,
        addressOf: (workload) => ({ url: upstream.originOf(workload) + pathOf(workload), headers: JSON_HEADERS }),
      }),
  };
}

function nodePeer(name: ContenderName, script: string, settings: ContenderSettings): Contender {
  const { upstream, workloads, cleanup } = settings;
  return {
    name,
    start: async () => {
      const { child, pid, url } = await startPeer(
        script,
        workloads.map((workload) => `${workload}=${upstream.originOf(workload)}`),
      );
      cleanup.add(() => endProcess(child));
      return { name, pid, addressOf: (workload) => ({ url: url + pathOf(workload), headers: JSON_HEADERS }) };
    },
  };
}

function nginxProxy(command: string, { upstream, workloads, cleanup }: ContenderSettings): Contender {
  const name = 'nginx proxy';
  return {
    name,
    start: async () => {
      const upstreams = workloads.map(
        (workload) => `upstream ${workload} { server ${new URL(upstream.originOf(workload)).host}; keepalive 256; }`,
      );
      const locations = workloads.map(
        (workload) => `location ${basePathOf(workload)}/ {
          proxy_pass http://${workload};
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_buffering off;
        }`,
      );
      const { pid, url } = await startNginx({
        command,
        httpBlock: upstreams.join('\n'),
        serverBlock: locations.join('\n'),
        cleanup,
      });
      return { name, pid, addressOf: (workload) => ({ url: url + pathOf(workload), headers: JSON_HEADERS }) };
    },
  };
}
