import { decodeJwt, jwtVerify } from 'jose';
import type pg from 'pg';
import { readVerifyKey } from '@pingtoken/shared/crypto';
import { CONFIG_LINK } from '@pingtoken/shared/wire';
import { validate as isUuid } from 'uuid';

/** A data plane that has proven who it is. */
export interface KnownDataPlane {
  readonly id: string;
  readonly sealingKey: string;
}

interface Row {
  readonly id: string;
  readonly verify_key: string;
  readonly sealing_key: string;
}

/**
 * Checks the token that a data plane signs with its own key, fresh for each request (RFC 7523). Everyone needs one, loopback
 * included: whoever reaches the port must not get the config for it.
 * @returns null for a token that is missing, expired, of an unknown or revoked data plane, or signed with another key
 */
export async function identifyDataPlane(
  pool: pg.Pool,
  authorization: string | undefined,
): Promise<KnownDataPlane | null> {
  const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
  if (token === undefined) return null;
  try {
    const { sub } = decodeJwt(token);
    if (sub === undefined || !isUuid(sub)) return null;
    const { rows } = await pool.query<Row>(
      `select id, verify_key, sealing_key from data_plane where id = $1 and status = 'enrolled'`,
      [sub],
    );
    const [row] = rows;
    if (row === undefined) return null;
    await jwtVerify(token, readVerifyKey(row.verify_key), {
      algorithms: ['EdDSA'],
      audience: CONFIG_LINK.audience,
      issuer: sub,
      maxTokenAge: '2m',
      requiredClaims: ['exp', 'iat'],
    });
    return { id: row.id, sealingKey: row.sealing_key };
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_J')) return null;
    throw error;
  }
}
