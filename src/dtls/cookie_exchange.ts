// The stateless HelloRetryRequest, and HelloVerifyRequest in DTLS 1.2: nothing is kept for an address until it has
// shown that it receives (RFC 9147 section 5.1, RFC 6347 section 4.2.1).

import type { Entropy, Milliseconds } from "../base/core.ts";
import { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { concatBytes, latin1Text, utf8Bytes } from "../base/bytes.ts";
import { shortBytes } from "../base/short_bytes.ts";
import { suiteParameters } from "./cipher_suites.ts";
import { ExtensionType, HandshakeType } from "./code_points.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { DtlsFault } from "./errors.ts";
import { decodeExtension, readCookie } from "./extensions.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { encodeHelloVerifyRequest } from "./handshake_messages_12.ts";
import type { ClientHello } from "./hello_messages.ts";
import { type HelloNegotiation, negotiateHello, negotiateVersion } from "./hello_negotiation.ts";
import { takeVouchingPsk } from "./early_handshake.ts";
import { negotiateHello12 } from "./hello_negotiation_12.ts";
import { equalSecrets } from "./key_schedule.ts";
import type { DtlsServerOptions } from "./options.ts";
import { HELLO_DIGEST_BYTES, helloDigest, helloRetryRequest } from "./hello_retry.ts";
import type { AcceptedHello } from "./server_hello.ts";
import { hashMessage } from "./transcript.ts";

/** How long a cookie is accepted. */
export const COOKIE_LIFE_MS = 10_000;

/** How long one key makes cookies; cookies of the key before are still accepted. */
const COOKIE_KEY_LIFE_MS = 60_000;

/** Cookies that were used, of which at least the last so many are remembered: each serves one handshake. */
const USED_COOKIES_MAX = 8_192;

const COOKIE_KEY_BYTES = 32;
const COOKIE_MAC_BYTES = 32;

/**
 * RFC 6347 section 4.2.1: "the cookie size limit has been raised to 255 bytes", from 32 in DTLS 1.0, which is still the
 * limit of GnuTLS: a time, and the beginning of a MAC.
 */
const COOKIE_12_BYTES = 32;
const COOKIE_TIME_BYTES = 6;

/** What keeps the MACs of the two versions apart. */
const COOKIE_12_LABEL = utf8Bytes("DTLS 1.2");

/** What a ClientHello leads to. */
export type HelloOutcome =
  /** A HelloRetryRequest or HelloVerifyRequest is to be sent, and nothing kept. */
  | { readonly kind: "retry"; readonly answer: HandshakeMessage }
  /** The handshake goes on, with an association. */
  | { readonly kind: "accepted"; readonly accepted: AcceptedHello }
  /** A ClientHello whose cookie was used before: a retransmission, or a replay. */
  | { readonly kind: "used" };

/**
 * Makes and checks cookies. A cookie holds the time, the chosen suite and group, and two hashes of the first
 * ClientHello, under a MAC that also covers the client's address.
 */
export class CookieExchange {
  readonly #provider: CryptoProvider;
  readonly #entropy: Entropy;
  readonly #options: DtlsServerOptions;
  /** Cookies that were used, the newest, and those before: each lives in one of the two until it has expired. */
  #used = new Set<string>();
  #usedBefore = new Set<string>();
  #forgetAt: Milliseconds;
  #key: Uint8Array;
  #previousKey: Uint8Array;
  #rotateAt: Milliseconds;

  constructor(options: DtlsServerOptions, now: Milliseconds) {
    this.#provider = options.provider;
    this.#entropy = options.entropy;
    this.#options = options;
    this.#key = options.entropy(COOKIE_KEY_BYTES);
    this.#previousKey = options.entropy(COOKIE_KEY_BYTES);
    this.#rotateAt = now + COOKIE_KEY_LIFE_MS;
    this.#forgetAt = now + COOKIE_LIFE_MS;
  }

  /**
   * Handles a whole ClientHello from an address. Throws `DtlsFault` or `DecodeError` where the handshake cannot
   * be; the address is not validated by then, so the answer is one alert at most.
   */
  handle(
    hello: ClientHello,
    message: Pick<AcceptedHello, "body" | "messageSeq" | "recordNumber">,
    address: string,
    now: Milliseconds,
  ): HelloOutcome {
    this.#rotate(now);
    if (negotiateVersion(hello, this.#options) === "1.2") {
      return this.#handle12(hello, message, address, now);
    }
    const negotiation = negotiateHello(hello, this.#options);
    const cookie = decodeExtension(hello.extensions, ExtensionType.COOKIE, readCookie);
    if (cookie === undefined) {
      const { messageSeq, body: helloBody } = message;
      const early = { hello, body: helloBody, address, now };
      const vouching = messageSeq === 0
        ? takeVouchingPsk(early, negotiation, this.#options)
        : undefined;
      if (vouching !== undefined) {
        return {
          kind: "accepted",
          accepted: { ...message, hello, negotiation, address, vouching },
        };
      }
      const body = this.#retry(hello, message.body, negotiation, address, now);
      return {
        kind: "retry",
        answer: { type: HandshakeType.SERVER_HELLO, messageSeq: 0, body },
      };
    }
    const content = this.#openCookie(cookie, address, now);
    // RFC 9147 section 5.1: "If a server receives a ClientHello with an invalid cookie, it MUST terminate the
    // handshake with an "illegal_parameter" alert. This allows the client to restart".
    if (content === undefined || message.messageSeq !== 1) {
      throw new DtlsFault("illegal-parameter", "the cookie is not valid, or no longer");
    }
    if (
      content.suite !== negotiation.suite.suite ||
      (content.group !== 0 && content.group !== negotiation.share?.group) ||
      !equalSecrets(content.helloDigest, helloDigest(this.#provider, hello))
    ) {
      throw new DtlsFault(
        "illegal-parameter",
        "the ClientHello changed after the HelloRetryRequest",
      );
    }
    if (!this.#use(cookie, now)) return { kind: "used" };
    const body = helloRetryRequest(content.suite, content.group, cookie);
    const retry = { clientHelloHash: content.clientHelloHash, helloRetryRequest: body };
    return { kind: "accepted", accepted: { ...message, hello, negotiation, address, retry } };
  }

  /** Of DTLS 1.2 a cookie holds the time; its MAC covers what the ClientHello must not change as well. */
  #handle12(
    hello: ClientHello,
    message: Pick<AcceptedHello, "body" | "messageSeq" | "recordNumber">,
    address: string,
    now: Milliseconds,
  ): HelloOutcome {
    negotiateHello12(hello, this.#options);
    const { legacyCookie } = hello;
    const { messageSeq } = message;
    if (this.#isCookie12(legacyCookie, this.#covered12(hello, messageSeq), address, now)) {
      if (!this.#use(legacyCookie, now)) return { kind: "used" };
      return { kind: "accepted", accepted: { ...message, hello, address } };
    }
    // RFC 6347 section 4.2.1: "if the server receives a ClientHello with an invalid cookie, it SHOULD be treated the
    // same as a ClientHello with no cookie."
    const madeAt = new ByteWriter(COOKIE_TIME_BYTES).u48(Math.floor(now)).finishShort();
    // The number of the message that is to bring the cookie is covered as well: this side's own begin with it.
    const covered = this.#covered12(hello, messageSeq + 1);
    const body = encodeHelloVerifyRequest(this.#cookie12(this.#key, madeAt, covered, address));
    return {
      kind: "retry",
      answer: { type: HandshakeType.HELLO_VERIFY_REQUEST, messageSeq, body },
    };
  }

  #covered12(hello: ClientHello, messageSeq: number): Uint8Array {
    const digest = helloDigest(this.#provider, hello);
    return new ByteWriter(64).u32(messageSeq).bytes(digest).finishShort();
  }

  #cookie12(
    key: Uint8Array,
    madeAt: Uint8Array,
    covered: Uint8Array,
    address: string,
  ): Uint8Array {
    const mac = this.#mac(key, concatBytes(COOKIE_12_LABEL, madeAt, covered), address);
    return concatBytes(madeAt, mac).subarray(0, COOKIE_12_BYTES);
  }

  #isCookie12(
    cookie: Uint8Array,
    covered: Uint8Array,
    address: string,
    now: Milliseconds,
  ): boolean {
    if (cookie.length !== COOKIE_12_BYTES) return false;
    const madeAt = cookie.subarray(0, COOKIE_TIME_BYTES);
    const isOurs = [this.#key, this.#previousKey].some((key) =>
      equalSecrets(cookie, this.#cookie12(key, madeAt, covered, address))
    );
    return isOurs && now - new ByteReader(madeAt).u48() <= COOKIE_LIFE_MS;
  }

  #retry(
    hello: ClientHello,
    body: Uint8Array,
    negotiation: HelloNegotiation,
    address: string,
    now: Milliseconds,
  ): Uint8Array {
    const { suite } = negotiation;
    const group = negotiation.share === undefined ? negotiation.group : 0;
    const transcript = this.#provider.hash(suite.hash);
    hashMessage(transcript, HandshakeType.CLIENT_HELLO, body);
    const content = new ByteWriter(128).u48(Math.floor(now)).u16(suite.suite).u16(group)
      .opaque(1, transcript.digest()).bytes(helloDigest(this.#provider, hello)).finishShort();
    const mac = this.#mac(this.#key, content, address);
    const cookie = new ByteWriter(192).bytes(content).bytes(mac).finishShort();
    return helloRetryRequest(suite.suite, group, cookie);
  }

  #openCookie(cookie: Uint8Array, address: string, now: Milliseconds) {
    if (cookie.length <= COOKIE_MAC_BYTES) return undefined;
    const content = cookie.subarray(0, -COOKIE_MAC_BYTES);
    const mac = cookie.subarray(-COOKIE_MAC_BYTES);
    const isOurs = [this.#key, this.#previousKey].some((key) =>
      equalSecrets(mac, this.#mac(key, content, address))
    );
    if (!isOurs) return undefined;
    const reader = new ByteReader(content);
    const madeAt = reader.u48();
    const opened = {
      suite: reader.u16(),
      group: reader.u16(),
      clientHelloHash: reader.opaque(1),
      helloDigest: reader.bytes(HELLO_DIGEST_BYTES),
    };
    reader.expectEnd();
    const isFresh = now - madeAt <= COOKIE_LIFE_MS && suiteParameters(opened.suite) !== undefined;
    return isFresh ? opened : undefined;
  }

  #mac(key: Uint8Array, content: Uint8Array, address: string): Uint8Array {
    const covered = new ByteWriter().bytes(content).text(2, address);
    const mac = shortBytes(COOKIE_MAC_BYTES);
    this.#provider.hmac("sha256", mac, key, covered.view());
    covered.discard();
    return mac;
  }

  /** Notes that a cookie is used. Returns whether it was not before. */
  #use(cookie: Uint8Array, now: Milliseconds): boolean {
    const id = latin1Text(cookie.subarray(-COOKIE_MAC_BYTES));
    if (this.#used.has(id) || this.#usedBefore.has(id)) return false;
    if (now >= this.#forgetAt || this.#used.size >= USED_COOKIES_MAX) {
      this.#forgetAt = now + COOKIE_LIFE_MS;
      this.#usedBefore = this.#used;
      this.#used = new Set();
    }
    this.#used.add(id);
    return true;
  }

  #rotate(now: Milliseconds): void {
    if (now < this.#rotateAt) return;
    this.#rotateAt = now + COOKIE_KEY_LIFE_MS;
    this.#previousKey.fill(0);
    this.#previousKey = this.#key;
    this.#key = this.#entropy(COOKIE_KEY_BYTES);
  }

  /** Zeroes the keys. */
  destroy(): void {
    this.#key.fill(0);
    this.#previousKey.fill(0);
    this.#used.clear();
    this.#usedBefore.clear();
  }
}
