import type { IncomingMessage } from 'node:http';
import ipaddr from 'ipaddr.js';
import type { CallerClient } from '@pingtoken/shared/usage-event';
import type { AddressRange } from '../environment.js';

const MAX_CHARACTERS = 512;

/** Who calls, as far as the caller says. Only ever sealed to the key's owner, and sent nowhere else. */
export function readCallerClient(request: IncomingMessage, trustedProxies: readonly AddressRange[]): CallerClient {
  const { headers } = request;
  return {
    ip: callerAddress(request, trustedProxies).slice(0, MAX_CHARACTERS),
    device: readDevice(headers).slice(0, MAX_CHARACTERS),
    browser: (headers['user-agent'] ?? '').slice(0, MAX_CHARACTERS),
  };
}

/** A browser's client hint, or what OpenAI's clients say of their machine. */
function readDevice(headers: IncomingMessage['headers']): string {
  const hint = headers['sec-ch-ua-platform'];
  if (typeof hint === 'string') return hint.replace(/^"|"$/g, '');
  const parts = [headers['x-stainless-os'], headers['x-stainless-arch']];
  return parts.filter((part) => typeof part === 'string').join(' ');
}

/**
 * The address nearest to us that no trusted proxy vouches for. Attack: a caller writes addresses of its own into
 * `X-Forwarded-For`; they stand to the left of what the first trusted proxy appended, so reading from the right stops before
 * them. Where both headers are there, `Forwarded` (RFC 7239) is not read: a proxy that appends to the one passes on whatever
 * the caller put into the other.
 */
function callerAddress({ socket, headers }: IncomingMessage, trustedProxies: readonly AddressRange[]): string {
  const peer = socket.remoteAddress ?? '';
  if (trustedProxies.length === 0) return plainAddress(peer);
  let address = parseAddress(peer);
  if (address === undefined) return peer;
  const hops = forwardedHops(headers);
  while (isTrusted(address, trustedProxies)) {
    const hop = hops.pop();
    const next: ParsedAddress | undefined = hop === undefined ? undefined : parseAddress(hop);
    // A hop that cannot be read hides the caller; the last one that can is the best that is known.
    if (next === undefined) break;
    address = next;
  }
  return address.toString();
}

type ParsedAddress = ReturnType<typeof ipaddr.process>;

function forwardedHops(headers: IncomingMessage['headers']): string[] {
  const list = headers['x-forwarded-for'];
  if (list !== undefined) return String(list).split(',');
  const { forwarded } = headers;
  if (forwarded === undefined) return [];
  return forwarded.split(',').map((element) => /(?:^|;)\s*for=("[^"]*"|[^;\s]*)/i.exec(element)?.[1] ?? '');
}

/** Without the quotes, brackets and port that the headers allow around an address. */
function parseAddress(text: string): ParsedAddress | undefined {
  const bare = text.trim().replace(/^"|"$/g, '');
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(bare)?.[1];
  const candidate = bracketed ?? bare.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
  // Node takes 1.2.3 and 0x7f.1 for addresses too; no proxy writes them.
  const isPlain = candidate.includes(':') || ipaddr.IPv4.isValidFourPartDecimal(candidate);
  return isPlain && ipaddr.isValid(candidate) ? ipaddr.process(candidate) : undefined;
}

function plainAddress(peer: string): string {
  return peer.startsWith('::ffff:') ? peer.slice('::ffff:'.length) : peer;
}

function isTrusted(address: ParsedAddress, ranges: readonly AddressRange[]): boolean {
  return ranges.some(([range, bits]) => range.kind() === address.kind() && address.match(range, bits));
}
