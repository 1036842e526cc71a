import { z } from 'zod';

/**
 * An HTTP service that a route asks before each of its calls whether the call may be made. What it is sent, and how it knows
 * that we are the sender, is told in `data-plane/README.md`.
 */

/** Whether a call is made where the guardrail does not answer as it should. */
export const GUARDRAIL_ON_FAULT = ['open', 'closed'] as const;

/** `body`: what the caller has said, as it has said it; `facts`: only which model is called, and by whom. */
export const GUARDRAIL_SENDS = ['body', 'facts'] as const;

export const guardrailPolicyShape = {
  /** Where it is asked, by POST. */
  url: z.url({ protocol: /^https?$/, hostname: /.+/ }).max(500),
  /** Longest wait, from the connection to the last byte of the answer. */
  timeoutMs: z.int().min(10).max(30_000).default(1_000),
  onFault: z.enum(GUARDRAIL_ON_FAULT),
  sends: z.enum(GUARDRAIL_SENDS).default('body'),
};

const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/);

/** As a route's row and a route in the config hold it. */
export const guardrailSchema = z.object({
  ...guardrailPolicyShape,
  contentKeyId: z.uuid(),
  /** AES-256-GCM under the content key, additional data = {@link guardrailSecretContext}. */
  sealedSecret: base64url,
});
export type Guardrail = z.infer<typeof guardrailSchema>;

/** A key for HMAC as https://www.standardwebhooks.com has it: `whsec_` and 24 to 64 bytes in base64. */
export const guardrailSecretSchema = z
  .string()
  .regex(
    /^whsec_(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    'whsec_ and 24 to 64 bytes in base64',
  );

/** @returns the bytes of a secret */
export function guardrailKey(secret: string): Buffer {
  return Buffer.from(secret.slice('whsec_'.length), 'base64');
}

/**
 * Ties a secret to its route and to the origin that it was made for: were the address changed afterwards, what is signed with
 * it would tell somebody else.
 */
export function guardrailSecretContext(routeId: string, url: string): string {
  return `guardrail ${routeId} ${new URL(url).origin}`;
}

/** What it answers; anything else is a fault. */
export const guardrailAnswerSchema = z.object({
  action: z.enum(['allow', 'block']),
  /** For the caller of a call that is blocked. */
  message: z.string().optional(),
});
export type GuardrailAnswer = z.infer<typeof guardrailAnswerSchema>;
