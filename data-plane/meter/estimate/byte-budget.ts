interface Waiting {
  readonly bytes: number;
  readonly admit: () => void;
}

/** Lets so many bytes be under way at once; who asks for more waits, in order. One that is larger than all goes alone. */
export class ByteBudget {
  readonly #limit: number;
  readonly #waiting: Waiting[] = [];
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#taken += bytes;
      return Promise.resolve();
    }
    return new Promise((admit) => {
      this.#waiting.push({ bytes, admit });
    });
  }

  give(bytes: number): void {
    this.#taken -= bytes;
    for (let [first] = this.#waiting; first !== undefined && this.#fits(first.bytes); [first] = this.#waiting) {
      this.#waiting.shift();
      this.#taken += first.bytes;
      first.admit();
    }
  }

  #fits(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.#limit;
  }
}
