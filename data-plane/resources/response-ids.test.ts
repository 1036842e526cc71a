import { randomBytes, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createResponseIdSealer } from './response-ids.js';
import { createIdSealer } from './sealed-id.js';

const sealer = createIdSealer(randomBytes(32).toString('base64url'));
const account = { providerId: randomUUID(), credentialId: randomUUID(), model: 'alias' };
const seal = (rawId: string) => sealer.seal({ ...account, kind: 'response', rawId });
const first = 'resp_68af4030592c81938ec0a5fbab4a3e9f';
const second = 'resp_previous-1';
const sealItem = (rawId: string) => sealer.seal({ ...account, kind: 'item', rawId });

function run(pieces: readonly Buffer[]): string {
  const ids = createResponseIdSealer(sealer, account);
  return Buffer.concat([...pieces.map((piece) => ids.push(piece)), ids.end()]).toString();
}

const BODY = `{"id":"${first}" , "previous_response_id"\n:\t"${second}","output":[{"id":"msg_1","text":"Grüße \\"id\\":\\"${first}\\" \\\\"}],"x":"${first}","resp_":["${first}"],"n":12345678901234567890}`;
const STREAM = `event: response.created\r\ndata: {"type":"response.created","response":{"id":"${first}","object":"response"}}\r\n\r\nevent: x\ndata: {"delta":"é \\"resp_","response_id":"${first}"}\n\ndata: [DONE]\n\n`;

describe('the ids of responses', () => {
  it('are sealed where a member is one, and no other byte changes', () => {
    const sealed = run([Buffer.from(BODY)]);
    const expected = BODY.replace(`"id":"${first}"`, `"id":"${seal(first)}"`)
      .replace(`"${second}"`, `"${seal(second)}"`)
      .replace('"msg_1"', `"${sealItem('msg_1')}"`);
    expect(sealed).toBe(expected);
    const parsed = JSON.parse(sealed) as { id: string; previous_response_id: string };
    expect(sealer.open(parsed.id, ['response'])?.rawId).toBe(first);
    expect(sealer.open(parsed.previous_response_id, ['response'])?.rawId).toBe(second);
  });

  it('are sealed in a stream', () => {
    expect(run([Buffer.from(STREAM)])).toBe(
      STREAM.replace(`"id":"${first}"`, `"id":"${seal(first)}"`).replace(
        `"response_id":"${first}"`,
        `"response_id":"${seal(first)}"`,
      ),
    );
  });

  it.each([BODY, STREAM])('are the same wherever the bytes are cut', (text) => {
    const bytes = Buffer.from(text);
    const whole = run([bytes]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 60 }), (cuts) => {
        const places = [0, ...cuts.toSorted((one, other) => one - other), bytes.length];
        expect(run(places.slice(1).map((end, index) => bytes.subarray(places[index], end)))).toBe(whole);
      }),
    );
    expect(run(Array.from(bytes, (byte) => Buffer.of(byte)))).toBe(whole);
  });

  it('of items too, wherever a stream names them, and what only looks alike stays', () => {
    const text = `data: {"item_id":"msg_a1","item":{"id":"rs_b2"},"call_id":"call_1","x":{"id":"conv_1"},"delta":"\\"id\\":\\"msg_a1\\""}\n\n`;
    const sealed = run([Buffer.from(text)]);
    expect(sealed).toBe(
      text.replace('"msg_a1"', `"${sealItem('msg_a1')}"`).replace('"rs_b2"', `"${sealItem('rs_b2')}"`),
    );
    expect(sealItem('msg_a1')).toMatch(/^msg_/);
    expect(sealer.open(sealItem('rs_b2'), ['item'])).toMatchObject({ rawId: 'rs_b2', ...account });
    // A prefix that is not its own is another spelling.
    expect(sealer.open(sealItem('rs_b2').replace('rs_', 'msg_'), ['item'])).toBeUndefined();
    expect(sealer.open(sealItem('rs_b2'), ['response'])).toBeUndefined();
  });

  it('are told of as they pass', () => {
    const told: string[] = [];
    const ids = createResponseIdSealer(sealer, account, { onResponse: (rawId) => told.push(rawId) });
    for (const byte of Buffer.from(`{"previous_response_id":"${second}"}${STREAM}`)) ids.push(Buffer.of(byte));
    expect(told).toEqual([first]);
  });

  it('hold back no more than an id could be long', () => {
    const ids = createResponseIdSealer(sealer, account);
    const endless = Buffer.from(`{"id":"resp_${'a'.repeat(5_000)}`);
    expect(ids.push(endless).length).toBeGreaterThan(4_000);
  });
});
