import { Field, ObjectType, registerEnumType } from 'type-graphql';
import { GraphQLScalarType, Kind } from 'graphql';
import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import { formatAmount } from '@pingtoken/shared/money';
import { Refusal, type UserError } from '../database/refusal.js';

/** Wire types that several modules share. */
const errorCodeEnum = Object.fromEntries(Object.keys(ERROR_CODES).map((code) => [code.toUpperCase(), code]));
registerEnumType(errorCodeEnum, { name: 'ErrorCode', description: 'The codes of refusals, the same in every plane.' });

@ObjectType('UserError', { description: 'Why a request was not done. Nothing was stored.' })
class UserErrorType implements UserError {
  @Field(() => errorCodeEnum)
  code!: ErrorCode;

  @Field(() => String)
  message!: string;

  @Field(() => [String], { description: 'Path into the input; empty where the whole request is meant.' })
  path!: readonly string[];
}

/** Every mutation's payload: the result, or the reasons why there is none. */
@ObjectType()
export abstract class Payload {
  @Field(() => [UserErrorType])
  userErrors!: readonly UserError[];
}

/** Makes a payload of a result that may be a refusal. */
export function toPayload<Result, Fields extends object>(
  result: Result | Refusal,
  fields: (result: Result) => Fields,
): Partial<Fields> & Payload {
  if (result instanceof Refusal) return { userErrors: result.errors } as Partial<Fields> & Payload;
  return { ...fields(result), userErrors: [] };
}

/** An exact decimal as a string: a JSON number could not hold it. */
export const Decimal = new GraphQLScalarType<string, string>({
  name: 'Decimal',
  description: 'An exact decimal number as a string, such as "12.5".',
  serialize: (value) => {
    if (typeof value !== 'string') throw new TypeError('a Decimal is a string');
    return value;
  },
  parseValue: readDecimal,
  parseLiteral: (node) => {
    if (node.kind !== Kind.STRING) throw new TypeError('a Decimal is given as a string');
    return readDecimal(node.value);
  },
});

function readDecimal(value: unknown): string {
  if (typeof value !== 'string' || !/^-?\d{1,28}(\.\d{1,18})?$/.test(value)) {
    throw new TypeError('a Decimal is a string of digits, such as "12.5"');
  }
  return value;
}

@ObjectType({ description: 'An exact amount of money.' })
export class Money {
  @Field(() => Decimal)
  amount!: string;

  @Field(() => String, { description: 'ISO 4217' })
  currency!: string;
}

export function toMoney(units: bigint, currency: string): Money {
  return { amount: formatAmount(units), currency };
}

@ObjectType()
export class PageInfo {
  @Field(() => Boolean)
  hasNextPage!: boolean;

  @Field(() => String, { nullable: true, description: 'Pass as `after` to read on.' })
  endCursor!: string | null;
}
