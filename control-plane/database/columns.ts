import { p, Type, type Platform } from '@mikro-orm/core';

/** `numeric(40,0)`: units of 10^-12 of the currency, a bigint in memory. */
class AmountType extends Type<bigint | null, string | null> {
  override convertToDatabaseValue(value: bigint | null): string | null {
    return value === null ? null : value.toString();
  }

  override convertToJSValue(value: string | bigint | null, _platform: Platform): bigint | null {
    return value === null ? null : BigInt(value);
  }

  override getColumnType(): string {
    return 'numeric(40,0)';
  }

  override compareAsType(): string {
    return 'bigint';
  }
}

/** An amount of money; see shared/money. */
export const amount = () => p.type(AmountType).$type<bigint, string>();

/** `timestamptz`, in UTC. */
export const instant = () => p.datetime(6).$type<Date>();

/** Every tenant-owned entity has this filter, on by default: a query without a tenant in its context is refused. */
export const OF_TENANT = {
  tenant: {
    name: 'tenant',
    cond: (parameters: { tenantId: string }) => ({ tenantId: parameters.tenantId }),
    default: true,
  },
} as const;
