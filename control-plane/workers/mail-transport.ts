import { randomBytes } from 'node:crypto';
import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTransport } from 'nodemailer';

export interface Mail {
  /** The same for each try of one mail, so that a mail that was sent twice can be recognised. */
  readonly id: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

export interface MailTransport {
  /** Resolves once the mail is kept by whoever is to deliver it. */
  send(mail: Mail): Promise<void>;
  close(): void;
}

export interface MailTransportOptions {
  /** `smtp://…`, `smtps://…`, or `file:///folder`. */
  readonly url: string;
  readonly from: string;
}

const TIMEOUT_MS = 20_000;

export function createMailTransport({ url, from }: MailTransportOptions): MailTransport {
  return new URL(url).protocol === 'file:' ? createFolder(fileURLToPath(url), from) : createSmtp(url, from);
}

const toMessage = (from: string, { id, to, subject, text }: Mail) => ({
  from,
  // An object, so that nothing in an address can add a recipient.
  to: { name: '', address: to },
  subject,
  text,
  messageId: `<${id}@pingtoken>`,
  headers: { 'Auto-Submitted': 'auto-generated' },
  // A template names no file or address to fetch, and none could be smuggled in.
  disableFileAccess: true,
  disableUrlAccess: true,
});

function createSmtp(url: string, from: string): MailTransport {
  const { protocol, hostname, port, username, password } = new URL(url);
  const secure = protocol === 'smtps:';
  const transport = createTransport({
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (secure ? 465 : 587) : Number(port),
    secure,
    ...(username !== '' && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
  });
  return {
    async send(mail) {
      await transport.sendMail(toMessage(from, mail));
    },
    close: () => {
      transport.close();
    },
  };
}

/** One `.eml` file a mail, for one machine without a mail server: readable by its owner only, and whole once it is there. */
function createFolder(folder: string, from: string): MailTransport {
  const composer = createTransport({ streamTransport: true, buffer: true, newline: 'unix' });
  return {
    async send(mail) {
      const { message } = await composer.sendMail(toMessage(from, mail));
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const name = `${new Date().toISOString().replaceAll(':', '-')}-${mail.id}.eml`;
      const temporary = join(folder, `.${randomBytes(8).toString('hex')}.tmp`);
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(message as Buffer);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, join(folder, name));
    },
    close: () => {
      composer.close();
    },
  };
}
