import { open } from 'node:fs/promises';
import type { SealingPair } from '@pingtoken/shared/crypto';
import { createConfigState, type ConfigState } from './config-state.js';
import { DocumentFault, DocumentVerifier, NEWLINE, finishDocument, type VerifierOptions } from './verify.js';

/** One piece is read, verified, parsed and applied in one go: some 300 lines, which take about a millisecond. */
const PIECE_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 16 * 1024 * 1024;

export interface LoadSnapshotOptions extends Omit<VerifierOptions, 'base'> {
  readonly path: string;
  readonly sealing: SealingPair;
  readonly previous: ConfigState | undefined;
}

/**
 * Builds a state from a snapshot file, in pieces that leave the event loop free between them.
 * @returns the state, verified, for the caller to bring into force by swapping one reference
 * @throws DocumentFault when the file is not exactly what the control plane signed for this data plane
 */
export async function loadSnapshot(options: LoadSnapshotOptions): Promise<ConfigState> {
  const state = createConfigState({ sealing: options.sealing, previous: options.previous });
  const verifier = new DocumentVerifier({ ...options, base: undefined });
  const file = await open(options.path, 'r');
  try {
    let rest: Buffer = Buffer.alloc(0);
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, PIECE_BYTES);
      if (bytesRead === 0) break;
      const bytes = Buffer.concat([rest, piece.subarray(0, bytesRead)]);
      const wholeLinesEnd = endOfLastLineButOne(bytes);
      for (const entry of verifier.add(bytes.subarray(0, wholeLinesEnd))) state.apply(entry);
      rest = bytes.subarray(wholeLinesEnd);
      if (rest.length > MAX_LINE_BYTES) throw new DocumentFault('content', 'a line is too long');
    }
    const { header, end, entries } = finishDocument(verifier, rest);
    for (const entry of entries) state.apply(entry);
    state.commit(header, end.chain);
    return state;
  } finally {
    await file.close();
  }
}

/** The last whole line may be the end line, which is no object and not under the digest: it is held back. */
function endOfLastLineButOne(bytes: Buffer): number {
  const lastNewline = bytes.lastIndexOf(NEWLINE);
  return lastNewline <= 0 ? 0 : bytes.lastIndexOf(NEWLINE, lastNewline - 1) + 1;
}
