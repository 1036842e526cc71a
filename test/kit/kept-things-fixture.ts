import { randomBytes, randomUUID } from 'node:crypto';
import OpenAI from 'openai';
import { expect } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../../control-plane/standalone/simulator/server.js';
import type { ServedSummary } from '../../control-plane/standalone/simulator/served.js';
import { eventually, startGateway, type GatewayFixture } from './gateway-fixture.js';
import { createSimulatorBooks, type SimulatorBooks } from './simulator-books.js';

/** Two tenants whose calls go to one provider by one credential of the operator's. */
export class KeptThingsFixture {
  private constructor(
    readonly simulator: RunningSimulator,
    readonly gateway: GatewayFixture,
    readonly ours: OpenAI,
    readonly theirs: OpenAI,
  ) {}

  /** Nothing is asked of the provider but what the callers ask, unless batches are to be polled. */
  static async open(change: Parameters<typeof startGateway>[1] = {}): Promise<KeptThingsFixture> {
    const simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
    const gateway = await startGateway(`${simulator.url}/v1`, { BATCH_POLL_INTERVAL_MS: 3_600_000, ...change });
    const { config } = gateway;
    const operations = ['chat-completions', 'responses', 'batches'] as const;
    config.addModel('vendor/chat', 'chat-completions', 'pingtoken-sim-small', { operations: [...operations] });
    config.addModel('vendor/embed', 'embeddings', 'pingtoken-sim-embedding', { operations: ['embeddings', 'batches'] });
    // One account for all of them.
    const credentialId = randomUUID();
    for (const [index, route] of config.routeList.entries()) {
      config.routeList[index] = { ...route, targets: route.targets.map((target) => ({ ...target, credentialId })) };
    }
    const client = (): OpenAI => {
      const id = randomUUID();
      const pseudonymKey = randomBytes(32).toString('base64url');
      const apiKey = config.addKey({ tenantId: id }, { id, pseudonymKey });
      return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
    };
    return new KeptThingsFixture(simulator, gateway, client(), client());
  }

  get books(): SimulatorBooks {
    return createSimulatorBooks(this.simulator.url);
  }

  summary(): Promise<ServedSummary> {
    return this.books.summary();
  }

  /** @returns what was called at the provider meanwhile */
  async callsDuring(act: () => Promise<unknown>): Promise<number> {
    const before = (await this.summary()).calls;
    await act();
    return (await this.summary()).calls - before;
  }

  /** Whatever happened: every call that went out is in the books, and once. */
  async expectBooked(): Promise<void> {
    const { starts, ends } = this.gateway.spool;
    const ended = () => new Set(ends.map(({ eventId }) => eventId));
    await eventually(() => starts.every(({ eventId }) => ended().has(eventId)));
    expect(ended().size).toBe(ends.length);
  }

  async close(): Promise<void> {
    await this.gateway.close();
    await this.simulator.close();
  }
}

/** The lines of a batch's input, as a file. */
export function batchFile(lines: readonly string[], name = 'input.jsonl'): File {
  return new File([lines.join('\n')], name);
}

export function chatLine(customId: string, content = 'Say something', model = 'vendor/chat'): string {
  const body = { model, messages: [{ role: 'user', content }] };
  return JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/chat/completions', body });
}
