/** @throws Error where what a model promises is not so */
export function claim(isTrue: boolean, sentence: string): void {
  if (!isTrue) throw new Error(`not true: ${sentence}`);
}

export function createIds(): () => string {
  let next = 0;
  return () => {
    next += 1;
    return `0190b000-0000-7000-8000-${next.toString(16).padStart(12, '0')}`;
  };
}
