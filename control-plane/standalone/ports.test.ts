import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createPortChooser } from './ports.js';

const host = '127.0.0.1';
const servers: Server[] = [];

function occupy(port = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    servers.push(server);
    // As a stranger would that is willing to share: that is "taken" all the same.
    server.listen({ host, port, reusePort: true }, () => {
      resolve((server.address() as { port: number }).port);
    });
  });
}

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

describe('a port', () => {
  it('that is taken is refused, naming it and the variable that changes it', async () => {
    const port = await occupy();
    await expect(
      createPortChooser()({ host, variable: 'DATA_PLANE_PORT', wanted: port, kept: undefined }),
    ).rejects.toThrow(`Port ${port} is taken: stop what uses it or set DATA_PLANE_PORT.`);
  });

  it('of the last start is kept when any will do, and another is taken when a stranger has it', async () => {
    const kept = await createPortChooser()({ host, variable: null, wanted: 0, kept: undefined });
    expect(await createPortChooser()({ host, variable: null, wanted: 0, kept })).toBe(kept);
    await occupy(kept);
    expect(await createPortChooser()({ host, variable: null, wanted: 0, kept })).not.toBe(kept);
  });

  it('is given to one service only', async () => {
    const choose = createPortChooser();
    const port = await choose({ host, variable: 'CONTROL_PLANE_PORT', wanted: 0, kept: undefined });
    expect(await choose({ host, variable: null, wanted: 0, kept: port })).not.toBe(port);
    await expect(choose({ host, variable: 'DATA_PLANE_PORT', wanted: port, kept: undefined })).rejects.toThrow(
      `DATA_PLANE_PORT and CONTROL_PLANE_PORT are both ${port}`,
    );
  });

  it('that is picked lies below those of outgoing connections', async () => {
    const port = await createPortChooser()({ host, variable: null, wanted: 0, kept: undefined });
    expect(port).toBeLessThan(32_768);
  });
});
