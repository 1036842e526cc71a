import { type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { decrypt, encrypt } from '@pingtoken/shared/crypto';
import { countedBySchema } from '@pingtoken/shared/usage-event';
import { serviceTierSchema, usageSchema } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';

/** What is kept of an answer beside its body; `shared/data-inventory` lists the fields. */
export const keptHeadSchema = z.object({
  status: z.int().min(200).max(599),
  /** Names and values in turn, as they went to the caller. */
  headers: z.array(z.string()),
  /** The answer was given, and was too long to be kept. */
  isTooLong: z.boolean(),
  /** SHA-256 of the bearer whose call it was, base64url. */
  keyHash: z.string(),
  /** What was billed for it; null where nothing was. */
  billed: z
    .object({ usage: usageSchema, countedBy: countedBySchema, serviceTier: serviceTierSchema.optional() })
    .nullable(),
});

/** An answer as it was given. */
export type KeptAnswer = z.infer<typeof keptHeadSchema> & { readonly body: Buffer };

const LENGTH_BYTES = 4;

/** @param context what it is bound to: moved to another name it cannot be opened */
export function sealAnswer({ body, ...head }: KeptAnswer, key: KeyObject, context: string): Buffer {
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(json.length);
  return encrypt(key, Buffer.concat([length, json, body]), context);
}

/** @returns undefined where it was sealed by another key or for another name, or by a release that kept other things */
export function openAnswer(sealed: Buffer, key: KeyObject, context: string): KeptAnswer | undefined {
  try {
    const plain = decrypt(key, sealed, context);
    const headEnd = LENGTH_BYTES + plain.readUInt32BE(0);
    const head = keptHeadSchema.safeParse(parseJson(plain.toString('utf8', LENGTH_BYTES, headEnd)));
    return head.data === undefined ? undefined : { ...head.data, body: plain.subarray(headEnd) };
  } catch {
    return undefined;
  }
}
