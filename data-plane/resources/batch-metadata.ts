import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import { batchSubmissionSchema, type BatchSubmission } from './batch-submission.js';
import type { IdSealer } from './sealed-id.js';

/**
 * What a provider keeps as the metadata of a batch: our tag in clear, by which a list is filtered, and everything else as one
 * sealed text, in pieces: who submitted it at which prices, and the metadata that the caller gave. So the provider learns
 * nothing of either, and any data plane can bill the batch, also one that did not submit it.
 *
 * Bounds of the vendor: 16 members, 64 characters of a name, 512 of a value.
 * https://platform.openai.com/docs/api-reference/batch/create
 */
export type StoredMetadata = Readonly<Record<string, string>>;

export interface BatchNote {
  readonly submission: BatchSubmission;
  /** As the caller gave it; null where it gave none. */
  readonly metadata: Readonly<Record<string, string>> | null;
  /** What its input's id says beside the provider's own: the same file has the same id, wherever it is named. */
  readonly input: string;
}

const TAG_MEMBER = 'pingtoken';
const pieceName = (piece: number): string => `${TAG_MEMBER}_${piece}`;
const MAX_PIECES = 15;
const MAX_VALUE_CHARACTERS = 512;

/** What a caller may give; it is bounded by the room that is left. */
export const callerMetadataSchema = z.record(z.string().max(64), z.string().max(512)).nullable();

const noteSchema = z.object({
  submission: batchSubmissionSchema,
  metadata: callerMetadataSchema,
  input: z.string().default(''),
});

/** @returns undefined where it is too long to be kept */
export function writeBatchMetadata(sealer: IdSealer, note: BatchNote): StoredMetadata | undefined {
  const { providerId, submissionId } = note.submission;
  const sealed = sealer.sealText(JSON.stringify(note));
  const pieces = Math.ceil(sealed.length / MAX_VALUE_CHARACTERS);
  if (pieces > MAX_PIECES) return undefined;
  const stored: Record<string, string> = { [TAG_MEMBER]: `${sealer.tag(providerId)}.${submissionId}` };
  for (let piece = 0; piece < pieces; piece += 1) {
    const from = piece * MAX_VALUE_CHARACTERS;
    stored[pieceName(piece)] = sealed.slice(from, from + MAX_VALUE_CHARACTERS);
  }
  return stored;
}

const storedSchema = z.looseObject({ [TAG_MEMBER]: z.string() });

/** @returns whether a batch of a provider's list is the tenant's */
export function isOwnBatch(sealer: IdSealer, providerId: string, stored: unknown): boolean {
  return submissionIdOf(sealer, providerId, stored) !== undefined;
}

/** @returns under which id the tenant's batch was submitted, undefined where it is not the tenant's */
export function submissionIdOf(sealer: IdSealer, providerId: string, stored: unknown): string | undefined {
  const parsed = storedSchema.safeParse(stored);
  if (!parsed.success) return undefined;
  const prefix = `${sealer.tag(providerId)}.`;
  const value = parsed.data[TAG_MEMBER];
  return value.startsWith(prefix) ? value.slice(prefix.length) : undefined;
}

/** @returns undefined where it cannot be read: it is not the tenant's, or was changed */
export function readBatchMetadata(sealer: IdSealer, stored: unknown): BatchNote | undefined {
  const parsed = z.record(z.string(), z.string()).safeParse(stored);
  if (!parsed.success) return undefined;
  let sealed = '';
  for (let piece = 0; ; piece += 1) {
    const value = parsed.data[pieceName(piece)];
    if (value === undefined) break;
    sealed += value;
  }
  const text = sealed === '' ? undefined : sealer.openText(sealed);
  return text === undefined ? undefined : noteSchema.safeParse(parseJson(text)).data;
}
