/**
 * A JSON text that broke off, ended at its last whole value: the text of an answer can then be read as far as it was
 * delivered. A string value that was cut keeps what there is of it; a key without a value is left out.
 * @param text the beginning of a valid JSON text; a whole one comes back as it is
 */
export function completeJson(text: string): string {
  const closers: string[] = [];
  /** Behind the last value that is whole, or the last bracket that opened. */
  let wholeUntil = 0;
  let expectsKey = false;
  for (let at = 0; at < text.length; at += 1) {
    switch (text[at] ?? '') {
      case '"': {
        const end = stringEnd(text, at);
        if (end === -1) {
          return expectsKey
            ? text.slice(0, wholeUntil) + close(closers)
            : `${withoutCutEscape(text, at)}"${close(closers)}`;
        }
        at = end;
        if (!expectsKey) wholeUntil = at + 1;
        break;
      }
      case '{':
      case '[':
        expectsKey = text[at] === '{';
        closers.push(expectsKey ? '}' : ']');
        wholeUntil = at + 1;
        break;
      case '}':
      case ']':
        closers.pop();
        expectsKey = false;
        wholeUntil = at + 1;
        break;
      case ',':
        expectsKey = closers.at(-1) === '}';
        wholeUntil = at;
        break;
      case ':':
        expectsKey = false;
        break;
      default:
        break;
    }
  }
  return closers.length === 0 ? text : text.slice(0, wholeUntil) + close(closers);
}

function close(closers: readonly string[]): string {
  return closers.toReversed().join('');
}

/** @returns offset of the closing quote, or -1 */
function stringEnd(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return at;
  }
  return -1;
}

const LONGEST_ESCAPE = '\\u0000'.length;

/** A string that was cut inside an escape sequence, up to that. */
function withoutCutEscape(text: string, stringStart: number): string {
  for (let at = Math.max(stringStart + 1, text.length - LONGEST_ESCAPE); at < text.length; at += 1) {
    if (text[at] !== '\\' || isEscaped(text, at)) continue;
    const length = text[at + 1] === 'u' ? LONGEST_ESCAPE : 2;
    if (at + length > text.length) return text.slice(0, at);
  }
  return text;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}
