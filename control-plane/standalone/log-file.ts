import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

const DEFAULT_MAX_BYTES = 8 * 1024 * 1024;

/** A log that never grows beyond twice its bound: a full file becomes `<path>.1` in place of the one before it. */
export interface LogFile {
  readonly path: string;
  write(bytes: Uint8Array): void;
}

/** Appends, mode 0600. A disk that is full loses log lines and stops nothing. */
export function openLogFile(path: string, maxBytes = DEFAULT_MAX_BYTES): LogFile {
  let descriptor = openSync(path, 'a', 0o600);
  let size = fstatSync(descriptor).size;
  const rotate = () => {
    closeSync(descriptor);
    renameSync(path, `${path}.1`);
    descriptor = openSync(path, 'a', 0o600);
    size = 0;
  };
  return {
    path,
    write: (bytes) => {
      try {
        if (size > 0 && size + bytes.length > maxBytes) rotate();
        size += writeSync(descriptor, bytes);
      } catch {
        // No room, most likely. The processes that write the log must not die of it.
      }
    },
  };
}
