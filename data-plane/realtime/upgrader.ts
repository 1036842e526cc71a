import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { WebSocketServer, type WebSocket } from 'ws';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import { CallTiming } from '../call-timing.js';
import type { WalkedAttempt, WalkTools } from '../forward/attempt-walk.js';
import type { OpenCalls } from '../forward/open-calls.js';
import { isRefusal, refuse, type Answer, type Refusal } from '../http-error.js';
import type { Meter, MeteredCall } from '../meter/meter.js';
import type { Observer } from '../observe.js';
import type { AttemptResult } from '../route/health.js';
import { createRequestId } from '../receive.js';
import type { Snapshot } from '../snapshot.js';
import { admitSession, beginCall, findTranscriber, readmit, type SessionWay } from './admission.js';
import type { ConnectOptions } from './connect-provider.js';
import { findSession, type FoundSession } from './find-session.js';
import { HeldCaller } from './held-caller.js';
import { Opening } from './opening.js';
import { receiveUpgrade, SESSION_PROTOCOL, type SessionRequest } from './receive-upgrade.js';
import { passRefusal, refuseUpgrade } from './refuse-upgrade.js';
import { Session, type OpenSession, type SessionTimes } from './session.js';

export interface UpgraderOptions {
  readonly snapshot: Snapshot;
  readonly meter: Meter;
  readonly observer: Observer;
  readonly isDraining: () => boolean;
  readonly logger: Logger;
  readonly open: OpenCalls<OpenSession>;
  readonly connecting: ConnectOptions;
  readonly walking: WalkTools;
  /** Where this data plane stands. */
  readonly region: string | null;
  readonly times: SessionTimes;
}

/** A call that is recorded, and whose caller waits for an answer by HTTP. */
interface Pending {
  readonly request: SessionRequest;
  readonly socket: Socket;
  readonly held: HeldCaller;
  readonly opening: Opening;
  readonly call: MeteredCall;
  /** Its attempt is the one on its way. */
  readonly way: SessionWay;
}

/**
 * Takes a request for a session through the stages, in the order of every call: `receive -> authenticate -> admit -> route`,
 * the start record, the provider. Only when the provider has agreed is the caller's own upgrade completed, so that until
 * then each error is an answer by HTTP, with its status.
 */
export class Upgrader {
  readonly #options: UpgraderOptions;
  readonly #server: WebSocketServer;
  readonly #accepted = new WeakMap<IncomingMessage, SessionRequest>();

  constructor(options: UpgraderOptions) {
    this.#options = options;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.connecting.maxMessageBytes,
      // Never the one that carries the key.
      handleProtocols: (protocols) => (protocols.has(SESSION_PROTOCOL) ? SESSION_PROTOCOL : false),
    });
    this.#server.on('headers', (headers, request) => {
      const accepted = this.#accepted.get(request);
      if (accepted === undefined) return;
      headers.push(`x-request-id: ${accepted.requestId}`, `server-timing: ${accepted.timing.serverTiming()}`);
    });
  }

  handle(request: IncomingMessage, socket: Socket & { _httpMessage?: unknown }, head: Buffer): void {
    socket.on('error', () => undefined);
    // Attack: a request for a session pipelined behind a call. Its answer would be mixed into the other one's.
    if ((socket._httpMessage ?? null) !== null) {
      socket.destroy();
      return;
    }
    const response = new ServerResponse(request);
    const timing = new CallTiming();
    const answer: Answer = { request, response, requestId: createRequestId(), timing, dialect: 'openai' };
    const received = this.#options.isDraining() ? refuse('not_ready') : receiveUpgrade(answer);
    if (isRefusal(received)) this.#refuse(socket, answer, received);
    else void this.#serve(received, socket, head);
  }

  #refuse(socket: Socket, answer: Answer, refusal: Refusal): void {
    this.#options.observer.callRefused('realtime', refusal.refused);
    refuseUpgrade(socket, answer, refusal);
  }

  async #serve(request: SessionRequest, socket: Socket, head: Buffer): Promise<void> {
    const { meter, snapshot, logger, walking, region } = this.#options;
    try {
      const prepared = admitSession(request, snapshot, { health: walking.health, region });
      const call = isRefusal(prepared) ? prepared : await meter.begin(prepared);
      if (isRefusal(call)) {
        this.#refuse(socket, request, call);
        return;
      }
      const way: SessionWay = {
        ...{ request, snapshot },
        get attempt() {
          return call.attempt;
        },
      };
      const opening = new Opening(() => readmit(way, { operation: 'realtime', model: request.model }));
      const held = new HeldCaller(socket, head, () => {
        opening.callerLeft();
      });
      await this.#open({ request, socket, held, opening, call, way });
    } catch (error) {
      logger.error({ requestId: request.requestId, error }, 'call-broke');
      this.#refuse(socket, request, refuse('internal_error'));
    }
  }

  async #open(pending: Pending): Promise<void> {
    const { open } = this.#options;
    const { request, opening, call, held } = pending;
    const { requestId, isPreview } = request;
    open.add(opening);
    try {
      const target = { requestId, isPreview, signal: opening.signal };
      request.timing.waitFor('upstream');
      const found = await findSession(call, target, this.#options);
      request.timing.waitOver();
      await this.#conclude(found, pending);
    } finally {
      held.release();
      open.delete(opening);
      opening.over();
    }
  }

  async #conclude({ connected, walked }: FoundSession, pending: Pending): Promise<void> {
    const { request, socket, call, opening } = pending;
    switch (connected.kind) {
      case 'open':
        if (this.#accept(connected.socket, walked, pending)) return;
        walked.ended({ kind: 'served' });
        await call.settle('caller-left', null);
        return;
      case 'refused':
        await call.settle(connected.status >= 500 ? 'provider-failed' : 'provider-refused', connected.status);
        passRefusal(socket, request, connected);
        return;
      case 'failed':
        await this.#fail(pending, refuse(connected.code), connected.outcome, connected.reason);
        return;
      case 'aborted': {
        const { fault } = opening;
        if (fault === undefined) await call.settle('caller-left', null);
        else await this.#fail(pending, fault.refusal, fault.outcome, fault.reason);
      }
    }
  }

  async #fail(pending: Pending, refusal: Refusal, outcome: Outcome, reason: string): Promise<void> {
    const { request, socket, call } = pending;
    const { slug } = call.attempt.provider;
    const { logger } = this.#options;
    logger.warn(
      { requestId: request.requestId, provider: slug, code: refusal.refused, outcome, reason },
      'call-failed',
    );
    await call.settle(outcome, ERROR_CODES[refusal.refused].status);
    refuseUpgrade(socket, request, refusal);
  }

  /** @returns false where there is no caller any more */
  #accept(provider: WebSocket, walked: WalkedAttempt, pending: Pending): boolean {
    const { request, socket, held, call, way } = pending;
    let caller: WebSocket | undefined;
    this.#accepted.set(request.request, request);
    this.#server.handleUpgrade(request.request, socket, held.release(), (accepted) => {
      caller = accepted;
    });
    if (caller === undefined) {
      socket.destroy();
      provider.terminate();
      return false;
    }
    call.present.providerAnswered(UPGRADED, true);
    this.#converse({ caller, provider, walked }, call, way);
    return true;
  }

  #converse({ caller, provider, walked }: Sides, call: MeteredCall, way: SessionWay): void {
    const { open, meter, times, logger } = this.#options;
    const session = new Session({
      caller,
      provider,
      call,
      times,
      logger,
      begin: (asked, assumed) => beginCall(way, meter, { call: asked, assumed }),
      findTranscriber: (model) => findTranscriber(way, model),
      recheck: () => {
        const admitted = readmit(way, { operation: 'realtime', model: way.request.model });
        return isRefusal(admitted) ? admitted : undefined;
      },
      onSettled: (settled, outcome) => {
        open.delete(settled);
        walked.ended(resultOf(outcome));
      },
    });
    open.add(session);
  }
}

const UPGRADED = 101;

/** A session's two connections, and what its provider is to be known for. */
interface Sides {
  readonly caller: WebSocket;
  readonly provider: WebSocket;
  readonly walked: WalkedAttempt;
}

function resultOf(outcome: Outcome): AttemptResult {
  if (outcome !== 'provider-failed') return { kind: outcome === 'completed' ? 'served' : 'abandoned' };
  return { kind: 'failed', failure: { kind: 'server-error', status: UPGRADED, retryAfterMs: undefined } };
}
