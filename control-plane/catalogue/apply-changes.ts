import { Refusal, refuse } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { findVersions, versionAt } from '../pricing/rate-card-rows.js';
import { supersedeCard } from '../pricing/rate-cards.js';
import { Credential, Provider } from '../providers/entities.js';
import { CATALOGUE_PROVIDERS, versionsFrom, type CatalogueModel } from './catalogue.js';
import { beginOf, isSame, type CatalogueChange } from './catalogue-diff.js';
import { planModel, planProvider } from './catalogue-service.js';
import { installPlan, type InstallSettings } from './install.js';

interface ApplyOptions {
  readonly now: Date;
  readonly effectiveFrom: Date;
  readonly announceAt: Date;
  /** For the routes of new models of its provider. */
  readonly credentialId: string | null;
  readonly settings: InstallSettings;
}

/** Applies changes that were approved; the caller holds the locks of their cards. @returns a refusal where one cannot be */
export async function applyChanges(
  transaction: Transaction,
  changes: readonly CatalogueChange[],
  options: ApplyOptions,
): Promise<Refusal | undefined> {
  for (const [index, change] of changes.entries()) {
    const fault = change.kind === 'changed' ? await supersede(transaction, change, options) : undefined;
    if (fault !== undefined) return within(['entries', String(index)], fault);
  }
  return installNew(
    transaction,
    changes.flatMap(({ kind, model }) => (kind === 'new' && model !== undefined ? [model] : [])),
    options,
  );
}

/**
 * What of the catalogue's prices holds at the instant, and what follows, as versions after all that stand. What a catalogue does
 * not know, service tiers and what is free, stays as it is.
 */
async function supersede(
  transaction: Transaction,
  { card, model }: CatalogueChange,
  { now, effectiveFrom, announceAt }: ApplyOptions,
): Promise<Refusal | undefined> {
  if (card === undefined || model === undefined) return undefined;
  let versions = await findVersions(transaction, card.id);
  for (const [index, proposed] of versionsFrom(model, effectiveFrom).entries()) {
    const at = index === 0 ? effectiveFrom : beginOf(proposed, effectiveFrom);
    const inForce = versionAt(versions, at);
    if (inForce !== undefined && isSame(inForce, proposed)) continue;
    const { currency, rates, contextTiers, windows } = proposed;
    const head = {
      ...{ currency, source: model.source, derivation: null, effectiveFrom: firstFree(versions, at) },
      freeTokensPerMonth: inForce?.freeTokensPerMonth ?? 0,
    };
    const prices = { rates, contextTiers, windows, serviceTiers: inForce?.serviceTiers ?? {} };
    const superseded = await supersedeCard(transaction, { card, versions }, { head, prices, now, announceAt });
    if (superseded instanceof Refusal) return superseded;
    versions = [...superseded.versions];
  }
  return undefined;
}

/** No two versions begin at one instant: what was announced for it and is wrong is in force for a millisecond. */
function firstFree(versions: readonly { readonly effectiveFrom: Date }[], at: Date): Date {
  const taken = new Set(versions.map(({ effectiveFrom }) => effectiveFrom.getTime()));
  let instant = at.getTime();
  while (taken.has(instant)) instant += 1;
  return new Date(instant);
}

async function installNew(
  transaction: Transaction,
  models: readonly CatalogueModel[],
  { effectiveFrom, credentialId, settings }: ApplyOptions,
): Promise<Refusal | undefined> {
  const credential = credentialId === null ? null : await transaction.em.findOne(Credential, { id: credentialId });
  const owner = credential && (await transaction.em.findOne(Provider, { id: credential.providerId }));
  const bySlug = Map.groupBy(models, ({ provider }) => provider);
  if (credentialId !== null && (owner === null || !bySlug.has(owner.slug)))
    return refuse('not_found', ['credentialId']);
  for (const [slug, ofProvider] of bySlug) {
    const provider = CATALOGUE_PROVIDERS.find((each) => each.slug === slug);
    if (provider === undefined) return refuse('not_found', ['entries']);
    const installed = await installPlan(
      transaction,
      {
        provider: planProvider(provider),
        credential: credential !== null && owner?.slug === slug ? { id: credential.id } : null,
        models: ofProvider.map((model) => planModel(model, effectiveFrom)),
      },
      settings,
    );
    if (installed instanceof Refusal) return installed;
  }
  return undefined;
}

function within(path: readonly string[], { errors }: Refusal): Refusal {
  return new Refusal(errors.map((error) => ({ ...error, path: [...path, ...error.path] })));
}
