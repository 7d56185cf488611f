// The running hash of the handshake's messages (RFC 8446 section 4.4.1, RFC 6347 section 4.2.6).

import { concatBytes } from "../base/bytes.ts";
import { HandshakeType } from "./code_points.ts";
import type { CryptoProvider, Hash, HashName } from "./crypto/provider.ts";
import { encodeHandshakeMessage, type HandshakeMessage } from "./handshake_fragment.ts";
import type { DtlsVersion } from "./options.ts";

/** One serves all transcripts: a hash takes it at once. */
const messageHeader = new Uint8Array(4);

/**
 * Adds a handshake message to a hash, of a truncated one the first `hashedBytes` bytes of its body. RFC 9147 section
 * 5.2: "the message transcript is computed over the original TLS 1.3-style Handshake messages without the message_seq,
 * fragment_offset, and fragment_length values."
 */
export function hashMessage(
  hash: Hash,
  type: number,
  body: Uint8Array,
  hashedBytes: number = body.length,
): void {
  const { length } = body;
  messageHeader[0] = type;
  messageHeader[1] = length >>> 16;
  messageHeader[2] = length >>> 8;
  messageHeader[3] = length;
  hash.update(messageHeader);
  hash.update(hashedBytes === length ? body : body.subarray(0, hashedBytes));
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
    if (this.#version === "1.3") return hashMessage(this.#hash!, message.type, message.body);
    // RFC 6347 section 4.2.6: "handshake messages [...] are hashed [...] as if each handshake message had been sent as
    // a single fragment", with message_seq, fragment_offset and fragment_length.
    const bytes = encodeHandshakeMessage(message);
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
    hashMessage(this.#hash, HandshakeType.MESSAGE_HASH, digest);
  }
  /** The handshake is over: nothing is kept of it. */
  end(): void {
    this.#waiting = [];
    this.#hash = undefined;
    this.#signed = undefined;
  }
}
