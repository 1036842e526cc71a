import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddressRanges } from './address-ranges.js';
import { addressFault, upstreamUrlFault } from './upstream-url.js';

const LOOPBACK = parseAddressRanges('127.0.0.0/8, ::1/128');
const NONE = parseAddressRanges('');

describe('an address', () => {
  it.each([
    ['0.0.0.0', 'this host'],
    ['0.1.2.3', 'this host'],
    ['10.255.255.255', 'private'],
    ['100.64.0.1', 'carrier-grade NAT'],
    ['100.127.255.255', 'carrier-grade NAT'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['169.254.0.1', 'link-local'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.0.0.1', 'reserved'],
    ['192.0.2.1', 'documentation'],
    ['192.88.99.1', '6to4'],
    ['192.168.0.1', 'private'],
    ['198.18.0.1', 'benchmarking'],
    ['198.51.100.1', 'documentation'],
    ['203.0.113.1', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['::', 'IPv4-compatible'],
    ['::1', 'loopback'],
    ['::127.0.0.1', 'IPv4-compatible'],
    ['::7f00:1', 'IPv4-compatible'],
    ['::8.8.8.8', 'IPv4-compatible'],
    ['0:0:0:0:0:0:8.8.8.8', 'IPv4-compatible'],
    ['::808:808', 'IPv4-compatible'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:a00:1', 'private'],
    ['::ffff:0:127.0.0.1', 'reserved'],
    ['64:ff9b::10.0.0.1', 'NAT64'],
    ['64:ff9b::8.8.8.8', 'NAT64'],
    ['64:ff9b:1::a00:1', 'NAT64'],
    ['100::1', 'reserved'],
    ['2001:0:1:2::3', 'Teredo'],
    ['2001:2::1', 'reserved'],
    ['2001:20::1', 'reserved'],
    ['2001:db8::1', 'documentation'],
    ['2002:7f00:1::', '6to4'],
    ['3fff::1', 'documentation'],
    ['4000::1', 'reserved'],
    ['5f00::1', 'reserved'],
    ['fc00::1', 'private'],
    ['fd12:3456::1', 'private'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['fec0::1', 'site-local'],
    ['ff02::1', 'multicast'],
    ['169.254.169.254', 'a metadata service'],
    ['::ffff:169.254.169.254', 'a metadata service'],
    ['fd00:ec2::254', 'a metadata service'],
    ['168.63.129.16', 'a metadata service'],
    ['100.100.100.200', 'a metadata service'],
    ['localhost', 'no address'],
    ['127.1', 'no address'],
    ['', 'no address'],
  ])('%s may not be connected to: %s', (address, meaning) => {
    expect(addressFault(address, NONE)).toBe(meaning);
  });

  it.each(['1.1.1.1', '8.8.8.8', '172.32.0.1', '100.128.0.1', '::ffff:8.8.8.8', '2606:4700::1111', '2a00:1450::1'])(
    '%s may be connected to',
    (address) => {
      expect(addressFault(address, NONE)).toBeUndefined();
    },
  );

  it('in a range that the operator opened may be connected to, and no other', () => {
    const allowed = parseAddressRanges('10.1.0.0/16, fd00::/8');
    for (const address of ['10.1.2.3', '::ffff:10.1.2.3', 'fd00::7']) {
      expect(addressFault(address, allowed)).toBeUndefined();
    }
    for (const address of ['10.2.0.1', '127.0.0.1', '::1', '64:ff9b::10.1.2.3']) {
      expect(addressFault(address, allowed)).toBeDefined();
    }
  });

  it('of a metadata service is not opened by any range', () => {
    const everything = parseAddressRanges('0.0.0.0/0, ::/0');
    for (const address of ['169.254.169.254', 'fd00:ec2::254', '64:ff9b::169.254.169.254', '100.100.100.200']) {
      expect(addressFault(address, everything)).toBe('a metadata service');
    }
  });

  it('behind a translator that the operator opened is judged by what it is translated to', () => {
    const allowed = parseAddressRanges('64:ff9b::/96');
    expect(addressFault('64:ff9b::8.8.8.8', allowed)).toBeUndefined();
    expect(addressFault('64:ff9b::10.0.0.1', allowed)).toBe('private');
  });

  it('is judged alike as IPv4 and mapped into IPv6', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(addressFault(`::ffff:${address}`, NONE)).toBe(addressFault(address, NONE));
      }),
    );
  });
});

describe('a base URL is not saved', () => {
  it.each([
    'http://127.0.0.1/v1',
    'http://127.1/v1',
    'http://2130706433/v1',
    'http://0x7f000001/v1',
    'http://0x7f.1/v1',
    'http://017700000001/v1',
    'http://0177.0.0.1/v1',
    'http://127.0.0.1./v1',
    'http://127。0。0。1/v1',
    'http://①②⑦.0.0.1/v1',
    'http://%31%32%37.0.0.1/v1',
    'http://[::1]/v1',
    'http://[0:0:0:0:0:0:0:1]/v1',
    'http://[::ffff:127.0.0.1]/v1',
    'http://[::ffff:7f00:1]/v1',
    'http://[64:ff9b::7f00:1]/v1',
    'http://[fe80::1]/v1',
    'http://169.254.169.254/latest/meta-data',
    'http://metadata.google.internal/v1',
    'http://metadata/v1',
    'http://localhost/v1',
    'http://LOCALHOST:8080/v1',
    'http://localhost./v1',
    'http://a.localhost/v1',
    'http://localhost.localdomain/v1',
    'http://intranet-host/v1',
    'http://models.internal/v1',
    'http://models.local/v1',
    'https://api.provider.com./v1',
    'https://key@api.provider.com/v1',
    'https://:secret@api.provider.com/v1',
    'https://api.provider.com\\@127.0.0.1/v1',
    'https://api.provider.com/v1?key=secret',
    'https://api.provider.com/v1#fragment',
    ' https://api.provider.com/v1',
    'https://api.provi\tder.com/v1',
    'https:api.provider.com/v1',
    'https:///api.provider.com/v1',
    'https://8.8.2056/v1',
    'https://0x08080808/v1',
    'ftp://api.provider.com/v1',
    'file:///etc/passwd',
  ])('%s', (url) => {
    expect(upstreamUrlFault(url, NONE)).toMatch(/^[A-Z].*\.$/);
  });
});

describe('a base URL is saved', () => {
  it.each([
    'https://api.openai.com/v1',
    'https://API.OpenAI.com:443/v1',
    'http://api.provider.example:8080',
    'https://8.8.8.8/v1',
    'https://[2606:4700::1111]:8443/v1',
    'https://xn--bcher-kva.example/v1',
    'https://example.com/a%20b/v1/',
  ])('%s', (url) => {
    expect(upstreamUrlFault(url, NONE)).toBeUndefined();
  });

  it('where the operator opened what it leads to', () => {
    for (const url of [
      'http://127.0.0.1:8090/v1',
      'http://[::1]/v1',
      'http://localhost:8090/v1',
      'http://simulator/v1',
    ]) {
      expect(upstreamUrlFault(url, LOOPBACK)).toBeUndefined();
    }
    const elsewhere = parseAddressRanges('10.0.0.0/8');
    expect(upstreamUrlFault('http://localhost:8090/v1', elsewhere)).toContain('loopback');
    expect(upstreamUrlFault('http://2130706433/v1', LOOPBACK)).toContain('127.0.0.1');
    expect(upstreamUrlFault('http://metadata.google.internal/v1', LOOPBACK)).toContain('metadata');
  });

  it('never with a host of numbers alone that is not its plain address, whatever base they are in', () => {
    const part = fc.nat({ max: 255 });
    const spelling = fc.constantFrom(
      (value: number) => String(value),
      (value: number) => `0x${value.toString(16)}`,
      (value: number) => `0${value.toString(8)}`,
    );
    fc.assert(
      fc.property(
        fc.tuple(part, part, part, part),
        fc.tuple(spelling, spelling, spelling, spelling),
        (parts, spell) => {
          const host = parts.map((value, index) => (spell[index] ?? String)(value)).join('.');
          const isPlain = host === parts.join('.');
          const fault = upstreamUrlFault(`http://${host}/v1`, NONE);
          if (isPlain) expect(fault === undefined).toBe(addressFault(host, NONE) === undefined);
          else expect(fault).toBeDefined();
        },
      ),
    );
  });
});
