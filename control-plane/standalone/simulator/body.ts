import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** The most that is ever kept of a body for `/received`, bytes. */
export const KEPT_BODY_BYTES = 1024 * 1024;

/** A whole request body, as it came. */
export interface Body {
  /** The first bytes, at most the `keepBytes` that were asked for. */
  readonly bytes: Buffer;
  /** Bytes received, kept or not. */
  readonly length: number;
  /** Lower-case hex SHA-256 of all bytes, kept or not. */
  readonly sha256: () => string;
}

/**
 * Receives a body to its end and keeps its first `keepBytes` (at least `KEPT_BODY_BYTES`) in memory; the rest is
 * counted and hashed only. Resolves with undefined if the caller hung up before the end.
 */
export function readBody(request: IncomingMessage, keepBytes: number): Promise<Body | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let kept = 0;
    let length = 0;
    let hash: ReturnType<typeof createHash> | undefined;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      // A body that /received can show whole is hashed when asked for; only a longer one is hashed as it arrives.
      if (length > KEPT_BODY_BYTES) {
        hash ??= chunks.reduce((sum, earlier) => sum.update(earlier), createHash('sha256'));
        hash.update(chunk);
      }
      const room = keepBytes - kept;
      if (room <= 0) return;
      chunks.push(chunk.subarray(0, room));
      kept += Math.min(room, chunk.length);
    });
    request.once('end', () => {
      // A copy, for a chunk may be a slice of a much larger receive buffer which it would keep alive.
      const bytes = Buffer.concat(chunks);
      const digest = hash?.digest('hex');
      resolve({ bytes, length, sha256: () => digest ?? createHash('sha256').update(bytes).digest('hex') });
    });
    request.once('error', () => {
      resolve(undefined);
    });
    request.once('close', () => {
      resolve(undefined);
    });
  });
}

/** A text as if it had been received as a body. */
export function bodyOf(text: string): Body {
  const bytes = Buffer.from(text);
  return { bytes, length: bytes.length, sha256: () => createHash('sha256').update(bytes).digest('hex') };
}
