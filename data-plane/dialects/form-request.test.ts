import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EndUserSetting } from './end-user.js';
import { pseudonymOf } from './end-user.js';
import { editFormRequest, readFormRequest, type FormRequest } from './form-request.js';

const pseudonymKey = Buffer.alloc(32, 7).toString('base64url');
const PSEUDONYM: EndUserSetting = { endUsers: 'pseudonym', pseudonymKey };
const DROP: EndUserSetting = { endUsers: 'drop', pseudonymKey };
const TYPE = 'multipart/form-data; boundary=b-1';

interface Written {
  readonly head: string;
  readonly content: string;
}

const field = (name: string, content: string): Written => ({
  head: `Content-Disposition: form-data; name="${name}"`,
  content,
});
const file = (content: string): Written => ({
  head: 'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg',
  content,
});
const write = (parts: readonly Written[]): string =>
  `${parts.map(({ head, content }) => `--b-1\r\n${head}\r\n\r\n${content}\r\n`).join('')}--b-1--\r\n`;
const MODEL = field('model', 'alias');

function read(body: string | Buffer, contentType = TYPE): FormRequest | string {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
  const request = readFormRequest(bytes, contentType, 'images');
  return 'refused' in request ? `${request.refused} ${request.param ?? ''}`.trim() : request;
}

function edit(body: string, setting = PSEUDONYM, upstreamModel = 'up'): string {
  const request = read(body);
  if (typeof request === 'string') throw new Error(request);
  return editFormRequest(request, upstreamModel, setting).toString('latin1');
}

describe('a form', () => {
  it('keeps every byte but those of the model’s name', () => {
    const noise = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte));
    const body = write([file(`${noise}\r\n--b-\r\n--b\r\nmodel`), MODEL, field('prompt', 'name="model"\r\n\r\nalias')]);
    expect(edit(body)).toBe(body.replace('\r\n\r\nalias\r\n--b', '\r\n\r\nup\r\n--b'));
    expect(edit(body, PSEUDONYM, 'alias')).toBe(body);
  });

  it('is read as every client writes it', async () => {
    const form = new FormData();
    form.append('file', new Blob([Buffer.alloc(70_000, 0xfe)], { type: 'audio/mpeg' }), 'naïve "song"\r\n.mp3');
    form.append('model', 'alias');
    form.append('stream', 'true');
    form.append('n', '3');
    form.append('timestamp_granularities[]', 'word');
    form.append('timestamp_granularities[]', 'segment');
    const response = new Response(form);
    const bytes = Buffer.from(await response.arrayBuffer());
    const request = read(bytes, response.headers.get('content-type') ?? '');
    expect(request).toMatchObject({ model: 'alias', streamed: true, assumedUsage: { image: 3, request: 1 } });
  });

  it.each([
    ['.NET, without quotes', 'Content-Disposition: form-data; name=model', TYPE],
    [
      '.NET, with its type',
      'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=model',
      TYPE,
    ],
    [
      'Apache',
      'Content-Disposition: form-data; name="model"\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit',
      TYPE,
    ],
    ['curl', 'content-disposition:form-data; name="model"', 'Multipart/Form-Data; boundary=b-1'],
    [
      'a writer with a quoted boundary',
      'Content-Disposition: form-data; name="model"',
      'multipart/form-data; boundary="b-1"',
    ],
  ])('is read of %s', (_client, head, contentType) => {
    const body = write([{ head, content: 'alias' }]);
    expect(read(body, contentType)).toMatchObject({ model: 'alias', streamed: false });
    expect(read(body.slice(0, -2), contentType)).toMatchObject({ model: 'alias' });
  });

  it('hides the end user', () => {
    const user = field('user', 'ada@example.com');
    const metadata = field('metadata', '{"a":1}');
    const ada = pseudonymOf(pseudonymKey, 'ada@example.com');
    const hidden = write([
      field('user', ada),
      MODEL,
      field('metadata', pseudonymOf(pseudonymKey, '{"a":1}')),
      file('x'),
    ]);
    const body = write([user, MODEL, metadata, file('x')]);
    expect(edit(body, PSEUDONYM, 'alias')).toBe(hidden);
    expect(edit(body, DROP)).toBe(write([field('model', 'up'), file('x')]));
    expect(edit(write([MODEL, file('x'), metadata, user]), DROP)).toBe(write([field('model', 'up'), file('x')]));
  });
});

const twice = 'duplicate_field model';
const bad = 'invalid_request';

describe('a form that two readers could read differently is refused', () => {
  it.each([
    ['two models', write([MODEL, field('model', 'dear')]), twice],
    ['two models of the same name', write([MODEL, MODEL]), twice],
    ['a model in another case', write([MODEL, field('Model', 'dear')]), twice],
    ['a model in a list', write([MODEL, field('model[]', 'dear')]), twice],
    ['a model in an object', write([MODEL, field('model.id', 'dear')]), twice],
    ['a user in an object', write([MODEL, field('metadata[user]', 'ada')]), 'duplicate_field metadata'],
    [
      'a model that is a file',
      write([{ head: 'Content-Disposition: form-data; name="model"; filename="x"', content: 'a' }]),
      'invalid_request model',
    ],
    [
      'a model of an extended name',
      write([MODEL, { head: "Content-Disposition: form-data; name*=utf-8''model", content: 'dear' }]),
      bad,
    ],
    [
      'a name beside an extended one',
      write([{ head: 'Content-Disposition: form-data; name="x"; name*=utf-8\'\'model', content: 'dear' }, MODEL]),
      bad,
    ],
    [
      'two names',
      write([{ head: 'Content-Disposition: form-data; name="x"; name="model"', content: 'dear' }, MODEL]),
      bad,
    ],
    [
      'a name behind an escaped quote',
      write([
        MODEL,
        { head: 'Content-Disposition: form-data; name="file"; filename="a\\"; name="model"', content: 'dear' },
      ]),
      bad,
    ],
    ['a name with an escape', write([MODEL, field('mod\\el', 'dear')]), bad],
    ['a name with a percent escape', write([MODEL, field('mod%65l', 'dear')]), bad],
    ['a name with blanks', write([MODEL, field(' model', 'dear')]), bad],
    ['a name with a NUL', write([MODEL, field('model\u0000', 'dear')]), bad],
    ['no name', write([MODEL, { head: 'Content-Disposition: form-data', content: 'dear' }]), bad],
    [
      'another disposition',
      write([MODEL, { head: 'Content-Disposition: attachment; name="model"', content: 'dear' }]),
      bad,
    ],
    [
      'two dispositions',
      write([
        {
          head: 'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="model"',
          content: 'dear',
        },
        MODEL,
      ]),
      bad,
    ],
    [
      'a folded header',
      write([MODEL, { head: 'Content-Disposition: form-data;\r\n name="model"', content: 'dear' }]),
      bad,
    ],
    [
      'a header with a bare line feed',
      write([MODEL, { head: 'X-A: b\nContent-Disposition: form-data; name="model"', content: 'dear' }]),
      bad,
    ],
    [
      'a header with a bare carriage return',
      write([MODEL, { head: 'X-A: b\rContent-Disposition: form-data; name="model"', content: 'dear' }]),
      bad,
    ],
    [
      'a blank before the colon',
      write([MODEL, { head: 'Content-Disposition : form-data; name="model"', content: 'dear' }]),
      bad,
    ],
    ['a part without a head', `--b-1\r\n\r\nx\r\n${write([MODEL])}`, bad],
    [
      'a form inside of it',
      write([
        MODEL,
        {
          head: 'Content-Disposition: form-data; name="x"\r\nContent-Type: multipart/mixed; boundary=c',
          content: '--c--',
        },
      ]),
      bad,
    ],
    [
      'an encoded part',
      write([
        {
          head: 'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64',
          content: 'YWxpYXM=',
        },
      ]),
      bad,
    ],
    [
      'a model in another charset',
      write([
        {
          head: 'Content-Disposition: form-data; name="model"\r\nContent-Type: text/plain; charset=utf-16',
          content: 'alias',
        },
      ]),
      'invalid_request model',
    ],
    ['a charset for all fields', write([field('_charset_', 'utf-7'), MODEL]), 'unsupported_field _charset_'],
    [
      'a charset for all fields, in another case',
      write([field('_CharSet_', 'utf-7'), MODEL]),
      'unsupported_field _charset_',
    ],
    ['a model that is no UTF-8', write([field('model', 'a\u00ff')]), 'invalid_request model'],
    ['something before its first boundary', `x\r\n${write([MODEL])}`, bad],
    ['something behind its end', `${write([MODEL])}${write([field('model', 'dear')])}`, bad],
    ['two line ends behind its end', `${write([MODEL])}\r\n`, bad],
    ['no end', write([MODEL]).replace('--b-1--', '--b-1'), bad],
    [
      'an end in the middle',
      write([MODEL, file('x')]).replace(
        '--b-1\r\nContent-Disposition: form-data; name="file"',
        '--b-1--\r\nContent-Disposition: form-data; name="file"',
      ),
      bad,
    ],
    ['lines that end with a line feed', write([MODEL]).replaceAll('\r\n', '\n'), bad],
    [
      'a boundary behind a bare line feed',
      write([field('prompt', 'x\n--b-1\nContent-Disposition: form-data; name="model"\n\ndear'), MODEL]),
      bad,
    ],
    [
      'a boundary behind a bare carriage return',
      write([field('prompt', 'x\r--b-1\r\nContent-Disposition: form-data; name="model"\r\n\r\ndear'), MODEL]),
      bad,
    ],
    ['a boundary with blanks behind it', write([MODEL]).replace('--b-1\r\n', '--b-1 \r\n'), bad],
    ['a boundary that is the beginning of a longer one', write([field('prompt', 'x\r\n--b-12\r\n'), MODEL]), bad],
    ['an empty body', '', bad],
    ['no parts', '--b-1--\r\n', 'invalid_request model'],
    ['no model', write([file('x')]), 'invalid_request model'],
    ['an empty model', write([field('model', '')]), 'invalid_request model'],
    ['a flag that is none', write([MODEL, field('stream', 'yes')]), 'invalid_request stream'],
    ['a thousand and one parts', write([MODEL, ...Array.from({ length: 1_000 }, () => field('x', ''))]), bad],
    [
      'a head without measure',
      write([{ head: `Content-Disposition: form-data; name="x"\r\nX-A: ${'a'.repeat(9_000)}`, content: '' }, MODEL]),
      bad,
    ],
  ])('%s', (_name, body, refusal) => {
    expect(read(body)).toBe(refusal);
  });

  it.each([
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=b-1; boundary=c',
    'multipart/form-data; boundary=c; Boundary=b-1',
    'multipart/form-data; charset=utf-7; boundary=b-1',
    'multipart/form-data; boundary="b-1\\""',
    'multipart/form-data; boundary="b-1 "',
    "multipart/form-data; boundary*=utf-8''b-1",
    'multipart/form-data; boundary=b-1, multipart/form-data; boundary=c',
    `multipart/form-data; boundary=${'b'.repeat(71)}`,
    'multipart/mixed; boundary=b-1',
  ])('of the type %s', (contentType) => {
    expect(read(write([MODEL]), contentType)).toBe(bad);
  });
});

describe('any body', () => {
  it('is either refused or has one model, and never throws', () => {
    const piece = fc.constantFrom(
      '--b-1',
      '\r\n',
      '\n',
      '\r',
      '--',
      'Content-Disposition: form-data; name="model"',
      '; filename="x"',
      'name=model',
      ' ',
      '"',
      '\\',
      'alias',
      '\r\n\r\n',
      'X: y',
      '\u0000',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => {
        const request = read(pieces.join(''));
        if (typeof request === 'string') return;
        expect(pieces.join('').match(/name="?model"?/g)).toHaveLength(1);
      }),
      { numRuns: 5000 },
    );
  });

  it('that a client wrote is edited back and forth to the very same bytes', async () => {
    const name = fc
      .stringMatching(/^[a-z_]{1,8}$/)
      .filter((each) => !['model', 'stream', 'n', 'user', 'metadata'].includes(each));
    const content = fc.uint8Array({ maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, content), { maxLength: 5 }), fc.nat(5), async (fields, place) => {
        const form = new FormData();
        const append = (count: number) => {
          for (const [key, value] of fields.splice(0, count)) form.append(key, new Blob([value]), 'x');
        };
        append(place);
        form.append('model', 'alias');
        append(5);
        const response = new Response(form);
        const bytes = Buffer.from(await response.arrayBuffer());
        const contentType = response.headers.get('content-type') ?? '';
        const there = read(bytes, contentType);
        if (typeof there === 'string') throw new Error(there);
        const back = read(editFormRequest(there, 'a-longer-name', PSEUDONYM), contentType);
        if (typeof back === 'string') throw new Error(back);
        expect(back.model).toBe('a-longer-name');
        expect(editFormRequest(back, 'alias', PSEUDONYM).equals(bytes)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
