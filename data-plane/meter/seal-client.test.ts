import { createSealingPair, openClient } from '@pingtoken/shared/crypto';
import { sealedClientSchema } from '@pingtoken/shared/usage-event';
import { describe, expect, it } from 'vitest';
import { createClientSealers } from './seal-client.js';

const person = createSealingPair();
const keyOf = (pair: typeof person): string => Buffer.from(pair.publicKey).toString('base64url');
const client = { ip: '203.0.113.9', device: 'd'.repeat(2000), browser: '' };

describe('client sealers', () => {
  it('seal to the person alone, with each field cut to 512 characters', () => {
    const sealed = createClientSealers({ maxPeople: 10 }).seal(keyOf(person), client, {});
    expect(openClient(person, sealed)).toEqual({ ip: client.ip, device: 'd'.repeat(512), browser: '' });
    expect(() => openClient(createSealingPair(), sealed)).toThrow();
    expect(sealed.data.length).toBeLessThan(4096);
  });

  it('use one key for a person and a day, and another one the day after', () => {
    let now = 0;
    const sealers = createClientSealers({ maxPeople: 10, now: () => now });
    const first = sealers.seal(keyOf(person), client, {});
    now = 23 * 3600 * 1000;
    expect(sealers.seal(keyOf(person), client, {}).key).toBe(first.key);
    now = 25 * 3600 * 1000;
    expect(sealers.seal(keyOf(person), client, {}).key).not.toBe(first.key);
  });

  it('forget the person who was not heard of for longest', () => {
    const sealers = createClientSealers({ maxPeople: 2 });
    const [one, two, three] = [person, createSealingPair(), createSealingPair()].map(keyOf);
    const keyFor = (sealingKey = ''): string => sealers.seal(sealingKey, client, {}).key;
    const kept = [keyFor(one), keyFor(two)];
    expect(keyFor(one)).toBe(kept[0]);
    keyFor(three);
    expect(keyFor(one)).toBe(kept[0]);
    expect(keyFor(two)).not.toBe(kept[1]);
  });

  it('seal the longest of clients within the contract, whatever the script', () => {
    const sealers = createClientSealers({ maxPeople: 1 });
    for (const character of ['模', 'ÿ', '"', '\u0001', '👩', '\ud800']) {
      for (const long of [character.repeat(5000), 'a'.repeat(300) + character.repeat(5000)]) {
        const sealed = sealers.seal(keyOf(person), { ip: long, device: long, browser: long }, {});
        expect(sealedClientSchema.safeParse(sealed).success).toBe(true);
        expect(long.startsWith(openClient(person, sealed).browser.slice(0, -1))).toBe(true);
      }
    }
  });

  it('refuse a key that is none', () => {
    expect(() => createClientSealers({ maxPeople: 1 }).seal('AAAA', client, {})).toThrow();
  });

  it('is done once for calls of one caller over one connection, and anew for another caller on it', () => {
    const [person, other] = [createSealingPair(), createSealingPair()];
    const sealers = createClientSealers({ maxPeople: 10 });
    const connection = {};
    const first = sealers.seal(keyOf(person), client, connection);
    expect(sealers.seal(keyOf(person), { ...client }, connection)).toBe(first);
    expect(sealers.seal(keyOf(person), client, {}).data).not.toBe(first.data);
    const behindProxy = sealers.seal(keyOf(person), { ...client, ip: '203.0.113.9' }, connection);
    expect(openClient(person, behindProxy).ip).toBe('203.0.113.9');
    expect(openClient(other, sealers.seal(keyOf(other), client, connection)).ip).toBe(client.ip);
  });
});
