import type { Cleanup } from './cleanup.js';
import { startNginx } from './nginx.js';
import type { WorkloadName } from './options.js';
import { endProcess, findProgram, startPeer } from './processes.js';
import { basePathOf, WORKLOADS, type Workload } from './workloads.js';

export interface Upstream {
  readonly title: string;
  readonly pid: number;
  /** Address of the server that serves a workload, without a path. */
  originOf(workload: WorkloadName): string;
}

/** What stands for the provider: always the same answer, as fast as can be. */
export async function startUpstream(workloads: readonly WorkloadName[], cleanup: Cleanup): Promise<Upstream> {
  const command = findProgram('nginx');
  const node =
    command === undefined || workloads.includes('paced') ? await startPeer('static-upstream', []) : undefined;
  if (node !== undefined) cleanup.add(() => endProcess(node.child));
  if (command === undefined) {
    if (node === undefined) throw new Error('there is no upstream');
    return { title: 'a bare Node server (no nginx found)', pid: node.pid, originOf: () => node.url };
  }
  const locations = workloads.filter((name) => name !== 'paced').map((name) => nginxLocation(WORKLOADS[name]));
  const nginx = await startNginx({ command, serverBlock: locations.join('\n'), cleanup });
  return {
    title: `nginx, one worker${node === undefined ? '' : '; for the paced stream a bare Node server'}`,
    pid: nginx.pid,
    originOf: (workload) => (workload === 'paced' && node !== undefined ? node.url : nginx.url),
  };
}

/** A word of nginx's configuration has at most 4,096 characters, so a longer body is put together from variables. */
const MAX_WORD = 3_000;

function nginxLocation({ name, providerPath, answer: { contentType, body } }: Workload): string {
  if (/['\\$]/.test(body)) throw new Error('the answer holds a character that means something to nginx');
  const pieces = body.match(new RegExp(`[^]{1,${MAX_WORD}}`, 'g')) ?? [];
  const variable = name.replaceAll('-', '_');
  const variables = pieces.map((piece, index) => `set $${variable}_${index} '${piece}';`);
  const value = pieces.map((_, index) => `\${${variable}_${index}}`).join('');
  return `location = ${basePathOf(name)}${providerPath} {
    default_type ${contentType};
    ${variables.join('\n')}
    return 200 "${value}";
  }`;
}
