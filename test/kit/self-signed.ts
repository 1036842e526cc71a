import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/**
 * A certificate for servers of a test or a bench, made in memory: RFC 5280 by hand, ECDSA with SHA-256. Who trusts it as a
 * root takes it from a server of these names.
 */
export interface SelfSigned {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

/** @param names host names; `127.0.0.1` and `::1` always are in it */
export function makeSelfSigned(names: readonly string[] = ['localhost']): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(tag(0x31, sequence(COMMON_NAME, tag(0x0c, Buffer.from('pingtoken test')))));
  const now = Date.now();
  const content = sequence(
    tag(0xa0, integer(Buffer.of(2))),
    integer(Buffer.concat([Buffer.of(1), randomBytes(8)])),
    ECDSA_WITH_SHA256,
    name,
    sequence(utcTime(now - DAY_MS), utcTime(now + 30 * DAY_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tag(0xa3, sequence(IS_AUTHORITY, alternativeNames(names))),
  );
  const signature = sign('sha256', content, privateKey);
  const der = sequence(content, ECDSA_WITH_SHA256, tag(0x03, Buffer.of(0), signature));
  const base64 = der.toString('base64').replace(/.{1,64}/g, '$&\n');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${base64}-----END CERTIFICATE-----\n`,
  };
}

const DAY_MS = 86_400_000;

/** An element of DER: its tag, its length, its content. X.690, 8.1. */
function tag(kind: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(kind, ...head), content]);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tag(0x30, ...parts);
}

function integer(bytes: Uint8Array): Buffer {
  return tag(0x02, bytes);
}

function utcTime(ms: number): Buffer {
  const text = new Date(ms)
    .toISOString()
    .replace(/[-:T]|\.\d+/g, '')
    .slice(2);
  return tag(0x17, Buffer.from(text));
}

const identifier = (hex: string): Buffer => tag(0x06, Buffer.from(hex, 'hex'));
const COMMON_NAME = identifier('550403');
const ECDSA_WITH_SHA256 = sequence(identifier('2a8648ce3d040302'));
const TRUE = tag(0x01, Buffer.of(0xff));
const IS_AUTHORITY = sequence(identifier('551d13'), TRUE, tag(0x04, sequence(TRUE)));

function alternativeNames(names: readonly string[]): Buffer {
  const hosts = names.map((host) => tag(0x82, Buffer.from(host)));
  const addresses = [Buffer.of(127, 0, 0, 1), Buffer.concat([Buffer.alloc(15), Buffer.of(1)])];
  return sequence(identifier('551d11'), tag(0x04, sequence(...hosts, ...addresses.map((each) => tag(0x87, each)))));
}
