import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { isInRanges, parseAddressRanges, type Address, type AddressRange } from './address-ranges.js';

/**
 * Where calls may go. A provider's base URL is judged when it is saved, and the address behind it each time that a data plane
 * connects, for what a name stands for can change in between. Attack: a base URL, or the name server of one, that leads a
 * gateway with all its credentials to the metadata service of its cloud, to a database on its network, or to itself.
 */

const table = (ranges: Readonly<Record<string, string>>): readonly (readonly [AddressRange, string])[] =>
  Object.entries(ranges).map(([range, meaning]) => [ipaddr.parseCIDR(range), meaning] as const);

/** https://www.iana.org/assignments/iana-ipv4-special-registry: what is not somebody's address on the internet. */
const NOT_PUBLIC_IPV4 = table({
  '0.0.0.0/8': 'this host',
  '10.0.0.0/8': 'private',
  '100.64.0.0/10': 'carrier-grade NAT',
  '127.0.0.0/8': 'loopback',
  '169.254.0.0/16': 'link-local',
  '172.16.0.0/12': 'private',
  '192.0.0.0/24': 'reserved',
  '192.0.2.0/24': 'documentation',
  '192.88.99.0/24': '6to4',
  '192.168.0.0/16': 'private',
  '198.18.0.0/15': 'benchmarking',
  '198.51.100.0/24': 'documentation',
  '203.0.113.0/24': 'documentation',
  '224.0.0.0/4': 'multicast',
  '240.0.0.0/4': 'reserved',
});

/**
 * https://www.iana.org/assignments/iana-ipv6-special-registry. Those that carry an IPv4 address inside (compatible, NAT64,
 * 6to4, Teredo) are here whatever they carry: which host they lead to is decided by a translator on the way.
 */
const NOT_PUBLIC_IPV6 = table({
  '::1/128': 'loopback',
  '::/96': 'IPv4-compatible',
  '64:ff9b::/96': 'NAT64',
  '64:ff9b:1::/48': 'NAT64',
  '2001::/32': 'Teredo',
  '2001::/23': 'reserved',
  '2001:db8::/32': 'documentation',
  '2002::/16': '6to4',
  '3fff::/20': 'documentation',
  'fc00::/7': 'private',
  'fe80::/10': 'link-local',
  'fec0::/10': 'site-local',
  'ff00::/8': 'multicast',
});

/** All of the unicast internet that IANA has given out so far lies in here. RFC 4291, 2.4. */
const GLOBAL_UNICAST_IPV6 = parseAddressRanges('2000::/3');
const NAT64 = parseAddressRanges('64:ff9b::/96');

/**
 * Metadata services of clouds (Amazon, Google, Azure and others; Alibaba; Oracle; Azure's host agent). They hand out the
 * machine's own credentials to whoever asks from it, so no range that an operator allows includes them.
 */
const METADATA_SERVICES = parseAddressRanges(
  '169.254.169.254, 169.254.170.2, 169.254.170.23, fd00:ec2::254, fd00:ec2::23, fd20:ce::254, 100.100.100.200, 192.0.0.192, 168.63.129.16',
);

/**
 * @param text an address as the system gives it, not as a person may spell it
 * @param allowed private ranges that the operator has opened
 * @returns what forbids connecting to it, in a word or two; undefined where nothing does
 */
export function addressFault(text: string, allowed: readonly AddressRange[]): string | undefined {
  if (isIP(text) === 0) return 'no address';
  // The parser below takes this spelling, which systems write for compatible addresses, for a mapped one.
  if (/^::\d+\.\d+\.\d+\.\d+$/.test(text)) return 'IPv4-compatible';
  // An IPv4-mapped address is connected to over IPv4, so it is judged as that.
  const address = ipaddr.process(text);
  if (isInRanges(address, METADATA_SERVICES)) return 'a metadata service';
  const meaning = specialMeaning(address);
  if (meaning === undefined || !isInRanges(address, allowed)) return meaning;
  // A network that translates is allowed as a whole; what it translates to has to be public, or allowed itself.
  return isInRanges(address, NAT64) ? addressFault(lastFourBytes(address), allowed) : undefined;
}

function specialMeaning(address: Address): string | undefined {
  const known = address.kind() === 'ipv4' ? NOT_PUBLIC_IPV4 : NOT_PUBLIC_IPV6;
  for (const [range, meaning] of known) if (isInRanges(address, [range])) return meaning;
  return address.kind() === 'ipv4' || isInRanges(address, GLOBAL_UNICAST_IPV6) ? undefined : 'reserved';
}

function lastFourBytes(address: Address): string {
  return address.toByteArray().slice(-4).join('.');
}

/** Names by which metadata services are reached. */
const METADATA_NAMES: ReadonlySet<string> = new Set([
  'metadata',
  'metadata.goog',
  'metadata.google.internal',
  'metadata.tencentyun.com',
  'instance-data',
  'instance-data.ec2.internal',
]);

/** Names that no public name server knows. RFC 6761, 6762, 8375; `internal` is reserved by ICANN for private use. */
const PRIVATE_NAME = /(?:^[^.]+|\.(?:localhost|localdomain|local|internal|intranet|lan|home\.arpa))$/;
const LOOPBACK_NAME = /^(?:localhost|ip6-localhost|ip6-loopback|localhost\.localdomain|.+\.localhost)$/;

/**
 * Judges a provider's base URL as it is about to be saved.
 * @returns what forbids it, as a sentence for the one who saves it; undefined where nothing does, or where it is no URL at all
 */
export function upstreamUrlFault(text: string, allowed: readonly AddressRange[]): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'The address must begin with https:// or http://.';
  if (/[\\\s]/.test(text)) return 'The address must not hold backslashes or white space.';
  if (text.includes('@')) return 'The address must not hold a login.';
  if (text.includes('?') || text.includes('#')) return 'The address must not hold a query or a fragment.';
  // Attack: 0x7f.1, 2130706433 and 127.1 are 127.0.0.1 to one reader and a name to another. Only the plain spelling will do.
  if (spelledHost(text) !== url.hostname) return `The host must be spelt ${url.hostname}.`;
  if (url.hostname.endsWith('.')) return 'The host must not end with a dot.';
  return hostFault(url.hostname, allowed);
}

function spelledHost(text: string): string | undefined {
  return /^https?:\/\/(\[[^\]/]*\]|[^:/]*)(?::\d*)?(?:\/|$)/i.exec(text)?.[1]?.toLowerCase();
}

function hostFault(host: string, allowed: readonly AddressRange[]): string | undefined {
  const bare = host.replace(/^\[|\]$/g, '');
  if (isIP(bare) !== 0) {
    const meaning = addressFault(bare, allowed);
    return meaning === undefined ? undefined : `The host's address may not be called: ${meaning}.`;
  }
  if (METADATA_NAMES.has(host)) return "The host's address may not be called: a metadata service.";
  if (LOOPBACK_NAME.test(host)) {
    const isAllowed = ['127.0.0.1', '::1'].some((address) => addressFault(address, allowed) === undefined);
    return isAllowed ? undefined : "The host's address may not be called: loopback.";
  }
  return PRIVATE_NAME.test(host) && allowed.length === 0 ? 'The host is a name of a private network.' : undefined;
}
