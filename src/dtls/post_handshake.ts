// What an association does after its handshake: the messages that come, and those that it sends itself (RFC 8446 section
// 4.6, RFC 9147 section 8).

import { HandshakeType } from "./code_points.ts";
import { DtlsError } from "./errors.ts";
import type { Handshake, HandshakeResult } from "./handshake.ts";
import { type PostHandshakeParts, Rekeying } from "./rekeying.ts";

/** Takes the body of a message. Throws `DtlsFault` or `DecodeError` where it must not be. */
type MessageHandler = (body: Uint8Array) => void;

/** The part of an association that begins when its handshake is complete. */
export class PostHandshake {
  readonly result: HandshakeResult;
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
    this.result = result;
    const { suite, trafficSecrets } = result;
    if (trafficSecrets === undefined) return;
    const rekeying = new Rekeying(parts, suite, trafficSecrets);
    this.#rekeying = rekeying;
    this.#handlers.set(HandshakeType.KEY_UPDATE, (body) => rekeying.onKeyUpdate(body));
    if (onTicket !== undefined) this.#handlers.set(HandshakeType.NEW_SESSION_TICKET, onTicket);
  }

  /** Takes messages, without end. */
  *messages(): Handshake {
    const expected = [...this.#handlers.keys()];
    for (;;) {
      const { type, body } = yield expected;
      this.#handlers.get(type as HandshakeType)?.(body);
    }
  }

  /** Whether a KeyUpdate of this side is not acknowledged yet. */
  get isUpdatingKeys(): boolean {
    return this.#rekeying?.isUnderWay ?? false;
  }

  /**
   * Changes the sending keys. Returns false where that is under way. Throws {@linkcode DtlsError} where there is no other
   * key to be had.
   */
  updateKeys(requestPeer: boolean): boolean {
    if (this.#rekeying !== undefined) return this.#rekeying.update(requestPeer);
    throw new DtlsError("wrong-version", "DTLS 1.2 has no key updates");
  }

  /** A record was sealed: the key may be near its limit. */
  checkSealed(): void {
    this.#rekeying?.checkSealed();
  }

  /** Records may have failed to open: the key may be near its limit. */
  checkForged(): void {
    this.#rekeying?.checkForged();
  }
}
