// The running hash of the handshake's messages (RFC 8446 section 4.4.1).

import { ByteWriter } from "../base/byte_writer.ts";
import type { CryptoProvider, Hash, HashName } from "./crypto/provider.ts";
import { HandshakeType } from "./code_points.ts";

/**
 * A handshake message as the transcript has it. RFC 9147 section 5.2: "the message transcript is computed over the
 * original TLS 1.3-style Handshake messages without the message_seq, fragment_offset, and fragment_length values."
 */
export function transcriptMessage(type: number, body: Uint8Array): Uint8Array {
  return new ByteWriter(4 + body.length).u8(type).u24(body.length).bytes(body).finish();
}

/** The transcript of one handshake. Messages wait until the hash function is known. */
export class Transcript {
  readonly #provider: CryptoProvider;
  #waiting: Uint8Array[] = [];
  #hash: Hash | undefined;

  constructor(provider: CryptoProvider) {
    this.#provider = provider;
  }

  /** Chooses the hash function, once. */
  start(hash: HashName): void {
    if (this.#hash !== undefined) return;
    this.#hash = this.#provider.hash(hash);
    for (const message of this.#waiting) this.#hash.update(message);
    this.#waiting = [];
  }

  /** Adds a message. */
  add(type: number, body: Uint8Array): void {
    const message = transcriptMessage(type, body);
    if (this.#hash === undefined) this.#waiting.push(message);
    else this.#hash.update(message);
  }

  /** The hash of all messages so far. */
  digest(): Uint8Array {
    if (this.#hash === undefined) throw new RangeError("the transcript has no hash function yet");
    return this.#hash.digest();
  }

  /**
   * RFC 8446 section 4.4.1: on a HelloRetryRequest "the value of ClientHello1 is replaced with a special synthetic
   * handshake message of handshake type "message_hash" containing Hash(ClientHello1)". `clientHelloHash` is that
   * hash where a stateless server kept it in a cookie.
   */
  replaceByHash(hash: HashName, clientHelloHash?: Uint8Array): void {
    const digest = clientHelloHash ?? this.digest();
    this.#waiting = [];
    this.#hash = this.#provider.hash(hash);
    this.add(HandshakeType.MESSAGE_HASH, digest);
  }
}
