import { readOpenAiRequest, type OpenAiRequest } from '../dialects/openai-request.js';
import { memberRange } from '../dialects/member-range.js';
import type { ReportingOperation } from '../dialects/operations/read-usage.js';
import { spliceBytes, type Splice } from '../dialects/json-scanner.js';
import type { StoredKind, StoredReference } from '../dialects/stored-references.js';
import { isRefusal } from '../http-error.js';
import type { AccountOf } from './accounts.js';
import type { IdSealer, KeptKind, KeptThing } from './sealed-id.js';

type Place = Pick<AccountOf, 'providerId' | 'credentialId'>;

/** A body of which some ids are the tenant's own sealed ones. */
export interface OpenedIds {
  /** Which of the provider's accounts has what they name: the call can go nowhere else. Undefined where it is free to. */
  readonly bound: { readonly account: Place; readonly first: StoredReference } | undefined;
  /** Those that are none of the tenant's, or are in another account than the first. */
  readonly left: readonly StoredReference[];
  /** With the provider's own ids in the place of the tenant's, as an account is to have it. */
  requestFor(account: Place): OpenAiRequest;
}

const KINDS: Readonly<Partial<Record<StoredKind, readonly KeptKind[]>>> = {
  file: ['file', 'batch-input', 'batch-output'],
  response: ['response'],
  item: ['item'],
  audio: ['audio'],
};

interface Opened {
  readonly reference: StoredReference;
  readonly thing: KeptThing;
}

/**
 * @param references of the request, as they were found in its bytes
 * @returns undefined where none of them is a sealed id of the tenant's
 */
export function openIds(
  sealer: IdSealer,
  { request, operation }: { readonly request: OpenAiRequest; readonly operation: ReportingOperation },
  references: readonly StoredReference[],
): OpenedIds | undefined {
  const opened: Opened[] = [];
  const left: StoredReference[] = [];
  let bound: OpenedIds['bound'];
  for (const reference of references) {
    const thing = sealer.open(reference.id, KINDS[reference.kind] ?? []);
    // What is given anyway binds to nothing, and says nothing of another's.
    if (reference.isGiven === true) {
      if (thing !== undefined) opened.push({ reference, thing });
    } else if (thing === undefined || !isSameAccount(bound?.account ?? thing, thing)) {
      left.push(reference);
    } else {
      bound ??= { account: thing, first: reference };
      opened.push({ reference, thing });
    }
  }
  if (opened.length === 0) return undefined;
  return { bound, left, requestFor: (account) => edited({ request, operation }, opened, account) };
}

/** Ids change nothing of what is charged. */
function edited(
  { request, operation }: { readonly request: OpenAiRequest; readonly operation: ReportingOperation },
  opened: readonly Opened[],
  account: Place,
): OpenAiRequest {
  const splices = opened.map(({ reference: { range }, thing }): Splice => {
    if (isSameAccount(account, thing)) return { ...range, bytes: Buffer.from(JSON.stringify(thing.rawId)) };
    // Another account does not know it, and would refuse what it is of.
    return { ...memberRange(request.bytes, range), bytes: NOTHING };
  });
  const bytes = spliceBytes(
    request.bytes,
    splices.sort((one, other) => one.start - other.start),
  );
  const { assumedUsage } = request;
  const read = readOpenAiRequest(bytes, operation);
  return isRefusal(read) ? request : { ...read, assumedUsage };
}

const NOTHING = Buffer.alloc(0);

export function isSameAccount(one: Place, other: Place): boolean {
  return one.providerId === other.providerId && one.credentialId === other.credentialId;
}
