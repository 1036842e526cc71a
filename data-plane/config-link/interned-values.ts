/**
 * Values that many rows share, such as the limits of keys: each is kept once, and a row holds its number. They are kept for as
 * long as the tables are, that is until the next snapshot.
 */
export class InternedValues<Value> {
  readonly #values: Value[];
  readonly #numbers = new Map<string, number>();

  /** @param first has number 0: what a row that says nothing means */
  constructor(private readonly first: Value) {
    this.#values = [first];
    this.#numbers.set(JSON.stringify(first), 0);
  }

  numberOf(value: Value): number {
    const text = JSON.stringify(value);
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#numbers.set(text, this.#values.length);
    this.#values.push(freeze(value));
    return this.#values.length - 1;
  }

  /** @returns shared with every row of that number, and frozen */
  valueOf(number: number): Value {
    return this.#values[number] ?? this.first;
  }
}

function freeze<Value>(value: Value): Value {
  return Object.freeze(Array.isArray(value) ? ([...value] as Value) : value);
}
