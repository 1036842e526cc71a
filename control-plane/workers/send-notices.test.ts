import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { createBillingFixture, type BillingFixture } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { makeTemporaryFolder, type TemporaryFolder } from '../../test/kit/temporary-folder.js';
import { openPersonKeyDatabase, type Orm } from '../database/orm.js';
import { createPersonVault, type PersonVault } from '../identity/person-vault.js';
import { createMailTransport, type Mail, type MailTransport } from './mail-transport.js';
import { createNoticeSender, type NoticeSender } from './send-notices.js';
import { openPool } from '../database/sql.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let orm: Orm;
let vault: PersonVault;
let folder: TemporaryFolder;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 4, onError: () => undefined });
  orm = await openPersonKeyDatabase({ url: database.urls.personKeys });
  vault = createPersonVault({ orm, secret: randomBytes(32).toString('base64url') });
  folder = await makeTemporaryFolder('mail');
});

afterAll(async () => {
  await folder.remove();
  await orm.close();
  await pool.end();
  await fixture.close();
  await database.drop();
});

beforeEach(() => fixture.query('delete from outbox'));

const logLines: string[] = [];
const logger = pino({ level: 'debug' }, { write: (line) => logLines.push(line) });
const createSender = (transport: MailTransport): NoticeSender =>
  createNoticeSender({ database: pool, vault, transport, logger, pollIntervalMs: 20 });

/** A transport that keeps what it is given, or fails. */
function keepMails(fail: () => boolean = () => false): MailTransport & { mails: Mail[] } {
  const mails: Mail[] = [];
  return {
    mails,
    send(mail) {
      if (fail())
        return Promise.reject(Object.assign(new Error('550 no such user ada@example.org'), { responseCode: 550 }));
      mails.push(mail);
      return Promise.resolve();
    },
    close: () => undefined,
  };
}

async function enqueue({ email = 'ada@example.org', token = 'ptv.code' } = {}): Promise<{
  id: string;
  personId: string;
}> {
  const { tenantId, personId } = await fixture.createCustomer();
  const cipher = await vault.create(personId);
  await fixture.query('update person set email_sealed = $2 where id = $1', [personId, cipher.encrypt('email', email)]);
  const sealed = cipher.encrypt('mail', JSON.stringify({ token })).toString('base64url');
  const id = uuidv7();
  await fixture.query(`insert into outbox (id, tenant_id, topic, payload) values ($1, $2, 'send-mail', $3)`, [
    ...[id, tenantId, JSON.stringify({ template: 'verify-email', personId, sealed })],
  ]);
  return { id, personId };
}

interface OutboxRow {
  readonly attempts: number;
  readonly processed_at: Date | null;
  readonly last_error: string | null;
  readonly waits: boolean;
}

async function stateOf(id: string): Promise<OutboxRow | undefined> {
  const rows = await fixture.query<OutboxRow & pg.QueryResultRow>(
    'select attempts, processed_at, last_error, available_at > now() as waits from outbox where id = $1',
    [id],
  );
  return rows[0];
}

test('a mail goes to the opened address with its code, once, and is marked as sent', async () => {
  const transport = keepMails();
  const { id } = await enqueue();
  const sender = createSender(transport);
  expect([await sender.sendDue(), await sender.sendDue()]).toEqual([1, 0]);
  expect(transport.mails).toMatchObject([{ id, to: 'ada@example.org', subject: 'Confirm your e-mail address' }]);
  expect(transport.mails[0]?.text).toContain('\nptv.code\n');
  expect(await stateOf(id)).toMatchObject({ attempts: 1, processed_at: expect.any(Date), last_error: null });
});

test('many senders at once send each mail once', async () => {
  const transport = keepMails();
  for (let index = 0; index < 12; index += 1) await enqueue();
  await Promise.all([1, 2, 3, 4].map(() => createSender(transport).sendDue()));
  expect(new Set(transport.mails.map(({ id }) => id)).size).toBe(12);
  expect(transport.mails).toHaveLength(12);
});

test('a failed mail waits, longer each time, is sent later, and no address stays behind in table or log', async () => {
  let failing = true;
  const transport = keepMails(() => failing);
  const { id } = await enqueue();
  const sender = createSender(transport);
  await sender.sendDue();
  expect(await stateOf(id)).toMatchObject({ attempts: 1, processed_at: null, last_error: '550', waits: true });
  expect(await sender.sendDue()).toBe(0);
  await fixture.query('update outbox set available_at = now()');
  failing = false;
  await sender.sendDue();
  expect(transport.mails).toHaveLength(1);
  expect(await stateOf(id)).toMatchObject({ attempts: 2, last_error: null });
  expect(logLines.join('')).not.toContain('ada@');
});

test('a mail is given up after a dozen tries', async () => {
  const { id } = await enqueue();
  await fixture.query('update outbox set attempts = 11');
  await createSender(keepMails(() => true)).sendDue();
  expect(await stateOf(id)).toMatchObject({
    attempts: 12,
    processed_at: expect.any(Date),
    last_error: 'given up: 550',
  });
});

test('the mail of an erased person is dropped', async () => {
  const transport = keepMails();
  const { id, personId } = await enqueue();
  await vault.destroy(personId);
  await createSender(transport).sendDue();
  expect(transport.mails).toEqual([]);
  expect(await stateOf(id)).toMatchObject({ processed_at: expect.any(Date), last_error: 'recipient erased' });
});

test('a payload that nobody can read holds up no other mail', async () => {
  const transport = keepMails();
  const broken = await enqueue();
  await fixture.query(`update outbox set payload = '{"template": "unknown"}' where id = $1`, [broken.id]);
  const good = await enqueue();
  await createSender(transport).sendDue();
  expect(transport.mails.map(({ id }) => id)).toEqual([good.id]);
  expect(await stateOf(broken.id)).toMatchObject({ processed_at: null, last_error: 'ZodError' });
});

test('runs until it is stopped', async () => {
  const transport = keepMails();
  const sender = createSender(transport);
  sender.start();
  await enqueue();
  await expect.poll(() => transport.mails).toHaveLength(1);
  await sender.stop();
  await enqueue();
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(transport.mails).toHaveLength(1);
});

test('as files: whole, for their owner only, sortable by time', async () => {
  const path = join(folder.path, 'new folder');
  const transport = createMailTransport({ url: pathToFileURL(path).href, from: 'PingToken <no-reply@example.org>' });
  for (const subject of ['first', 'second']) {
    await transport.send({ id: uuidv7(), to: 'ada@example.org', subject, text: 'Hello\nAda' });
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const names = (await readdir(path)).sort();
  expect(names).toHaveLength(2);
  const [first, second] = await Promise.all(names.map((name) => readFile(join(path, name), 'utf8')));
  expect(first).toMatch(
    /^From: PingToken <no-reply@example.org>$[^]*^To: ada@example.org$[^]*^Subject: first$[^]*Hello\nAda/m,
  );
  expect(second).toContain('Subject: second');
  expect((await stat(join(path, names[0] ?? ''))).mode & 0o777).toBe(0o600);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
});

test('over SMTP: an address can add neither a header nor a recipient', async () => {
  const received: string[] = [];
  const server = createServer((socket) => {
    let inData = false;
    socket.write('220 sink\r\n');
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      for (const line of data.toString().split('\r\n').slice(0, -1)) {
        received.push(line);
        if (inData && line !== '.') continue;
        if (line === 'DATA') socket.write('354 go on\r\n');
        else socket.write(line === 'QUIT' ? '221 bye\r\n' : '250 ok\r\n');
        inData = line === 'DATA';
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const transport = createMailTransport({ url: `smtp://127.0.0.1:${port}`, from: 'no-reply@example.org' });
  const mail = { id: uuidv7(), subject: 'Hello', text: 'Ada' };
  await transport.send({ ...mail, to: 'ada@example.org' });
  expect(received).toContain('RCPT TO:<ada@example.org>');
  expect(received).toContain(`Message-ID: <${mail.id}@pingtoken>`);
  received.length = 0;
  await transport
    .send({ ...mail, to: 'ada@example.org\r\nBcc: eve@example.org, eve2@example.org' })
    .catch(() => undefined);
  expect(received.filter((line) => line.startsWith('RCPT')).length).toBeLessThanOrEqual(1);
  expect(received.filter((line) => line.startsWith('Bcc'))).toEqual([]);
  transport.close();
  server.close();
});
