/** What chance goes by in routing a call: the last 32 bits of its id, which are random in a UUID of version 7. */
export function seedOf(requestId: string): number {
  return Number.parseInt(requestId.slice(-8), 16);
}
