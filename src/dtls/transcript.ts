// The running hash of the handshake's messages (RFC 8446 section 4.4.1, RFC 6347 section 4.2.6).

import { ByteWriter } from "../base/byte_writer.ts";
import { concatBytes } from "../base/bytes.ts";
import { HandshakeType } from "./code_points.ts";
import type { CryptoProvider, Hash, HashName } from "./crypto/provider.ts";
import { encodeHandshakeFragment, type HandshakeMessage } from "./handshake_fragment.ts";
import type { DtlsVersion } from "./options.ts";

/**
 * A handshake message as the transcript has it. RFC 9147 section 5.2: "the message transcript is computed over the
 * original TLS 1.3-style Handshake messages without the message_seq, fragment_offset, and fragment_length values."
 */
export function transcriptMessage(type: number, body: Uint8Array): Uint8Array {
  return new ByteWriter(4 + body.length).u8(type).u24(body.length).bytes(body).finish();
}

/** Adds to a hash what {@linkcode transcriptMessage} gives, without putting it together. */
function updateByMessage(hash: Hash, type: number, body: Uint8Array): void {
  const { length } = body;
  hash.update(Uint8Array.of(type, length >>> 16, length >>> 8, length));
  hash.update(body);
}

/** The transcript of one handshake. Messages wait until version and hash function are known. */
export class Transcript {
  readonly #provider: CryptoProvider;
  #waiting: HandshakeMessage[] = [];
  #version: DtlsVersion = "1.3";
  #hash: Hash | undefined;
  /** In DTLS 1.2 all messages so far, for a signature over them; `undefined` once none is wanted. */
  #signed: Uint8Array[] | undefined = [];

  constructor(provider: CryptoProvider) {
    this.#provider = provider;
  }

  /** Chooses the hash function and the form of messages, once. */
  start(hash: HashName, version: DtlsVersion = "1.3"): void {
    if (this.#hash !== undefined) return;
    this.#hash = this.#provider.hash(hash);
    this.#version = version;
    for (const message of this.#waiting.splice(0)) this.#update(message);
  }

  /** Adds a message. */
  add(message: HandshakeMessage): void {
    if (this.#hash === undefined) this.#waiting.push(message);
    else this.#update(message);
  }

  #update(message: HandshakeMessage): void {
    if (this.#version === "1.3") return updateByMessage(this.#hash!, message.type, message.body);
    // RFC 6347 section 4.2.6: "handshake messages [...] are hashed [...] as if each handshake message had been sent as
    // a single fragment", with message_seq, fragment_offset and fragment_length.
    const bytes = encodeHandshakeFragment(message, 0, message.body.length);
    this.#signed?.push(bytes);
    this.#hash!.update(bytes);
  }

  /** Forgets all messages so far: RFC 6347 section 4.2.1 leaves what led to a cookie out of the hash. */
  forget(): void {
    this.#waiting = [];
  }

  /** The hash that a binder goes on with: of all messages so far, of none where the hash function is not known yet. */
  before(hash: HashName): Hash {
    return this.#hash?.copy() ?? this.#provider.hash(hash);
  }

  /** The hash of all messages so far. */
  digest(): Uint8Array {
    if (this.#hash === undefined) throw new RangeError("the transcript has no hash function yet");
    return this.#hash.digest();
  }

  /** In DTLS 1.2 all messages so far, which a CertificateVerify signs (RFC 5246 section 7.4.8). */
  messages(): Uint8Array {
    return concatBytes(...this.#signed ?? []);
  }

  /** No signature over the messages is wanted any more. */
  forgetMessages(): void {
    this.#signed = undefined;
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
    updateByMessage(this.#hash, HandshakeType.MESSAGE_HASH, digest);
  }
  /** The handshake is over: nothing is kept of it. */
  end(): void {
    this.#waiting = [];
    this.#hash = undefined;
    this.#signed = undefined;
  }
}
