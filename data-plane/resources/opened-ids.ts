import { readOpenAiRequest, type OpenAiRequest } from '../dialects/openai-request.js';
import { spliceBytes, type Splice } from '../dialects/json-scanner.js';
import type { StoredKind, StoredReference } from '../dialects/stored-references.js';
import { isRefusal } from '../http-error.js';
import type { AccountOf } from './accounts.js';
import type { IdSealer, KeptKind } from './sealed-id.js';

/** A body whose sealed ids have been opened. */
export interface OpenedIds {
  readonly request: OpenAiRequest;
  /** Which of the provider's accounts has what they name: the call can go nowhere else. */
  readonly account: AccountOf;
  /** The caller's word for the first of them. */
  readonly first: StoredReference;
  /** Those that are none of the tenant's, or are in another account than the first. */
  readonly left: readonly StoredReference[];
}

const KINDS: Readonly<Partial<Record<StoredKind, readonly KeptKind[]>>> = {
  file: ['file', 'batch-input', 'batch-output'],
  response: ['response'],
};

/**
 * Puts the provider's own ids in the place of the tenant's.
 * @param references of the request, as they were found in its bytes
 * @returns undefined where none of them is a sealed id of the tenant's
 */
export function openIds(
  sealer: IdSealer,
  request: OpenAiRequest,
  references: readonly StoredReference[],
): OpenedIds | undefined {
  const splices: Splice[] = [];
  const left: StoredReference[] = [];
  let opened: Pick<OpenedIds, 'account' | 'first'> | undefined;
  for (const reference of references) {
    const thing = sealer.open(reference.id, KINDS[reference.kind] ?? []);
    if (thing === undefined || !isSameAccount(opened?.account ?? thing, thing)) {
      left.push(reference);
      continue;
    }
    opened ??= { account: thing, first: reference };
    splices.push({ ...reference.range, bytes: Buffer.from(JSON.stringify(thing.rawId)) });
  }
  if (opened === undefined) return undefined;
  const bytes = spliceBytes(
    request.bytes,
    splices.sort((one, other) => one.start - other.start),
  );
  const { assumedUsage } = request;
  // Ids change nothing of what is charged.
  const read = readOpenAiRequest(bytes, 'responses');
  return isRefusal(read) ? undefined : { ...opened, request: { ...read, assumedUsage }, left };
}

export function isSameAccount(
  one: Pick<AccountOf, 'providerId' | 'credentialId'>,
  other: Pick<AccountOf, 'providerId' | 'credentialId'>,
): boolean {
  return one.providerId === other.providerId && one.credentialId === other.credentialId;
}
