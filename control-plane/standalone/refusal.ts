/** A start that is refused. The message is one sentence for a terminal: what is wrong and what the reader can do. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}
