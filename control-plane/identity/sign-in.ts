import { hash as hashPassword, verify as verifyPassword } from '@node-rs/argon2';
import { v7 as uuidv7 } from 'uuid';
import { createClientSealer, sealClient } from '@pingtoken/shared/crypto';
import type { CallerClient } from '@pingtoken/shared/usage-event';
import { refuse, type Refusal } from '../database/refusal.js';
import type { Orm } from '../database/orm.js';
import type { RunTransaction, Scope } from '../database/transaction.js';
import { EmailVerification, Member, Person, Session } from './entities.js';
import type { Viewer } from './permissions.js';
import type { PersonVault } from './person-vault.js';
import { requestVerification } from './registration.js';
import { viewerScope } from './scope.js';
import { createToken, readToken, type BlindIndex } from './tokens.js';

const SESSION_LIFETIME_MS = 12 * 3600 * 1000;

export interface NewSession {
  /** Bearer token, shown once. */
  readonly token: string;
  readonly expiresAt: Date;
  readonly viewer: Viewer;
}

export interface SignIn {
  signIn(email: string, password: string, client: CallerClient): Promise<NewSession | Refusal>;
  /** Whose account an address is; for installation, never answered to a caller. */
  findAccount(email: string): Promise<{ tenantId: string; memberId: string } | null>;
  /** A session for a member who was just proven, by registration. */
  openSession(member: Member, client: CallerClient): Promise<NewSession>;
  signOut(viewer: Viewer): Promise<void>;
  /** @returns null for a token that is unknown, expired or revoked */
  authenticate(token: string): Promise<Viewer | null>;
  verifyEmail(token: string): Promise<true | Refusal>;
  resendVerification(viewer: Viewer): Promise<true | Refusal>;
}

interface SignInOptions {
  /** Through the `api` login: only {@link find_sign_in} reaches past row-level security. */
  readonly orm: Orm;
  readonly run: RunTransaction;
  readonly vault: PersonVault;
  readonly blindIndex: BlindIndex;
}

interface SignInRow {
  readonly tenant_id: string;
  readonly member_id: string;
  readonly password_hash: string;
}

const memberScope = (tenantId: string, memberId: string | null): Scope => ({
  tenantId,
  actorMemberId: memberId,
  operator: false,
});

export function createSignIn({ orm, run, vault, blindIndex }: SignInOptions): SignIn {
  // Checked when the address is unknown, so that the time taken does not tell whether an account exists.
  const decoyHash = hashPassword('no account has this password');

  const openSession: SignIn['openSession'] = (member, client) =>
    run(memberScope(member.tenantId, member.id), async (transaction) => {
      const { em } = transaction;
      const person = await em.findOneOrFail(Person, { id: member.personId });
      const { token, hash } = createToken('pts', member.tenantId);
      const createdAt = new Date();
      const session = em.create(Session, {
        id: uuidv7(),
        tenantId: member.tenantId,
        memberId: member.id,
        tokenHash: hash,
        clientSealed: sealClient(createClientSealer(Buffer.from(person.sealingKey, 'base64url')), client),
        createdAt,
        expiresAt: new Date(createdAt.getTime() + SESSION_LIFETIME_MS),
        revokedAt: null,
      });
      await em.flush();
      await transaction.audit({ action: 'signed-in', subjectKind: 'session', subjectId: session.id });
      return { token, expiresAt: session.expiresAt, viewer: toViewer(member, session.id) };
    });

  const findSignIn = async (email: string): Promise<SignInRow | undefined> => {
    const rows = await orm.em
      .fork()
      .execute<SignInRow[]>('select * from find_sign_in(?)', [blindIndex('email', email)]);
    return rows[0];
  };

  return {
    openSession,

    async findAccount(email) {
      const found = await findSignIn(email);
      return found === undefined ? null : { tenantId: found.tenant_id, memberId: found.member_id };
    },

    async signIn(email, password, client) {
      const found = await findSignIn(email);
      const matches = await verifyPassword(found?.password_hash ?? (await decoyHash), password);
      if (found === undefined || !matches) return refuse('invalid_credentials');
      const member = await run(memberScope(found.tenant_id, found.member_id), ({ em }) =>
        em.findOneOrFail(Member, { id: found.member_id }),
      );
      return openSession(member, client);
    },

    async signOut(viewer) {
      await run(viewerScope(viewer), async (transaction) => {
        await transaction.em.nativeUpdate(
          Session,
          { id: viewer.sessionId, revokedAt: null },
          { revokedAt: new Date() },
        );
        await transaction.audit({ action: 'signed-out', subjectKind: 'session', subjectId: viewer.sessionId });
      });
    },

    async authenticate(token) {
      const read = readToken('pts', token);
      if (read === null) return null;
      return run(memberScope(read.tenantId, null), async ({ em }) => {
        const session = await em.findOne(Session, {
          tokenHash: read.hash,
          revokedAt: null,
          expiresAt: { $gt: new Date() },
        });
        if (session === null) return null;
        const member = await em.findOne(Member, { id: session.memberId });
        return member === null ? null : toViewer(member, session.id);
      });
    },

    verifyEmail: (token) => verifyEmail(run, token),
    resendVerification: (viewer) => resendVerification(run, vault, viewer),
  };
}

async function verifyEmail(run: RunTransaction, token: string): Promise<true | Refusal> {
  const read = readToken('ptv', token);
  if (read === null) return refuse('invalid_request', ['token'], 'The token is not valid.');
  return run(memberScope(read.tenantId, null), async (transaction) => {
    const { em } = transaction;
    const now = new Date();
    const verification = await em.findOne(EmailVerification, { tokenHash: read.hash, expiresAt: { $gt: now } });
    if (verification === null) return refuse('invalid_request', ['token'], 'The token is not valid, or has expired.');
    // A second click on the same link is no error.
    verification.usedAt ??= now;
    const verified = await em.nativeUpdate(
      Person,
      { id: verification.personId, emailVerifiedAt: null },
      { emailVerifiedAt: now },
    );
    await em.flush();
    if (verified === 1) {
      await transaction.audit({
        action: 'email-verified',
        subjectKind: 'person',
        subjectId: verification.personId,
      });
    }
    return true;
  });
}

async function resendVerification(run: RunTransaction, vault: PersonVault, viewer: Viewer): Promise<true | Refusal> {
  const cipher = await vault.open(viewer.personId);
  if (cipher === null) return refuse('not_found');
  return run(viewerScope(viewer), async (transaction) => {
    const person = await transaction.em.findOneOrFail(Person, { id: viewer.personId });
    if (person.emailVerifiedAt !== null) return refuse('conflict', [], 'The e-mail address is verified already.');
    requestVerification(transaction, person, cipher);
    await transaction.em.flush();
    return true;
  });
}

function toViewer(member: Member, sessionId: string): Viewer {
  const { tenantId, id, personId, role } = member;
  return { tenantId, memberId: id, personId, role, sessionId };
}
