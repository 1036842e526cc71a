import type { CacheMark, MediaPart, TextPart } from '../chat.js';
import type { Fields } from './fields.js';

/** `content` as a string or as a list of text parts. */
export function readTexts(message: Fields): TextPart[] {
  return readParts(message).flatMap((part) => {
    if (part.kind === 'text') return [part];
    message.refuse('content', `"${message.pathOf('content')}" may hold nothing but text here.`);
    return [];
  });
}

/** `content` as a string or as a list of text, images, sounds and files. */
export function readParts(message: Fields): (TextPart | MediaPart)[] {
  return readContent(message).flatMap((item) => {
    if (typeof item === 'string') return [{ kind: 'text' as const, text: item }];
    const part = readPart(item);
    item.finish();
    return part === undefined ? [] : [part];
  });
}

/** An absent content is no content. Empty texts say nothing, and some vendors refuse them. */
export function readContent(message: Fields): readonly (string | Fields)[] {
  const content = message.any('content');
  if (content === undefined || content === '') return [];
  return typeof content === 'string' ? [content] : (message.list('content') ?? []);
}

function readPart(part: Fields): TextPart | MediaPart | undefined {
  const type = part.any('type');
  switch (type) {
    case 'text': {
      const text = part.string('text');
      const cache = readCacheMark(part);
      return text === undefined || text === '' ? undefined : { kind: 'text', text, ...cache };
    }
    case 'image_url':
      return readImage(part);
    case 'input_audio':
      return readAudio(part);
    case 'file':
      return readFile(part);
    default:
      part.refuse('type', `"${part.pathOf('type')}" must be one of: text, image_url, input_audio, file.`);
      return undefined;
  }
}

function readImage(part: Fields): MediaPart | undefined {
  const cache = readCacheMark(part);
  const image = part.nested('image_url');
  if (image === undefined) {
    part.refuse('image_url', `"${part.pathOf('image_url')}" must be an object with a url.`);
    return undefined;
  }
  const url = image.requiredString('url');
  const wish = image.oneOf('detail', ['auto', 'low', 'high', 'original']);
  // No other vendor knows more than "high", and OpenAI reads its own requests itself.
  const detail = wish === 'original' ? 'high' : wish;
  image.finish();
  const source = readUrl(url);
  if (source === undefined) image.refuse('url', 'An image must be given as an http(s) URL or as a base64 data URL.');
  return source && { kind: 'media', ...source, ...(detail === undefined ? {} : { detail }), ...cache };
}

const AUDIO_TYPES = { wav: 'audio/wav', mp3: 'audio/mpeg' } as const;

function readAudio(part: Fields): MediaPart | undefined {
  const cache = readCacheMark(part);
  const audio = part.nested('input_audio');
  const data = audio?.requiredString('data') ?? '';
  const format = audio?.oneOf('format', ['wav', 'mp3']);
  audio?.finish();
  if (format === undefined) {
    part.refuse(
      'input_audio',
      `"${part.pathOf('input_audio')}" must be an object with data, and a format of wav or mp3.`,
    );
    return undefined;
  }
  return { kind: 'media', mediaType: AUDIO_TYPES[format], source: { kind: 'base64', data }, ...cache };
}

function readFile(part: Fields): MediaPart | undefined {
  const cache = readCacheMark(part);
  const file = part.nested('file');
  const isStored = file?.any('file_id') !== undefined;
  if (isStored) {
    file.leaveOut(
      'file_id',
      'A stored file cannot be read by the provider that serves this model: give it as file_data.',
    );
  }
  const data = file?.string('file_data');
  const fileName = file?.string('filename');
  file?.finish();
  if (data === undefined || data === '') {
    if (isStored) return undefined;
    part.refuse('file', `"${part.pathOf('file')}" must be an object with file_data.`);
    return undefined;
  }
  // The documented form is a data URL; bare base64 is taken for what the API was made for.
  const source = readUrl(data) ?? { mediaType: 'application/pdf', source: { kind: 'base64' as const, data } };
  return { kind: 'media', ...source, ...(fileName === undefined ? {} : { fileName }), ...cache };
}

const DATA_URL = /^data:([^;,]+)(?:;[^;,]+)*;base64,/i;

function readUrl(url: string): Pick<MediaPart, 'mediaType' | 'source'> | undefined {
  if (/^https?:\/\//i.test(url)) return { mediaType: undefined, source: { kind: 'url', url } };
  // Only the head is searched: what follows may be megabytes.
  const head = DATA_URL.exec(url.slice(0, MAX_DATA_URL_HEAD));
  if (head?.[1] === undefined) return undefined;
  return { mediaType: head[1].toLowerCase(), source: { kind: 'base64', data: url.slice(head[0].length) } };
}

const MAX_DATA_URL_HEAD = 256;

/**
 * OpenAI's own breakpoints, and Anthropic's, which clients of this dialect send to Claude models. OpenAI's default life of 30
 * minutes stands for the default of others; whoever asks for a life asks for a long one.
 * https://platform.openai.com/docs/guides/prompt-caching, https://openrouter.ai/docs/features/prompt-caching
 */
export function readCacheMark(part: Fields): { readonly cache?: CacheMark } {
  const breakpoint = part.nested('prompt_cache_breakpoint');
  const lifetime = breakpoint?.oneOf('ttl', ['30m', '12h']);
  breakpoint?.oneOf('mode', ['explicit']);
  breakpoint?.finish();
  const control = part.nested('cache_control');
  const ttl = control?.oneOf('ttl', ['5m', '1h']);
  control?.oneOf('type', ['ephemeral']);
  control?.finish();
  if (control !== undefined) return { cache: { ttl: ttl ?? '5m' } };
  return breakpoint === undefined ? {} : { cache: { ttl: lifetime === undefined ? '5m' : '1h' } };
}
