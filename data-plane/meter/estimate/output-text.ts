/** Takes what a reader finds in a provider's answer: in an event of a stream, or in a whole body. */
export interface OutputSink {
  /** @param channel texts of one channel continue each other */
  text(channel: string, text: unknown): void;
  reasoning(channel: string, text: unknown): void;
  /** An image in the answer, at a flat number of output tokens. */
  image(): void;
}

/** A value's members, none where it is no object: what providers send is read leniently, it is not ours to refuse. */
export function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : NO_MEMBERS;
}

export function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : NO_ITEMS;
}

const NO_MEMBERS: Readonly<Record<string, unknown>> = {};
const NO_ITEMS: readonly unknown[] = [];

/** Part of a channel's name; what is no index is the first. */
export function indexOf(value: unknown): string {
  return typeof value === 'number' ? String(value) : '0';
}
