import { randomUUID } from 'node:crypto';
import {
  CHAIN_START,
  signedText,
  type ConfigObjectDraft,
  type ConfigPosition,
} from '@pingtoken/shared/config-snapshot';
import {
  createSealingPair,
  createSigningPair,
  createSymmetricKey,
  encrypt,
  nextChain,
  readSigningKey,
  seal,
  sha256,
  sign,
  type SealingPair,
} from '@pingtoken/shared/crypto';

type Deletion = { readonly kind: string; readonly id: string; readonly deleted: true };
/** What a test publishes: an object, a deletion, or anything else that a control plane should not. */
export type Draft =
  ConfigObjectDraft | Deletion | (Record<string, unknown> & { readonly kind: string; readonly id: string });

/** The identity of a data plane, as enrolment writes it. */
export interface TestIdentity {
  readonly id: string;
  readonly sealing: SealingPair;
  readonly file: Record<string, unknown>;
  readonly verifyKey: string;
}

export function createTestIdentity(): TestIdentity {
  const id = randomUUID();
  const sealing = createSealingPair();
  const signing = createSigningPair();
  const file = {
    id,
    region: 'test',
    signingKey: signing.privateKey,
    sealing: {
      publicKey: Buffer.from(sealing.publicKey).toString('base64url'),
      privateKey: Buffer.from(sealing.privateKey).toString('base64url'),
    },
  };
  return { id, sealing, file, verifyKey: signing.publicKey };
}

/** A control plane's side of the config contract: publishes objects and makes signed documents of them. */
export class ConfigJournal {
  readonly #signing = createSigningPair();
  readonly #signingKey = readSigningKey(this.#signing.privateKey);
  readonly #contentKey = createSymmetricKey();
  readonly contentKeyId = randomUUID();
  #lines: string[] = [];
  #chains: string[] = [CHAIN_START];
  #epoch = 1;

  /** Ed25519, SPKI, base64url. */
  get verifyKey(): string {
    return this.#signing.publicKey;
  }

  get position(): ConfigPosition {
    return { epoch: this.#epoch, seq: this.#lines.length };
  }

  get chain(): string {
    return this.chainAt(this.#lines.length);
  }

  publish(...drafts: readonly Draft[]): void {
    for (const draft of drafts) {
      const line = JSON.stringify({ ...draft, seq: this.#lines.length + 1 });
      this.#chains.push(nextChain(this.chain, line));
      this.#lines.push(line);
    }
  }

  /** As after a backup was restored. */
  startNewEpoch(...drafts: readonly Draft[]): void {
    this.#epoch += 1;
    this.#lines = [];
    this.#chains = [CHAIN_START];
    this.publish(...drafts);
  }

  sealSecret(credentialId: string, secret: string): string {
    return encrypt(this.#contentKey, secret, credentialId).toString('base64url');
  }

  delta(identity: TestIdentity, fromSeq: number, toSeq = this.#lines.length): string {
    const base = { epoch: this.#epoch, seq: fromSeq, chain: this.chainAt(fromSeq) };
    return this.#document({ identity, base, toSeq, lines: this.#lines.slice(fromSeq, toSeq) });
  }

  snapshot(identity: TestIdentity): string {
    const latest = new Map<string, string>();
    for (const line of this.#lines) {
      const { kind, id } = JSON.parse(line) as { kind: string; id: string };
      latest.delete(`${kind} ${id}`);
      latest.set(`${kind} ${id}`, line);
    }
    return this.#document({ identity, base: null, toSeq: this.#lines.length, lines: [...latest.values()] });
  }

  private chainAt(seq: number): string {
    return this.#chains[seq] ?? CHAIN_START;
  }

  #document({ identity, base, toSeq, lines }: DocumentParts): string {
    const header = {
      kind: 'header',
      format: 'pingtoken-config',
      version: 1,
      dataPlaneId: identity.id,
      base,
      target: { epoch: this.#epoch, seq: toSeq },
      issuedAt: Date.now(),
      contentKeys: [
        { id: this.contentKeyId, sealed: seal(identity.sealing.publicKey, this.#contentKey).toString('base64url') },
      ],
    };
    return this.signDocument([JSON.stringify(header), ...lines], this.chainAt(toSeq));
  }

  /** Ends and signs any lines, the header first. */
  signDocument(lines: readonly string[], chain: string): string {
    const body = `${lines.join('\n')}\n`;
    const digest = sha256(body);
    const signature = sign(this.#signingKey, signedText(digest, chain));
    return `${body}${JSON.stringify({ kind: 'end', count: lines.length - 1, digest, chain, signature })}\n`;
  }
}

interface DocumentParts {
  readonly identity: TestIdentity;
  readonly base: (ConfigPosition & { readonly chain: string }) | null;
  readonly toSeq: number;
  readonly lines: readonly string[];
}

/** As one server-sent event, one `data:` line for each line of the document. */
export function deltaEvent(document: string, position: ConfigPosition): string {
  const data = document
    .trimEnd()
    .split('\n')
    .map((line) => `data: ${line}\n`)
    .join('');
  return `event: delta\nid: ${position.epoch}.${position.seq}\n${data}\n`;
}
