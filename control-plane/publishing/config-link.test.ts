import { SignJWT } from 'jose';
import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CHAIN_START,
  configEndSchema,
  configHeaderSchema,
  parseConfigLine,
  signedText,
  type ConfigEnd,
  type ConfigHeader,
} from '@pingtoken/shared/config-snapshot';
import {
  createSealingPair,
  createSigningPair,
  decrypt,
  nextChain,
  readSigningKey,
  readVerifyKey,
  unseal,
  verify,
} from '@pingtoken/shared/crypto';
import { CONFIG_LINK } from '@pingtoken/shared/wire';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';
import { expectDone } from '../installation.js';

let controlPlane: TestControlPlane;
beforeAll(async () => {
  controlPlane = await startControlPlane();
});
afterAll(() => controlPlane.close());

interface EnrolledDataPlane {
  readonly id: string;
  readonly sealing: ReturnType<typeof createSealingPair>;
  request(path: string, headers?: Record<string, string>, signal?: AbortSignal): Promise<Response>;
  post(path: string, body: unknown): Promise<Response>;
}

async function enrol(): Promise<EnrolledDataPlane> {
  const id = uuidv7();
  const signing = createSigningPair();
  const sealing = createSealingPair();
  const { services, operator } = controlPlane;
  const sealingKey = Buffer.from(sealing.publicKey).toString('base64url');
  const enrolment = { id, name: id, region: 'test', verifyKey: signing.publicKey, sealingKey };
  expectDone(await services.dataPlanes.enrol(operator, enrolment));
  return {
    id,
    sealing,
    request: async (path, headers = {}, signal) =>
      fetch(controlPlane.url + path, {
        headers: { authorization: `Bearer ${await token(id, signing.privateKey)}`, ...headers },
        signal: signal ?? null,
      }),
    post: async (path, body) =>
      fetch(controlPlane.url + path, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await token(id, signing.privateKey)}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify(body),
      }),
  };
}

function token(
  id: string,
  privateKey: string,
  audience: string = CONFIG_LINK.audience,
  expires = '60s',
): Promise<string> {
  return new SignJWT()
    .setProtectedHeader({ alg: 'EdDSA' })
    .setIssuer(id)
    .setSubject(id)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime(expires)
    .sign(readSigningKey(privateKey));
}

interface Document {
  readonly header: ConfigHeader;
  readonly lines: readonly string[];
  readonly end: ConfigEnd;
}

/** Splits a document and checks digest and signature, by the contract alone. */
function readDocument(text: string): Document {
  const all = text.trimEnd().split('\n');
  const header = configHeaderSchema.parse(JSON.parse(all[0] ?? ''));
  const end = configEndSchema.parse(JSON.parse(all.at(-1) ?? ''));
  const signed = all.slice(0, -1);
  const digest = createHash('sha256')
    .update(signed.map((line) => `${line}\n`).join(''))
    .digest('base64url');
  expect(end.digest).toBe(digest);
  expect(end.count).toBe(signed.length - 1);
  const key = readVerifyKey(controlPlane.signing.publicKey);
  expect(verify(key, signedText(end.digest, end.chain), end.signature)).toBe(true);
  return { header, lines: signed.slice(1), end };
}

interface ServerEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: string;
}

async function* readEvents(response: Response): AsyncGenerator<ServerEvent> {
  let buffer = '';
  for await (const chunk of response.body ?? []) {
    buffer += Buffer.from(chunk).toString();
    for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
      const fields = buffer
        .slice(0, end)
        .split('\n')
        .map((line) => /^(\w+): ?(.*)$/.exec(line));
      buffer = buffer.slice(end + 2);
      const values = (name: string): string[] =>
        fields.flatMap((field) => (field?.[1] === name ? [field[2] ?? ''] : []));
      const [event] = values('event');
      if (event !== undefined) yield { event, id: values('id')[0], data: values('data').join('\n') };
    }
  }
}

async function nextEvent(events: AsyncGenerator<ServerEvent>): Promise<ServerEvent> {
  const { value, done } = await events.next();
  if (done === true) throw new Error('the link ended');
  return value;
}

const publishTenantStatus = (status: 'active' | 'suspended') =>
  controlPlane.services.run(controlPlane.operator, (transaction) =>
    transaction.publish([
      {
        ...{ kind: 'tenant', id: controlPlane.operator.tenantId, status, grantedProviderIds: [] },
        ...{ endUsers: 'drop', pseudonymKey: null, planId: null, limits: null, billingMode: 'prepaid' },
      },
    ]),
  );

describe('a snapshot', () => {
  it('is signed, complete, and names the head of the chain that the database computed', async () => {
    const dataPlane = await enrol();
    const document = readDocument(await (await dataPlane.request(CONFIG_LINK.snapshot)).text());
    expect(document.header).toMatchObject({ dataPlaneId: dataPlane.id, base: null });
    const kinds = document.lines.map((line) => parseConfigLine(JSON.parse(line))).map(({ type }) => type);
    expect(kinds.length).toBeGreaterThan(1);
    expect(new Set(kinds)).toEqual(new Set(['object']));
  });

  it('carries credentials that only the data plane it was made for can open', async () => {
    const { services, operator } = controlPlane;
    const links = { termsUrl: 'https://p.example/terms', privacyUrl: 'https://p.example/privacy' };
    const provider = expectDone(
      await services.providers.create(operator, {
        slug: 'p',
        name: 'P',
        baseUrl: 'https://p.example/v1',
        dialect: 'openai',
        ...links,
      }),
    );
    expectDone(
      await services.providers.createCredential(operator, { providerId: provider.id, name: 'c', secret: 'sk-secret' }),
    );
    const [mine, other] = [await enrol(), await enrol()];
    const text = await (await mine.request(CONFIG_LINK.snapshot)).text();
    expect(text).not.toContain('sk-secret');
    const { header, lines } = readDocument(text);
    const credential = lines
      .map((line) => parseConfigLine(JSON.parse(line)))
      .find((line) => line.type === 'object' && line.object.kind === 'credential');
    if (credential?.type !== 'object' || credential.object.kind !== 'credential') throw new Error('no credential');
    const sealed = Buffer.from(header.contentKeys[0]?.sealed ?? '', 'base64url');
    const key = unseal(mine.sealing, sealed);
    const secret = decrypt(key, Buffer.from(credential.object.sealedSecret, 'base64url'), credential.object.id);
    expect(secret.toString()).toBe('sk-secret');
    expect(() => unseal(other.sealing, sealed)).toThrow();
  });
});

describe('a delta', () => {
  it('is pushed when the change commits, and continues the chain from the state that was told', async () => {
    const dataPlane = await enrol();
    const snapshot = readDocument(await (await dataPlane.request(CONFIG_LINK.snapshot)).text());
    const { epoch, seq } = snapshot.header.target;
    const leaving = new AbortController();
    const headers = { 'last-event-id': `${epoch}.${seq}`, 'x-config-chain': snapshot.end.chain };
    const events = readEvents(await dataPlane.request(CONFIG_LINK.stream, headers, leaving.signal));
    let { chain } = snapshot.end;
    for (const [index, status] of (['suspended', 'active'] as const).entries()) {
      await publishTenantStatus(status);
      const event = await nextEvent(events);
      expect(event).toMatchObject({ event: 'delta', id: `${epoch}.${seq + index + 1}` });
      const delta = readDocument(event.data);
      expect(delta.header.base).toEqual({ epoch, seq: seq + index, chain });
      expect(delta.lines).toHaveLength(1);
      for (const line of delta.lines) chain = nextChain(chain, line);
      expect(delta.end.chain).toBe(chain);
    }
    leaving.abort();
  });

  it('from the very beginning leads to the same chain as the database has', async () => {
    const dataPlane = await enrol();
    const leaving = new AbortController();
    const headers = { 'last-event-id': '1.0', 'x-config-chain': CHAIN_START };
    const events = readEvents(await dataPlane.request(CONFIG_LINK.stream, headers, leaving.signal));
    const { lines, end } = readDocument((await nextEvent(events)).data);
    expect(lines.reduce((chain, line) => nextChain(chain, line), CHAIN_START)).toBe(end.chain);
    leaving.abort();
  });

  it.each([
    ['nothing', {}],
    ['a chain that is not ours', { 'last-event-id': '1.1', 'x-config-chain': 'A'.repeat(43) }],
    ['another epoch', { 'last-event-id': '2.0', 'x-config-chain': CHAIN_START }],
    ['a state of the future', { 'last-event-id': '1.999999', 'x-config-chain': CHAIN_START }],
  ])('is not made for a data plane that has %s: it is told to begin anew', async (_case, headers) => {
    const dataPlane = await enrol();
    const leaving = new AbortController();
    const events = readEvents(await dataPlane.request(CONFIG_LINK.stream, headers, leaving.signal));
    expect((await nextEvent(events)).event).toBe('resync');
    leaving.abort();
  });
});

describe('the config link', () => {
  it.each([CONFIG_LINK.snapshot, CONFIG_LINK.stream])('gives nothing on %s to who is not enrolled', async (path) => {
    const stranger = createSigningPair();
    const enrolled = await enrol();
    const expired = await token(enrolled.id, stranger.privateKey, CONFIG_LINK.audience, '-1s');
    for (const bearer of [
      '',
      'nonsense',
      await token(uuidv7(), stranger.privateKey),
      await token(enrolled.id, stranger.privateKey),
      expired,
    ]) {
      const response = await fetch(controlPlane.url + path, { headers: { authorization: `Bearer ${bearer}` } });
      expect(response.status).toBe(401);
      expect(await response.text()).not.toContain('api-key');
    }
  });

  it('is cut when the data plane is revoked, and refused from then on', async () => {
    const dataPlane = await enrol();
    const response = await dataPlane.request(CONFIG_LINK.stream);
    const ended = response.text().then(
      () => true,
      () => true,
    );
    expectDone(await controlPlane.services.dataPlanes.revoke(controlPlane.operator, dataPlane.id));
    expect(await ended).toBe(true);
    expect((await dataPlane.request(CONFIG_LINK.snapshot)).status).toBe(401);
  });

  it('records what a data plane has applied, and why it refused', async () => {
    const dataPlane = await enrol();
    const acks = [
      { status: 'applied', position: { epoch: 1, seq: 2 } },
      { status: 'refused', position: { epoch: 1, seq: 3 }, object: { kind: 'model', id: uuidv7() }, reason: 'broken' },
    ];
    for (const ack of acks) {
      expect((await dataPlane.post(CONFIG_LINK.ack, ack)).status).toBe(204);
    }
    const standing = (await controlPlane.services.dataPlanes.list(controlPlane.operator)).find(
      ({ id }) => id === dataPlane.id,
    );
    expect(standing).toMatchObject({ ackedEpoch: 1, ackedSeq: 2, lastRefusal: { reason: 'broken' } });
  });
});
