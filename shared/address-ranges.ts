import ipaddr from 'ipaddr.js';
import { z } from 'zod';

/** Address ranges such as `10.0.0.0/8`, or single addresses. */
export type AddressRange = ReturnType<typeof ipaddr.parseCIDR>;
export type Address = AddressRange[0];

/** A setting that lists address ranges, separated by commas; none by default. */
export function addressRangesSchema() {
  return z.string().default('').transform(readRanges);
}

/**
 * @param text ranges separated by commas
 * @throws Error when one of them is none
 */
export function parseAddressRanges(text: string): readonly AddressRange[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      if (!ipaddr.isValid(part)) return ipaddr.parseCIDR(part);
      const single = ipaddr.parse(part);
      return [single, single.kind() === 'ipv4' ? 32 : 128];
    });
}

export function areAddressRanges(text: string): boolean {
  try {
    parseAddressRanges(text);
    return true;
  } catch {
    return false;
  }
}

export function isInRanges(address: Address, ranges: readonly AddressRange[]): boolean {
  return ranges.some((range) => range[0].kind() === address.kind() && address.match(range));
}

function readRanges(text: string, context: z.RefinementCtx): readonly AddressRange[] {
  if (areAddressRanges(text)) return parseAddressRanges(text);
  context.addIssue({ code: 'custom', message: 'must be address ranges such as 10.0.0.0/8, separated by commas' });
  return z.NEVER;
}
