import { describe, expect, it } from 'vitest';
import { pseudonymOf } from '../dialects/end-user.js';
import { refuse } from '../http-error.js';
import { checkCallerMessage, type MessageRules } from './caller-message.js';

const TRANSCRIBER = 'session.audio.input.transcription.model';
const KEY = 'k'.repeat(43);
const rules: MessageRules = {
  model: 'alias',
  upstreamModel: 'gpt-realtime',
  endUsers: { endUsers: 'pseudonym', pseudonymKey: KEY },
  transcriber: undefined,
  findTranscriber: (model) => (model === 'ears' ? 'whisper-1' : refuse('model_not_found', 'model')),
};
const check = (text: string, change: Partial<MessageRules> = {}) =>
  checkCallerMessage(Buffer.from(text), { ...rules, ...change });
const sent = (text: string, change: Partial<MessageRules> = {}): string => {
  const checked = check(text, change);
  if ('refused' in checked) throw new Error(`refused: ${checked.refused} ${checked.param ?? ''}`);
  return checked.bytes.toString();
};

describe('what goes on as it is', () => {
  it.each([
    '{"type":"input_audio_buffer.append","audio":"AAAA"}',
    ' { "type" : "response.create" , "response" : { "instructions":"\\u00e9", "n": 12345678901234567890 } } ',
    '{"type":"session.update","session":{"type":"realtime","instructions":"x","audio":{"input":{"turn_detection":null}}}}',
    '{"type":"session.update","session":{"audio":{"input":{"transcription":null}},"prompt":null,"tracing":null}}',
    '{"type":"conversation.item.create","item":{"model":"x","metadata":{"a":"b"},"content":[{"text":"{\\"model\\":1}"}]}}',
    '{"type":"session.update","session":"x","response":[1]}',
    '{"type":"something.new","thing":{"model":"y"}}',
  ])('%s', (text) => {
    expect(sent(text)).toBe(text);
  });
});

describe('what is replaced', () => {
  it.each([
    ['{"session":{"model":"alias"}}', '{"session":{"model":"gpt-realtime"}}'],
    ['{"session":{"model":"gpt-realtime"}}', '{"session":{"model":"gpt-realtime"}}'],
    ['{"response":{"mo\\u0064el" : "alias" ,"x":1}}', '{"response":{"mo\\u0064el" : "gpt-realtime" ,"x":1}}'],
    [
      '{"session":{"tracing":{"workflow_name":"Ada"},"model":"alias"}}',
      '{"session":{"tracing":null,"model":"gpt-realtime"}}',
    ],
    ['{"session":{"tracing":"auto"}}', '{"session":{"tracing":null}}'],
    [
      '{"session":{"user":"Ada","model":"alias","safety_identifier":"Ada"}}',
      `{"session":{"user":"${pseudonymOf(KEY, 'Ada')}","model":"gpt-realtime","safety_identifier":"${pseudonymOf(KEY, 'Ada')}"}}`,
    ],
    ['{"response":{"metadata":{"topic":"Ada"}}}', `{"response":{"metadata":{"topic":"${pseudonymOf(KEY, 'Ada')}"}}}`],
    [
      '{"session":{"audio":{"input":{"transcription":{"language":"en","model":"ears"}}}}}',
      '{"session":{"audio":{"input":{"transcription":{"language":"en","model":"whisper-1"}}}}}',
    ],
    [
      '{"type":"transcription_session.update","session":{"input_audio_transcription":{"model":"ears"}}}',
      '{"type":"transcription_session.update","session":{"input_audio_transcription":{"model":"whisper-1"}}}',
    ],
  ])('%s', (text, wanted) => {
    expect(sent(text)).toBe(wanted);
  });

  it('by nothing, where the tenant wants no pseudonyms', () => {
    const text = '{"session":{"tracing":"auto","user":"Ada","model":"alias","metadata":{"a":"Ada"}}}';
    const endUsers = { endUsers: 'drop', pseudonymKey: KEY } as const;
    expect(sent(text, { endUsers })).toBe('{"session":{"tracing":null,"model":"gpt-realtime"}}');
  });

  it('and what stood there is known, so that the caller finds its response again', () => {
    expect(check('{"response":{"metadata":{"topic":"Ada","n":1}}}')).toMatchObject({
      pseudonyms: [[pseudonymOf(KEY, 'Ada'), 'Ada']],
    });
  });
});

describe('what is refused', () => {
  it.each([
    ['{"session":{"model":"dear"}}', 'invalid_request', 'session.model'],
    ['{"session":{"model":null}}', 'invalid_request', 'session.model'],
    ['{"response":{"model":["alias"]}}', 'invalid_request', 'response.model'],
    ['{"type":"x","session":{},"session":{"model":"dear"}}', 'duplicate_field', null],
    ['{"session":{"model":"alias","model":"dear"}}', 'duplicate_field', 'session'],
    ['{"session":{"model":"alias","MODEL":"dear"}}', 'duplicate_field', 'session'],
    ['{"Session":{"model":"dear"}}', 'duplicate_field', 'session'],
    ['{"type":"input_audio_buffer.append","audio":"A","session":{"model":"dear"}}', 'invalid_request', 'session.model'],
    [
      '{"type":"input_audio_buffer.append","type":"session.update","session":{"model":"dear"}}',
      'duplicate_field',
      null,
    ],
    ['{"session":{"prompt":{"id":"pmpt_1"}}}', 'not_found', 'session.prompt'],
    ['{"response":{"prompt":{"id":"pmpt_1"}}}', 'not_found', 'response.prompt'],
    ['{"session":{"audio":{"input":{"transcription":{"model":"dear"}}}}}', 'model_not_found', TRANSCRIBER],
    ['{"session":{"audio":{"input":{"transcription":{}}}}}', 'invalid_request', TRANSCRIBER],
    ['{"session":{"audio":{"input":{"transcription":{"model":7}}}}}', 'invalid_request', TRANSCRIBER],
    ['{"session":{"audio":{"input":{},"input":{}}}}', 'duplicate_field', 'session.audio'],
    [
      '{"session":{"input_audio_transcription":{"model":"ears"},"audio":{"input":{"transcription":{"model":"x"}}}}}',
      'invalid_request',
      TRANSCRIBER,
    ],
    ['[{"type":"session.update"}]', 'malformed_json', null],
    ['not json', 'malformed_json', null],
    ['', 'malformed_json', null],
    ['{"type":', 'malformed_json', null],
    [`{"a":${'['.repeat(500)}${']'.repeat(500)}}`, 'malformed_json', null],
  ])('%s', (text, code, param) => {
    expect(check(text)).toMatchObject({ refused: code, param });
  });

  it('by the name that the caller gave its message', () => {
    expect(check('{"event_id":"e7","session":{"model":"dear"}}')).toMatchObject({ eventId: 'e7' });
    expect(check('{"event_id":7,"session":{"model":"dear"}}')).toMatchObject({ eventId: null });
  });

  it('bytes that are no text, which a provider might read as one', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    expect(checkCallerMessage(bytes, rules)).toMatchObject({ refused: 'malformed_json' });
  });
});

describe('the model that transcribes', () => {
  it('is named once, and may be left out and repeated then', () => {
    const transcriber = 'ears';
    const of = (transcription: string) => `{"session":{"audio":{"input":{"transcription":${transcription}}}}}`;
    expect(sent(of('{"language":"de"}'), { transcriber })).toBe(of('{"language":"de"}'));
    expect(sent(of('{"model":"ears"}'), { transcriber })).toBe(of('{"model":"whisper-1"}'));
    expect(check(of('{"model":"dear"}'), { transcriber })).toMatchObject({ refused: 'invalid_request' });
    expect(check(of('{"model":"ears"}'))).toMatchObject({ transcriber });
  });
});
