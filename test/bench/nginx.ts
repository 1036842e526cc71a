import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeTemporaryFolder } from '../kit/temporary-folder.js';
import type { Cleanup } from './cleanup.js';
import { endProcess, findFreePort, startServer, type StartedServer } from './processes.js';

/**
 * One nginx with one worker process, on a port of its own, with all its files in a temporary folder.
 * @param serverBlock directives inside `server { … }`
 * @param httpBlock directives before it
 */
export async function startNginx(options: {
  readonly command: string;
  readonly serverBlock: string;
  readonly httpBlock?: string;
  readonly cleanup: Cleanup;
}): Promise<StartedServer> {
  const { command, serverBlock, httpBlock = '', cleanup } = options;
  const folder = await makeTemporaryFolder('bench-nginx');
  cleanup.add(() => folder.remove());
  const port = await findFreePort();
  const path = join(folder.path, 'nginx.conf');
  await writeFile(path, nginxConfig({ port, folder: folder.path, serverBlock, httpBlock }));
  const args = ['-e', join(folder.path, 'error.log'), '-p', folder.path, '-c', path];
  const server = await startServer({ command, args, url: `http://127.0.0.1:${port}` });
  cleanup.add(() => endProcess(server.child));
  return server;
}

function nginxConfig(parts: {
  readonly port: number;
  readonly folder: string;
  readonly serverBlock: string;
  readonly httpBlock: string;
}): string {
  const { port, folder, serverBlock, httpBlock } = parts;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(folder, name)};`,
  );
  return `
    daemon off;
    worker_processes 1;
    pid ${join(folder, 'nginx.pid')};
    events { worker_connections 2048; }
    http {
      access_log off;
      ${temporary.join('\n')}
      keepalive_requests 100000000;
      keepalive_timeout 75s;
      client_body_buffer_size 64k;
      tcp_nodelay on;
      ${httpBlock}
      server {
        listen 127.0.0.1:${port} backlog=1024;
        ${serverBlock}
      }
    }
  `;
}
