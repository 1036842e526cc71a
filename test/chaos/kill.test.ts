import { afterAll, beforeAll, expect, it } from 'vitest';
import { createChaosWorld, findFailures, type ChaosRound, type ChaosWorld } from '../kit/chaos-world.js';
import { describeOnEachQueue } from '../kit/queue-backends.js';

/** A round on each queue here, any number by `npm run chaos`: the two kill, pause and restart all there is. */
const SEEDS = { PostgreSQL: 4, Redis: 37 };
/** `npm run chaos -- --outage 60` keeps stores away for the whole minute that is promised. */
const OUTAGE_MS = 4_000;
const TIMEOUT_MS = 300_000;

describeOnEachQueue('every call that reached the provider is in the ledger once', ({ name, redis }) => {
  let world: ChaosWorld;

  beforeAll(async () => {
    world = await createChaosWorld({ redis });
  }, TIMEOUT_MS);
  afterAll(() => world.close());

  const expectAgreement = ({ seen, reconciled, restMs }: Omit<ChaosRound, 'seed' | 'schedule'>): void => {
    const { differences, ...counts } = reconciled;
    const told = JSON.stringify({ ...seen, ...counts, spent: String(counts.spent) });
    console.log(`queue in ${name}: ${told}, at rest after ${restMs} ms`);
    expect(differences).toEqual([]);
    expect(counts.spent).toBeGreaterThan(0n);
  };

  it('whatever is killed, paused and restarted under load', { timeout: TIMEOUT_MS }, async () => {
    const round = await world.run(SEEDS[name]);
    expectAgreement(round);
    expect(round.reconciled.interrupted).toBeGreaterThan(0);
    expect(round.reconciled.estimated).toBeGreaterThan(0);
  });

  it(`and calls go on within their limits while ${name} stands still`, { timeout: TIMEOUT_MS }, async () => {
    const { load, failures } = await world.freeze(name, OUTAGE_MS, 1);
    expectAgreement(await world.finish(load));
    expect(failures()).toEqual([]);
  });

  if (redis) return;
  it(
    'and nothing that waits to be billed is lost where data planes and worker are told to stop',
    { timeout: TIMEOUT_MS },
    async () => {
      const load = world.begin(3);
      await world.awaitAnswers(load, 40);
      world.parts.strike({ deed: 'restart', parts: ['data plane 1', 'data plane 2', 'worker'], forMs: 0 });
      await world.parts.settle(60_000);
      expectAgreement(await world.finish(load));
    },
  );

  it('and while PostgreSQL dies and comes back', { timeout: TIMEOUT_MS }, async () => {
    const load = world.begin(2);
    await world.awaitAnswers(load, 60);
    const killedAt = Date.now();
    world.parts.strike({ deed: 'kill', parts: ['PostgreSQL'], forMs: 0 });
    await world.awaitAnswers(load, 30);
    await world.parts.settle(60_000);
    await world.awaitAnswers(load, 30);
    expectAgreement(await world.finish(load));
    expect(findFailures(load, killedAt)).toEqual([]);
  });
});
