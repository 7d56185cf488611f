// What an association does after its handshake: the messages that come, and those that it sends itself (RFC 8446
// section 4.6, RFC 9147 sections 8 and 9).

import { HandshakeType } from "./code_points.ts";
import { encodeNewConnectionId, type NewConnectionId } from "./connection_ids.ts";
import { DtlsError } from "./errors.ts";
import type { Handshake, HandshakeResult } from "./handshake.ts";
import type { DtlsLimits } from "./limits.ts";
import { Rekeying, type RekeyingParts } from "./rekeying.ts";

/** Takes the body of a message. Throws `DtlsFault` or `DecodeError` where it must not be. */
type MessageHandler = (body: Uint8Array) => void;

/** What of an association its life after the handshake works on. */
interface PostHandshakeParts extends RekeyingParts {
  readonly limits: DtlsLimits;
  /** How many spare connection IDs of the peer there are to be. */
  readonly spareConnectionIds: number;
}

/** The part of an association that begins when its handshake is complete. */
export class PostHandshake {
  readonly result: HandshakeResult;
  readonly #parts: PostHandshakeParts;
  /** In DTLS 1.3. */
  readonly #rekeying: Rekeying | undefined;
  /** What takes each type of message that may come; a type that is not in it is a fault. */
  readonly #handlers = new Map<HandshakeType, MessageHandler>();

  /** `onTicket` takes a server's tickets; a server has none. */
  constructor(
    parts: PostHandshakeParts,
    result: HandshakeResult,
    onTicket: MessageHandler | undefined,
  ) {
    this.#parts = parts;
    this.result = result;
    const { suite, trafficSecrets } = result;
    if (trafficSecrets === undefined) return;
    const rekeying = new Rekeying(parts, suite, trafficSecrets);
    this.#rekeying = rekeying;
    if (onTicket !== undefined) this.#handlers.set(HandshakeType.NEW_SESSION_TICKET, onTicket);
    this.#handlers.set(HandshakeType.KEY_UPDATE, (body) => rekeying.onKeyUpdate(body));
    this.#handlers.set(HandshakeType.REQUEST_CONNECTION_ID, (body) => this.#onRequest(body));
    this.#handlers.set(HandshakeType.NEW_CONNECTION_ID, (body) => this.#onNewConnectionId(body));
    this.#keepSpareIds();
  }

  /** Takes messages, without end. */
  *messages(): Handshake {
    const expected = [...this.#handlers.keys()];
    for (;;) {
      const { type, body } = yield expected;
      this.#handlers.get(type as HandshakeType)?.(body);
    }
  }

  // Keys

  /** Whether a KeyUpdate of this side is not acknowledged yet. */
  get isUpdatingKeys(): boolean {
    return this.#rekeying?.isUnderWay ?? false;
  }

  /**
   * Changes the sending keys. Returns false where that is under way. Throws {@linkcode DtlsError} where there is no
   * other key to be had.
   */
  updateKeys(requestPeer: boolean): boolean {
    return this.#need13("key updates").update(requestPeer);
  }

  #need13(what: string): Rekeying {
    if (this.#rekeying !== undefined) return this.#rekeying;
    throw new DtlsError("wrong-version", `DTLS 1.2 has no ${what}`);
  }

  /** A record was sealed: the key may be near its limit. */
  checkSealed(): void {
    this.#rekeying?.checkSealed();
  }

  /** Records may have failed to open: the key may be near its limit. */
  checkForged(): void {
    this.#rekeying?.checkForged();
  }

  // Connection IDs

  /** Asks for spare IDs, so that there are `count`. Returns whether any are missing and were not asked for before. */
  requestConnectionIds(count: number): boolean {
    this.#need13("connection IDs after the handshake");
    this.#parts.reliability.checkNumbers();
    const body = this.#parts.records.sendIds.request(count);
    if (body === undefined) return false;
    this.#send(HandshakeType.REQUEST_CONNECTION_ID, body);
    return true;
  }

  /** Gives the peer more IDs, at most `count`. Returns how many. */
  provideConnectionIds(count: number, isImmediate: boolean): number {
    this.#need13("connection IDs after the handshake");
    this.#parts.reliability.checkNumbers();
    const message = this.#parts.records.receiveIds.provide(count, isImmediate);
    if (message.connectionIds.length > 0) this.#provide(message);
    return message.connectionIds.length;
  }

  /** Goes on to the next ID of the peer, for a path of its own. */
  useNextConnectionId(): void {
    this.#parts.records.sendIds.useNext();
    this.#parts.records.applySendId();
    this.#keepSpareIds();
  }

  #onRequest(body: Uint8Array): void {
    const { records, reliability, limits } = this.#parts;
    const answer = records.receiveIds.onRequest(body, limits.connectionIdRequestsMax);
    if (reliability.hasNumbers) this.#provide(answer);
  }

  #onNewConnectionId(body: Uint8Array): void {
    this.#parts.records.sendIds.onNewConnectionId(body);
    this.#parts.records.applySendId();
    this.#keepSpareIds();
  }

  /**
   * RFC 9853 section 9: "an endpoint should proactively send a RequestConnectionId message to ask for new CIDs as
   * soon as the pool of spare CIDs is depleted".
   */
  #keepSpareIds(): void {
    const { records, reliability, spareConnectionIds } = this.#parts;
    const isWanted = spareConnectionIds > 0 && records.sendIds.current.length > 0;
    if (isWanted && reliability.hasNumbers) this.requestConnectionIds(spareConnectionIds);
  }

  #provide(message: NewConnectionId): void {
    this.#send(HandshakeType.NEW_CONNECTION_ID, encodeNewConnectionId(message));
  }

  /**
   * RFC 9147 section 5.8.4: "implementations MUST NOT send KeyUpdate, NewConnectionId, or RequestConnectionId
   * messages if an earlier message of the same type has not yet been acknowledged": each ends its flight.
   */
  #send(type: HandshakeType, body: Uint8Array): void {
    this.#parts.reliability.enqueue({ type, body, isLast: true });
  }
}
