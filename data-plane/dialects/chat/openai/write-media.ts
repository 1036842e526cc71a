import type { ChatFeature, MediaPart } from '../chat.js';

const AUDIO_FORMATS: ReadonlyMap<string, string> = new Map([
  ['audio/wav', 'wav'],
  ['audio/x-wav', 'wav'],
  ['audio/wave', 'wav'],
  ['audio/mpeg', 'mp3'],
  ['audio/mp3', 'mp3'],
]);

/**
 * Images by URL or as data, sounds and files as data only. A URL without a media type is taken for an image's.
 * https://platform.openai.com/docs/api-reference/chat/create, `messages`
 * @returns the feature that is missing where the part cannot be said
 */
export function writeMedia(part: MediaPart): Readonly<Record<string, unknown>> | ChatFeature {
  const { source, mediaType = 'image/*' } = part;
  const kind = mediaType.split('/', 1)[0];
  if (kind === 'image') return writeImage(part, mediaType);
  const format = AUDIO_FORMATS.get(mediaType);
  if ((kind === 'audio' && format === undefined) || kind === 'video') return 'media';
  if (source.kind === 'url') return 'media.url';
  if (format !== undefined) return { type: 'input_audio', input_audio: { data: source.data, format } };
  const fileName = part.fileName ?? `document.${EXTENSIONS.get(mediaType) ?? 'txt'}`;
  return { type: 'file', file: { filename: fileName, file_data: `data:${mediaType};base64,${source.data}` } };
}

/** A file must have a name, and its ending tells what it is. */
const EXTENSIONS: ReadonlyMap<string, string> = new Map([
  ['application/pdf', 'pdf'],
  ['text/plain', 'txt'],
  ['text/markdown', 'md'],
  ['text/html', 'html'],
  ['text/csv', 'csv'],
  ['application/json', 'json'],
]);

function writeImage({ source, detail }: MediaPart, mediaType: string): Readonly<Record<string, unknown>> {
  const url = source.kind === 'url' ? source.url : `data:${mediaType};base64,${source.data}`;
  return { type: 'image_url', image_url: { url, ...(detail === undefined ? {} : { detail }) } };
}
