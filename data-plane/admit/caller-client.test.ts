import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { dataPlaneEnvironment } from '../environment.js';
import { readCallerClient } from './caller-client.js';

const ranges = (text: string) => dataPlaneEnvironment.shape.TRUSTED_PROXIES.parse(text);

function addressOf(peer: string, headers: Record<string, string>, trusted: string): string {
  const request = { socket: { remoteAddress: peer }, headers } as unknown as IncomingMessage;
  return readCallerClient(request, ranges(trusted)).ip;
}

describe('the caller’s address', () => {
  it.each<[string, Record<string, string>, string, string, string]>([
    ['203.0.113.9', { 'x-forwarded-for': '1.1.1.1' }, '', '203.0.113.9', 'the socket’s, where no proxy is trusted'],
    ['::ffff:203.0.113.9', {}, '', '203.0.113.9', 'without the mapping into IPv6'],
    [
      '203.0.113.9',
      { 'x-forwarded-for': '1.1.1.1' },
      '10.0.0.0/8',
      '203.0.113.9',
      'the socket’s, where that proxy is not trusted',
    ],
    ['10.0.0.1', { 'x-forwarded-for': '198.51.100.7' }, '10.0.0.0/8', '198.51.100.7', 'what a trusted proxy says'],
    [
      '10.0.0.1',
      { 'x-forwarded-for': '6.6.6.6, 198.51.100.7' },
      '10.0.0.0/8',
      '198.51.100.7',
      'not what the caller claims',
    ],
    [
      '10.0.0.1',
      { 'x-forwarded-for': '6.6.6.6, 198.51.100.7, 10.2.3.4' },
      '10.0.0.0/8',
      '198.51.100.7',
      'through several',
    ],
    ['::ffff:10.0.0.1', { 'x-forwarded-for': '198.51.100.7:4711' }, '10.0.0.0/8', '198.51.100.7', 'without a port'],
    [
      '10.0.0.1',
      { forwarded: 'for=6.6.6.6, For="[2001:db8::7]:99";proto=https' },
      '10.0.0.1',
      '2001:db8::7',
      'from Forwarded',
    ],
    [
      '10.0.0.1',
      { forwarded: 'for=6.6.6.6', 'x-forwarded-for': '198.51.100.7' },
      '10.0.0.1',
      '198.51.100.7',
      'of both only one',
    ],
    [
      '10.0.0.1',
      { 'x-forwarded-for': '198.51.100.7, unknown' },
      '10.0.0.1',
      '10.0.0.1',
      'the last known before one that hides',
    ],
    ['10.0.0.1', { 'x-forwarded-for': '198.51.100.7, 0x7f.1' }, '10.0.0.1', '10.0.0.1', 'no address in disguise'],
    ['10.0.0.1', {}, '10.0.0.0/8', '10.0.0.1', 'the proxy’s, where it says nothing'],
    ['::1', { 'x-forwarded-for': '2001:db8::1' }, '::1, 10.0.0.0/8', '2001:db8::1', 'of IPv6'],
  ])('%s with %j trusting "%s" is %s: %s', (peer, headers, trusted, expected) => {
    expect(addressOf(peer, headers, trusted)).toBe(expected);
  });
});

describe('device and browser', () => {
  it('are what the caller says, cut to a bound', () => {
    const request = {
      socket: { remoteAddress: '203.0.113.9' },
      headers: { 'user-agent': 'x'.repeat(600), 'x-stainless-os': 'Linux', 'x-stainless-arch': 'arm64' },
    } as unknown as IncomingMessage;
    expect(readCallerClient(request, [])).toEqual({
      ip: '203.0.113.9',
      device: 'Linux arm64',
      browser: 'x'.repeat(512),
    });
  });

  it('come from a client hint in a browser', () => {
    const request = { socket: {}, headers: { 'sec-ch-ua-platform': '"macOS"' } } as unknown as IncomingMessage;
    expect(readCallerClient(request, [])).toEqual({ ip: '', device: 'macOS', browser: '' });
  });
});
