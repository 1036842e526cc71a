import { createHash, type KeyObject } from 'node:crypto';
import { sign } from '@pingtoken/shared/crypto';
import { signedText, type ConfigEnd, type ConfigHeader } from '@pingtoken/shared/config-snapshot';

/** Writes one document of the config contract, line by line, without ever holding it whole. */
export interface ConfigDocument {
  /** The header line, with its newline. */
  readonly head: string;
  /** An object line as it was published, with its newline. */
  line(objectLine: string): string;
  /** The end line, with its newline: count, digest and signature of all that was written. */
  end(chain: string): string;
}

export function createConfigDocument(header: ConfigHeader, signingKey: KeyObject): ConfigDocument {
  const digest = createHash('sha256');
  let count = 0;
  const emit = (text: string): string => {
    const line = `${text}\n`;
    digest.update(line);
    return line;
  };
  return {
    head: emit(JSON.stringify(header)),
    line(objectLine) {
      count += 1;
      return emit(objectLine);
    },
    end(chain) {
      const digestText = digest.digest('base64url');
      const signature = sign(signingKey, signedText(digestText, chain));
      const end: ConfigEnd = { kind: 'end', count, digest: digestText, chain, signature };
      return `${JSON.stringify(end)}\n`;
    },
  };
}
