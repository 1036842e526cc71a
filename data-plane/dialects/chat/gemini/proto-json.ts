import { z } from 'zod';
import type { FieldFault, UnreadableRequest } from '../chat.js';
import { isObject, plainNumber } from '../json.js';

/**
 * Google's APIs take protocol-buffer JSON: a field may be spelt in camelCase or in snake_case, null means that it is not
 * given, and their own examples give one value where a list is meant. https://protobuf.dev/programming-guides/json/
 */
export function message<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.preprocess(nameInCamelCase, z.strictObject(shape));
}

/** A repeated field. */
export function list<Item extends z.ZodType>(item: Item) {
  return z.preprocess((value) => (value === undefined || Array.isArray(value) ? value : [value]), z.array(item));
}

export const number = z.preprocess(plainNumber, z.number());
export const wholeNumber = z.preprocess(plainNumber, z.int());
export const count = z.preprocess(plainNumber, z.int().nonnegative());

/** A JSON object whose fields are the caller's own: never renamed, never looked into. */
export const freeObject = z.custom<Readonly<Record<string, unknown>>>(
  isObject,
  'The field "{field}" must be an object.',
);

/** `{field}` becomes the place, in the caller's spelling. */
const INEXPRESSIBLE = 'The field "{field}" cannot be used with this model, which is served through another API.';

/** A field without a place elsewhere, harmless with the values that say what holds anyway. */
export function onlyWhere(isHarmless: (value: unknown) => boolean) {
  return z.unknown().refine(isHarmless, INEXPRESSIBLE).optional();
}

/** Says inside a transformation that a request cannot be read. `path` leads on from the value that is transformed. */
export function refuse(context: z.RefinementCtx, path: PropertyKey[], sentence = INEXPRESSIBLE): void {
  context.addIssue({ code: 'custom', message: sentence, path });
}

/**
 * Every field of the body that a schema has no place for, and the body without them.
 * @returns the first fault, in words for the caller, where the body has others too
 */
export function leaveOut(
  body: unknown,
  error: z.ZodError,
): UnreadableRequest | { readonly rest: unknown; readonly leftOut: readonly FieldFault[] } {
  const inexpressible = error.issues.filter(isInexpressible);
  // What is wrong with an object that also holds such a field is looked at again without it.
  const wrong = error.issues.find(
    (issue) => !isInexpressible(issue) && !inexpressible.some(({ path }) => isInside(path, issue.path)),
  );
  if (wrong !== undefined) {
    const { field, value } = locate(body, wrong.path);
    return { unreadable: { field, message: sentenceOf(wrong, value).replaceAll('{field}', field) } };
  }
  const paths = inexpressible.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path],
  );
  const places = paths.map((path) => locate(body, path));
  return {
    // From behind, so that a place in a list is still the same when its turn comes.
    rest: places.toSorted(fromBehind).reduce((rest, { steps }) => without(rest, steps), body),
    leftOut: places.map(({ field }) => ({ field, message: INEXPRESSIBLE.replaceAll('{field}', field) })),
  };
}

function isInexpressible(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'unrecognized_keys' || (issue.code === 'custom' && issue.message === INEXPRESSIBLE);
}

function isInside(path: readonly PropertyKey[], outer: readonly PropertyKey[]): boolean {
  return outer.every((step, index) => path[index] === step);
}

function fromBehind({ steps: one }: Place, { steps: other }: Place): number {
  for (const [index, step] of one.entries()) {
    const facing = other[index];
    if (typeof step === 'number' && typeof facing === 'number' && step !== facing) return facing - step;
    if (step !== facing) return 0;
  }
  return 0;
}

/** An object that has lost all that it said goes too, but for those of the body itself. */
function without(value: unknown, [step, ...rest]: readonly (string | number)[], isBody = true): unknown {
  if (step === undefined) return value;
  if (Array.isArray(value)) {
    return (value as unknown[]).flatMap((item, index) => {
      if (index !== step) return [item];
      const left = without(item, rest, false);
      return isEmpty(left) ? [] : [left];
    });
  }
  if (!isObject(value)) return value;
  const { [step]: inner, ...others } = value;
  if (rest.length === 0) return others;
  const left = without(inner, rest, false);
  return isEmpty(left) && !isBody ? others : { ...value, [step]: left };
}

function isEmpty(value: unknown): boolean {
  return isObject(value) && Object.keys(value).length === 0;
}

/** @returns the object with every field in camelCase and none that is null; other values as they are */
export function nameInCamelCase(value: unknown): unknown {
  if (!isObject(value)) return value;
  const named: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value)) {
    if (field === null) continue;
    const camelCase = key.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
    // Given in both spellings, the second stays as it is: a field that nobody knows, and so refused.
    named[camelCase in named ? key : camelCase] = field;
  }
  return named;
}

function sentenceOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'custom') return issue.message;
  if (value === undefined || value === null) return 'The field "{field}" is required.';
  if (issue.code === 'invalid_type')
    return `The field "{field}" must be ${TYPE_NAMES[issue.expected] ?? 'of another type'}.`;
  if (issue.code === 'invalid_value')
    return `The field "{field}" must be one of ${issue.values.map(String).join(', ')}.`;
  if (issue.code === 'too_small' && issue.origin !== 'array') return 'The field "{field}" must not be negative.';
  return 'The field "{field}" is not valid.';
}

const TYPE_NAMES: Readonly<Partial<Record<string, string>>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
};

/** Follows a path through the body as the caller spelt it. */
function locate(body: unknown, path: readonly PropertyKey[]): Place {
  const steps: (string | number)[] = [];
  let field = '';
  let value = body;
  for (const step of path) {
    if (typeof step === 'number') {
      // One value in place of a list: the caller knows of no index.
      if (!Array.isArray(value)) continue;
      field += `[${step}]`;
      steps.push(step);
      value = (value as unknown[])[step];
      continue;
    }
    const camelCase = String(step);
    const snakeCase = camelCase.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const fields = isObject(value) ? value : {};
    const spelt = !(camelCase in fields) && snakeCase in fields ? snakeCase : camelCase;
    field += field === '' ? spelt : `.${spelt}`;
    steps.push(spelt);
    value = fields[spelt];
  }
  return { field, value, steps };
}

interface Place {
  readonly field: string;
  readonly value: unknown;
  readonly steps: readonly (string | number)[];
}
