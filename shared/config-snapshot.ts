import { z } from 'zod';
import { CAPABILITIES } from './capability.js';
import { guardrailSchema } from './guardrail.js';
import { limitsSchema } from './limits.js';
import { rateCardVersionSchema } from './rate-card.js';
import { keyTagSchema, MAX_KEY_TAGS, routePolicyShape, targetPolicyShape } from './route-policy.js';
import { OPERATIONS } from './usage-event.js';

export { CAPABILITIES, type Capability } from './capability.js';

/**
 * The downward contract: everything a data plane may know, as a document of NDJSON lines:
 *
 *     {"kind":"header", …}            which state the document leads to, and from which one it starts
 *     {"kind":"api-key","seq":7, …}   one object a line: all of them (snapshot), or those changed (delta), by ascending seq
 *     {"kind":"end", …}               count, digest of all lines before, head of the hash chain, signature
 *
 * One format and one apply path serve both. `(epoch, seq)` names a state: seq grows by one with each changed object; a new
 * epoch means that history was broken (a restored backup) and only a snapshot will do.
 *
 * Chain: chain(n) = SHA-256(chain(n-1) ‖ SHA-256(line n without its newline)), chain(0) = 32 zero bytes. A delta is applied
 * only onto the very chain head it names, so a change can be neither dropped nor reordered, not even by the sender.
 */

const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/);
const objectHead = { id: z.uuid(), seq: z.int().positive() };

/** An object that is no more. It stays in snapshots, so that a data plane that was cut off learns of it. */
const deletedObjectSchema = z.object({ ...objectHead, kind: z.string(), deleted: z.literal(true) });

const tenantObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('tenant'),
  status: z.enum(['active', 'suspended']),
  /** Providers that the tenant was shown (terms, privacy policy) and granted; no other may receive its calls. */
  grantedProviderIds: z.array(z.uuid()),
  /** What providers are told of the tenant's own end users. */
  endUsers: z.enum(['pseudonym', 'drop']).default('drop'),
  /** Makes the pseudonyms, 32 bytes base64url. An older control plane gives none; then there can be no pseudonyms. */
  pseudonymKey: base64url.length(43).nullable().default(null),
  planId: z.uuid().nullable().default(null),
  /** What bounds the tenant as a whole, besides its plan; null where nothing does. */
  limits: limitsSchema.nullable().default(null),
  /** Who pays in advance is held to what its wallet has. An older control plane says nothing; then that is assumed. */
  billingMode: z.enum(['prepaid', 'postpaid']).default('prepaid'),
});

/** What many tenants have in common. */
const planObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('plan'),
  /** Each of its tenants has them for itself. */
  limits: limitsSchema.nullable(),
  /** By the id of a price card: the card that its tenants pay by instead. */
  priceCards: z.record(z.uuid(), z.uuid()),
});

const memberObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('member'),
  tenantId: z.uuid(),
  /** X25519 public key, 32 bytes base64url, to which the caller's address, device and browser are sealed. */
  sealingKey: base64url,
  /** What bounds the member's keys together. */
  limits: limitsSchema.nullable().default(null),
});

const apiKeyObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('api-key'),
  tenantId: z.uuid(),
  memberId: z.uuid(),
  /** SHA-256 of the bearer, base64url. */
  hash: base64url.length(43),
  status: z.enum(['active', 'revoked']),
  /** Milliseconds since 1970, or null for never. */
  expiresAt: z.int().nullable(),
  limits: limitsSchema.nullable().default(null),
  /** What its owner files it under; routes may go by them. Left out where there are none. */
  tags: z.array(keyTagSchema).max(MAX_KEY_TAGS).optional(),
  /** Whether a call with an `Idempotency-Key` is answered like the first one of that name. Left out where not. */
  idempotency: z.boolean().optional(),
  /** Whether its calls may be given answers that were made for like calls of its tenant, where their route keeps any. */
  cache: z.boolean().optional(),
});

/** The API that a provider speaks. */
export const DIALECTS = ['openai', 'anthropic', 'gemini'] as const;
export type Dialect = (typeof DIALECTS)[number];

/** The header that carries a credential to a provider; `bearer` is `Authorization: Bearer …`. */
export const AUTH_SCHEMES = ['bearer', 'x-api-key', 'x-goog-api-key', 'api-key', 'none'] as const;
export type AuthScheme = (typeof AUTH_SCHEMES)[number];

/** What each vendor's own API takes. */
export const AUTH_OF_DIALECT = {
  openai: 'bearer',
  anthropic: 'x-api-key',
  gemini: 'x-goog-api-key',
} as const satisfies Record<Dialect, AuthScheme>;

/** Whose calls a budget limits. */
export const BUDGET_SUBJECTS = ['tenant', 'member', 'api-key'] as const;

const providerObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('provider'),
  slug: z.string(),
  baseUrl: z.url({ protocol: /^https?$/ }),
  dialect: z.enum(DIALECTS),
  auth: z.enum(AUTH_SCHEMES),
  /** Where it serves, such as `us` or `eu`; null where the vendor does not say. */
  region: z.string().nullable(),
  status: z.enum(['active', 'disabled']),
});

const credentialObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('credential'),
  providerId: z.uuid(),
  /** The tenant that alone may use it, or null for the operator's own. */
  tenantId: z.uuid().nullable(),
  /**
   * The one origin (`scheme://host:port`, the port left out where it is the scheme's own) that the secret may be sent to: its
   * provider's when it was made. A provider that is moved elsewhere later does not take the secret along.
   */
  origin: z.string().regex(/^https?:\/\/[^/?#@]+$/),
  contentKeyId: z.uuid(),
  /** AES-256-GCM under the content key, additional data = the credential's id. */
  sealedSecret: base64url,
});

const modelObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('model'),
  /** The alias that callers use. */
  name: z.string(),
  operations: z.array(z.enum(OPERATIONS)).min(1),
  capabilities: z.array(z.enum(CAPABILITIES)),
  /** Tokens of prompt and answer together at most; null where it is not known. */
  contextWindow: z.int().positive().nullable(),
  /** Tokens of one answer at most; null where it is not known. */
  maxOutputTokens: z.int().positive().nullable(),
  status: z.enum(['active', 'disabled']),
  createdAt: z.int(),
  priceCardId: z.uuid().nullable(),
});

const routeObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('route'),
  modelId: z.uuid(),
  /** The tenant that alone sees the route, or null for everyone; a tenant's own route goes first. */
  tenantId: z.uuid().nullable(),
  /** Whether translation between dialects may drop what a target cannot express; otherwise such a call is refused. */
  dropsUnsupported: z.boolean(),
  ...routePolicyShape,
  /** Who is asked before a call is made. Left out where nobody is. */
  guardrail: guardrailSchema.optional(),
  targets: z
    .array(
      z.object({
        id: z.uuid(),
        providerId: z.uuid(),
        credentialId: z.uuid(),
        upstreamModel: z.string(),
        /** Lower goes first; weight shares out within one priority. */
        priority: z.int().nonnegative(),
        weight: z.int().positive(),
        costCardId: z.uuid().nullable(),
        ...targetPolicyShape,
      }),
    )
    .min(1),
});

const passthroughRouteObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('passthrough-route'),
  providerId: z.uuid(),
  credentialId: z.uuid(),
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
  /** Below the provider's base URL, from the first slash; a segment `*` stands for any one segment. */
  path: z.string().startsWith('/'),
  priceCardId: z.uuid(),
});

const rateCardObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('rate-card'),
  /** By ascending `effectiveFrom`; may include versions that are not in force yet. */
  versions: z.array(rateCardVersionSchema).min(1),
});

/** A hard budget: calls of its subject in its currency need a lease of it. How much is left is the allocator's to know. */
const budgetObjectSchema = z.object({
  ...objectHead,
  kind: z.literal('budget'),
  tenantId: z.uuid(),
  subject: z.enum(BUDGET_SUBJECTS),
  /** Of the tenant, the member or the key. */
  subjectId: z.uuid(),
  currency: z.string().length(3),
});

/** Objects that this release understands. Other kinds are skipped, so that a newer control plane can speak to it. */
export const configObjectSchema = z.discriminatedUnion('kind', [
  tenantObjectSchema,
  planObjectSchema,
  budgetObjectSchema,
  memberObjectSchema,
  apiKeyObjectSchema,
  providerObjectSchema,
  credentialObjectSchema,
  modelObjectSchema,
  routeObjectSchema,
  passthroughRouteObjectSchema,
  rateCardObjectSchema,
]);
export type ConfigObject = z.infer<typeof configObjectSchema>;
export type ConfigObjectKind = ConfigObject['kind'];
export type ConfigObjectOf<Kind extends ConfigObjectKind> = Extract<ConfigObject, { kind: Kind }>;
const CONFIG_OBJECT_KINDS: ReadonlySet<string> = new Set(
  configObjectSchema.options.map((option) => option.shape.kind.value),
);

/** An object as it is published: `seq` is given by the journal. */
export type ConfigObjectDraft = { [Kind in ConfigObjectKind]: Omit<ConfigObjectOf<Kind>, 'seq'> }[ConfigObjectKind];

/** One object line, parsed: an object, a deletion, or a kind of a later release. */
export type ConfigLine =
  | { readonly type: 'object'; readonly object: ConfigObject }
  | { readonly type: 'deleted'; readonly kind: string; readonly id: string; readonly seq: number }
  | { readonly type: 'unknown'; readonly kind: string; readonly id: string; readonly seq: number };

/** Made once: zod compiles a schema at its first use, and doing that for each of 100,000 lines took 4 seconds. */
const lineHeadSchema = z.looseObject({ ...objectHead, kind: z.string(), deleted: z.boolean().optional() });

/**
 * Reads one object line.
 * @throws z.ZodError when it is of a known kind and malformed
 */
export function parseConfigLine(value: unknown): ConfigLine {
  const head = lineHeadSchema.parse(value);
  if (head.deleted === true) return { type: 'deleted', ...deletedObjectSchema.parse(value) };
  if (!CONFIG_OBJECT_KINDS.has(head.kind)) return { type: 'unknown', kind: head.kind, id: head.id, seq: head.seq };
  return { type: 'object', object: configObjectSchema.parse(value) };
}

export const configPositionSchema = z.object({ epoch: z.int().nonnegative(), seq: z.int().nonnegative() });
export type ConfigPosition = z.infer<typeof configPositionSchema>;

export const configHeaderSchema = z.object({
  kind: z.literal('header'),
  format: z.literal('pingtoken-config'),
  version: z.literal(1),
  /** The data plane that the document was made for: its content keys are sealed to that one. */
  dataPlaneId: z.uuid(),
  /** The state that a delta starts from, with its chain head; null for a snapshot. */
  base: z.object({ ...configPositionSchema.shape, chain: base64url.length(43) }).nullable(),
  target: configPositionSchema,
  /** Milliseconds since 1970. */
  issuedAt: z.int(),
  /** Keys for credentials, each sealed (X25519) to this data plane. */
  contentKeys: z.array(z.object({ id: z.uuid(), sealed: base64url })),
});
export type ConfigHeader = z.infer<typeof configHeaderSchema>;

export const configEndSchema = z.object({
  kind: z.literal('end'),
  count: z.int().nonnegative(),
  /** SHA-256 of the header line and all object lines, newlines included, base64url. */
  digest: base64url.length(43),
  /** Chain head at the target state, base64url. */
  chain: base64url.length(43),
  /** Ed25519 over {@link signedText}, base64url. */
  signature: base64url,
});
export type ConfigEnd = z.infer<typeof configEndSchema>;

/** The text that is signed: the digest covers header and objects, the chain ties the document to all before it. */
export function signedText(digest: string, chain: string): string {
  return `pingtoken-config.v1\n${digest}\n${chain}`;
}

/** Chain head before the first object. */
export const CHAIN_START = Buffer.alloc(32).toString('base64url');

/** A data plane's answer to a document. Refused: the last good state stays in force. */
export const configAckSchema = z.discriminatedUnion('status', [
  z.object({ status: z.literal('applied'), position: configPositionSchema }),
  z.object({
    status: z.literal('refused'),
    position: configPositionSchema,
    /** The object at fault, where there is one. */
    object: z.object({ kind: z.string(), id: z.string() }).nullable(),
    reason: z.string().max(1000),
  }),
]);
export type ConfigAck = z.infer<typeof configAckSchema>;
