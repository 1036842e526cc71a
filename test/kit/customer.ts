import OpenAI from 'openai';
import type { Distribution } from './distribution.js';
import { createPlatform, type Platform, type TestTenant } from './platform.js';
import { createSimulatorBooks, type SimulatorBooks } from './simulator-books.js';
import { waitFor } from './wait-for.js';

/** A tenant that can call: registered, credited, with a key, the simulator granted, and all of it in force. */
export interface Customer {
  readonly platform: Platform;
  readonly books: SimulatorBooks;
  readonly tenant: TestTenant;
  readonly key: { readonly id: string; readonly secret: string };
  /** The official client, without retries of its own. */
  readonly client: OpenAI;
  /** Of the seeded simulator. */
  readonly providerId: string;
}

export async function createCustomer({ runtime, home }: Pick<Distribution, 'runtime' | 'home'>): Promise<Customer> {
  const platform = createPlatform(runtime, home);
  const tenant = await platform.registerTenant();
  const providerId = await platform.findProvider('simulator');
  await platform.credit(tenant, '100');
  await platform.grant(tenant, providerId);
  const key = await platform.createKey(tenant);
  for (const url of runtime.dataPlaneUrls) {
    await waitFor(async () => (await listModels(`${url}/v1`, key.secret)).length > 0, {
      timeoutMs: 10_000,
      what: `the key and the grant at ${url}`,
    });
  }
  return {
    platform,
    books: createSimulatorBooks(runtime.provider.url),
    tenant,
    key,
    client: new OpenAI({ baseURL: runtime.gatewayUrl, apiKey: key.secret, maxRetries: 0 }),
    providerId,
  };
}

/** @returns names of the models that a key may call now; none where the key is refused */
export async function listModels(baseUrl: string, secret: string): Promise<string[]> {
  const response = await fetch(`${baseUrl}/models`, {
    headers: { authorization: `Bearer ${secret}` },
    signal: AbortSignal.timeout(5_000),
  });
  const body = (await response.json()) as { data?: readonly { id: string }[] };
  return (body.data ?? []).map(({ id }) => id);
}
