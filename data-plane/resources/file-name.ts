import type { IdSealer, KeptKind } from './sealed-id.js';

/**
 * The name of a file at its provider: our tag, by which a list is filtered, what the file was accepted as, sealed, and the
 * name that the caller gave.
 *
 *     <tag>.<sealed>.<name>
 */
export interface FileNote {
  readonly kind: KeptKind;
  readonly model: string;
  /** What the lines of a batch's input ask for, as a path; empty for other files. */
  readonly parentId: string | undefined;
}

const MAX_NAME_CHARACTERS = 200;

/** @returns what goes before the caller's own name */
export function filePrefix(sealer: IdSealer, providerId: string, { kind, model, parentId }: FileNote): string {
  return `${sealer.tag(providerId)}.${sealer.sealText(`${kind}\n${model}\n${parentId ?? ''}`)}.`;
}

export function isFileName(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name.length <= MAX_NAME_CHARACTERS;
}

/** @returns undefined where the file is none of this tenant's at this provider */
export function readFileName(
  sealer: IdSealer,
  providerId: string,
  stored: unknown,
): (FileNote & { readonly name: string }) | undefined {
  if (typeof stored !== 'string') return undefined;
  const [tag, sealed = '', ...name] = stored.split('.');
  if (tag !== sealer.tag(providerId)) return undefined;
  const [kind, model, parentId] = sealer.openText(sealed)?.split('\n') ?? [];
  if ((kind !== 'file' && kind !== 'batch-input') || model === undefined) return undefined;
  return { kind, model, parentId: parentId === '' ? undefined : parentId, name: name.join('.') };
}
