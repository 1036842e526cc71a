import type { ServerResponse } from 'node:http';

/** Writes texts and bytes to a response, whole or in pieces of a fixed number of bytes. */
export interface PieceWriter {
  /** Returns a promise only where there is something to wait for: back-pressure, or a gap between two pieces. */
  readonly write: (data: string | Buffer) => Promise<void> | undefined;
  /** Writes the bytes that were too few for a piece. */
  readonly flush: () => Promise<void> | undefined;
}

/**
 * With `split`, every piece has exactly that many bytes, wherever that cuts events, lines and characters; bytes too few
 * for a piece wait for the next text or for `flush`. Each piece is a write of its own, one turn of the loop apart.
 */
export function createPieceWriter(response: ServerResponse, split: number | undefined): PieceWriter {
  const send = (data: string | Buffer): Promise<void> | undefined => {
    if (response.destroyed || response.write(data)) return undefined;
    return drained(response);
  };
  if (split === undefined) return { write: send, flush: () => undefined };
  let rest: Buffer = Buffer.alloc(0);
  const sendPiece = async (piece: Buffer): Promise<void> => {
    await send(piece);
    await new Promise(setImmediate);
  };
  return {
    write: async (data) => {
      const bytes = Buffer.concat([rest, typeof data === 'string' ? Buffer.from(data) : data]);
      let at = 0;
      for (; bytes.length - at >= split && !response.destroyed; at += split) {
        await sendPiece(bytes.subarray(at, at + split));
      }
      rest = bytes.subarray(at);
    },
    flush: async () => {
      if (rest.length > 0) await sendPiece(rest);
      rest = Buffer.alloc(0);
    },
  };
}

/** Waits for `ms`, or for ever, but never longer than the caller stays. */
export function pause(response: ServerResponse, ms: number | 'forever'): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      response.off('close', done);
      resolve();
    };
    const timer = ms === 'forever' ? undefined : setTimeout(done, ms);
    response.once('close', done);
  });
}

/** Waits until all that was written has been handed to the system, or the caller is gone. */
export async function flushed(response: ServerResponse): Promise<void> {
  await new Promise(setImmediate);
  while (!response.destroyed && (response.socket?.writableLength ?? 0) > 0) await pause(response, 5);
}

/** Waits until the response takes more, or the caller is gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.once('drain', done);
    response.once('close', done);
  });
}
