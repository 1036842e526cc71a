import { createHash, type KeyObject } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import {
  configEndSchema,
  configHeaderSchema,
  parseConfigLine,
  signedText,
  type ConfigEnd,
  type ConfigHeader,
  type ConfigLine,
  type ConfigPosition,
} from '@pingtoken/shared/config-snapshot';
import { nextChain, verify } from '@pingtoken/shared/crypto';
import { parseJson } from '@pingtoken/shared/wire';
import { readPlainObject } from './read-line.js';

/** A state and the head of the hash chain that led to it. */
export interface Standpoint {
  readonly position: ConfigPosition;
  readonly chain: string;
}

/** A signed object of a known kind that this release cannot read. */
export interface BrokenObject {
  readonly type: 'broken';
  readonly kind: string;
  readonly id: string;
  readonly reason: string;
}

export type Entry = ConfigLine | BrokenObject;

/** Why a document as a whole is not applied. Fault `base`: it starts elsewhere than where we stand, and only a snapshot helps. */
export class DocumentFault extends Error {
  constructor(
    readonly fault: 'base' | 'content',
    message: string,
    readonly object: { readonly kind: string; readonly id: string } | null = null,
  ) {
    super(message);
    this.name = 'DocumentFault';
  }
}

export interface VerifierOptions {
  readonly verifyKey: KeyObject;
  /** Documents for another data plane are refused: its content keys are not ours to open. */
  readonly dataPlaneId: string;
  /** Where a delta must start; undefined when a snapshot is expected. */
  readonly base: Standpoint | undefined;
}

/**
 * Checks one document as its lines come. Nothing that it returns may come into force before {@link finish} has returned:
 * only the end line proves that the lines are the sender's, all of them, in order, and on top of the base.
 */
export class DocumentVerifier {
  readonly #hash = createHash('sha256');
  readonly #options: VerifierOptions;
  #header: ConfigHeader | undefined;
  #count = 0;
  #lastSeq = 0;
  #chain: string | undefined;

  constructor(options: VerifierOptions) {
    this.#options = options;
    this.#chain = options.base?.chain;
    this.#lastSeq = options.base?.position.seq ?? 0;
  }

  /** @throws DocumentFault before the first line */
  get header(): ConfigHeader {
    if (this.#header === undefined) throw new DocumentFault('content', 'the document has no header');
    return this.#header;
  }

  /**
   * @param bytes whole lines with their newlines, the end line not among them
   * @throws DocumentFault
   */
  add(bytes: Uint8Array): Entry[] {
    this.#hash.update(bytes);
    const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').split('\n');
    lines.pop();
    const entries: Entry[] = [];
    for (const line of lines) {
      if (this.#header === undefined) this.#readHeader(line);
      else entries.push(this.#readObject(line));
    }
    return entries;
  }

  /** @throws DocumentFault when the document is not exactly what the control plane signed */
  finish(endLine: string): { readonly header: ConfigHeader; readonly end: ConfigEnd } {
    const header = this.header;
    const end = readOrRefuse(() => configEndSchema.parse(parseJson(endLine)), 'end line');
    if (end.count !== this.#count) {
      throw new DocumentFault('content', `${this.#count} objects where the end line says ${end.count}`);
    }
    if (end.digest !== this.#hash.digest('base64url')) throw new DocumentFault('content', 'the digest differs');
    // A snapshot leaves out what was superseded, so its chain cannot be computed again: it is taken as signed.
    if (this.#chain !== undefined && end.chain !== this.#chain) throw new DocumentFault('content', 'the chain differs');
    if (!verify(this.#options.verifyKey, signedText(end.digest, end.chain), end.signature)) {
      throw new DocumentFault('content', 'the signature is not of the control plane');
    }
    return { header, end };
  }

  #readHeader(line: string): void {
    const header = readOrRefuse(() => configHeaderSchema.parse(parseJson(line)), 'header');
    const { base, dataPlaneId } = this.#options;
    if (header.dataPlaneId !== dataPlaneId) throw new DocumentFault('content', 'made for another data plane');
    if ((header.base === null) !== (base === undefined)) {
      throw new DocumentFault(
        'content',
        base === undefined ? 'a delta where a snapshot was due' : 'a snapshot where a delta was due',
      );
    }
    if (header.base !== null && base !== undefined) {
      const { epoch, seq } = base.position;
      if (header.base.epoch !== epoch || header.base.seq !== seq || header.base.chain !== base.chain) {
        throw new DocumentFault(
          'base',
          `starts from ${header.base.epoch}.${header.base.seq}, we stand at ${epoch}.${seq}`,
        );
      }
      if (header.target.epoch !== epoch) throw new DocumentFault('content', 'a delta cannot change the epoch');
    }
    this.#header = header;
  }

  #readObject(line: string): Entry {
    this.#count += 1;
    if (this.#chain !== undefined) this.#chain = nextChain(this.#chain, line);
    const value = readOrRefuse(() => parseJson(line), `line ${this.#count}`);
    const plain = readPlainObject(value);
    if (plain !== undefined) {
      this.#demandOrder(plain);
      return { type: 'object', object: plain };
    }
    const head = readOrRefuse(() => headSchema.parse(value), `line ${this.#count}`);
    this.#demandOrder(head);
    return readObject(value, head);
  }

  /** Ascending order is part of the format: it makes a repeated object harmless and a moved one visible. */
  #demandOrder({ kind, id, seq }: { readonly kind: string; readonly id: string; readonly seq: number }): void {
    if (seq <= this.#lastSeq || seq > this.header.target.seq) {
      throw new DocumentFault('content', `seq ${seq} is out of order`, { kind, id });
    }
    this.#lastSeq = seq;
  }
}

function readObject(value: unknown, { kind, id }: { readonly kind: string; readonly id: string }): Entry {
  try {
    const entry = parseConfigLine(value);
    const isMember = entry.type === 'object' && entry.object.kind === 'member';
    if (isMember && entry.object.sealingKey.length !== SEALING_KEY_CHARACTERS) {
      return { type: 'broken', kind, id, reason: 'sealingKey: not 32 bytes' };
    }
    return entry;
  } catch (error) {
    return { type: 'broken', kind, id, reason: describe(error) };
  }
}

/** 32 bytes, base64url. */
const SEALING_KEY_CHARACTERS = 43;

const headSchema = z.looseObject({ kind: z.string(), id: z.uuid(), seq: z.int().positive() });

function readOrRefuse<Value>(read: () => Value, what: string): Value {
  try {
    return read();
  } catch (error) {
    throw new DocumentFault('content', `${what}: ${describe(error)}`);
  }
}

/** Names the field and what is wrong with it, never its value: a line may hold what is not for a log. */
function describe(error: unknown): string {
  if (error instanceof z.ZodError) {
    return error.issues
      .map((issue) => `${issue.path.join('.')}: ${issue.code}`)
      .join('; ')
      .slice(0, 500);
  }
  return 'not JSON';
}

/** A document's ends and the objects between them, checked. */
export interface VerifiedDocument {
  readonly header: ConfigHeader;
  readonly end: ConfigEnd;
  readonly entries: readonly Entry[];
}

/**
 * Feeds the last bytes of a document: object lines that are left, then the end line, with or without its newline.
 * @throws DocumentFault
 */
export function finishDocument(verifier: DocumentVerifier, rest: Buffer): VerifiedDocument {
  const endsAt = rest.at(-1) === NEWLINE ? rest.length - 1 : rest.length;
  const endLineAt = endsAt === 0 ? 0 : rest.lastIndexOf(NEWLINE, endsAt - 1) + 1;
  const entries = verifier.add(rest.subarray(0, endLineAt));
  return { ...verifier.finish(rest.toString('utf8', endLineAt, endsAt)), entries };
}

const PIECE_BYTES = 64 * 1024;

/**
 * Checks a delta in pieces of about a millisecond; the event loop is free between them.
 * @throws DocumentFault
 */
export async function verifyDelta(
  document: Buffer,
  options: VerifierOptions & { readonly base: Standpoint },
): Promise<VerifiedDocument> {
  const verifier = new DocumentVerifier(options);
  const entries: Entry[] = [];
  let rest = document;
  while (rest.length > 2 * PIECE_BYTES) {
    const newline = rest.lastIndexOf(NEWLINE, PIECE_BYTES);
    const pieceEnd = newline >= 0 ? newline + 1 : rest.indexOf(NEWLINE) + 1;
    if (pieceEnd === 0 || pieceEnd === rest.length) break;
    entries.push(...verifier.add(rest.subarray(0, pieceEnd)));
    rest = rest.subarray(pieceEnd);
    await setImmediate();
  }
  const last = finishDocument(verifier, rest);
  return { ...last, entries: [...entries, ...last.entries] };
}

/**
 * @returns the state that a document leads to; not verified
 * @throws DocumentFault
 */
export function targetOf(document: Buffer): ConfigPosition {
  const newline = document.indexOf(NEWLINE);
  const line = document.toString('utf8', 0, newline < 0 ? document.length : newline);
  return readOrRefuse(() => configHeaderSchema.parse(parseJson(line)), 'header').target;
}

/** Whether a state is at or behind another, so that a document which leads to it has nothing to tell. */
export function isAtOrBehind(position: ConfigPosition, other: ConfigPosition): boolean {
  return position.epoch < other.epoch || (position.epoch === other.epoch && position.seq <= other.seq);
}

export const NEWLINE = 10;
