import { createHash } from 'node:crypto';
import { createServer, connect, type Server } from 'node:net';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * One living owner of a state folder. The lock is a listening Unix socket: the system gives it up with its process, however
 * that one ended, so that a kill -9 leaves nothing that must be waited out. The socket's file lies in the folder, or, where
 * that path is longer than a socket's may be (about 100 bytes), in the temporary folder under a name derived from it.
 */
export class StateLock {
  private constructor(private readonly server: Server) {}

  /** @returns the lock, or null while another living process holds it. */
  static async acquire(folder: string): Promise<StateLock | null> {
    const path = socketPath(folder);
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const server = await listen(path);
      if (server !== null) return new StateLock(server);
      if (await isAlive(path)) return null;
      await rm(path, { force: true });
    }
    return null;
  }

  release(): Promise<void> {
    return new Promise((resolve) => {
      this.server.close(() => {
        resolve();
      });
    });
  }
}

const MAX_SOCKET_PATH_BYTES = 100;

function socketPath(folder: string): string {
  const inside = join(folder, 'lock');
  if (Buffer.byteLength(inside) <= MAX_SOCKET_PATH_BYTES) return inside;
  return join(tmpdir(), `pingtoken-${createHash('sha256').update(folder).digest('hex').slice(0, 32)}.lock`);
}

function listen(path: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // Anything but a refusal, a lack of permission say, is somebody's socket all the same.
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}
