// The HelloRetryRequest of a server, and what a ClientHello must keep after it (RFC 8446 sections 4.1.2 and 4.1.4).

import { ByteWriter } from "../base/byte_writer.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { ExtensionType } from "./code_points.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { encodeCookie } from "./extensions.ts";
import {
  type ClientHello,
  encodeServerHello,
  HELLO_RETRY_REQUEST_RANDOM,
} from "./hello_messages.ts";
import { VERSION_NUMBERS } from "./versions.ts";

/** Bytes of a {@linkcode helloDigest}. */
export const HELLO_DIGEST_BYTES = 32;

/** The selected_version of the supported_versions extension. */
export const SELECTED_VERSION: Uint8Array = new Uint8Array([
  VERSION_NUMBERS["1.3"] >>> 8,
  VERSION_NUMBERS["1.3"] & 0xff,
]);

/**
 * What a ClientHello must not change after a HelloRetryRequest: all but these (RFC 8446 section 4.1.2). The order
 * of extensions is left out, since there are clients that change it.
 */
const CHANGEABLE_EXTENSIONS: readonly number[] = [
  ExtensionType.KEY_SHARE,
  ExtensionType.COOKIE,
  ExtensionType.EARLY_DATA,
  ExtensionType.PRE_SHARED_KEY,
  ExtensionType.PADDING,
];

/** A hash of what a ClientHello must not change. */
export function helloDigest(provider: CryptoProvider, hello: ClientHello): Uint8Array {
  const writer = new ByteWriter(512);
  writer.u16(hello.legacyVersion).bytes(hello.random).opaque(1, hello.legacySessionId);
  for (const suite of hello.cipherSuites) writer.u16(suite);
  const fixed = [...hello.extensions.keys()].filter((type) =>
    !CHANGEABLE_EXTENSIONS.includes(type)
  );
  for (const type of fixed.sort((a, b) => a - b)) {
    writer.u16(type).opaque(2, hello.extensions.get(type)!);
  }
  const hash = provider.hash("sha256");
  hash.update(writer.view());
  writer.discard();
  return hash.digest();
}

/**
 * The body of a HelloRetryRequest, which a stateless server must be able to make again from the cookie alone. A group
 * of 0 asks for no other key share, an empty cookie for none.
 */
export function helloRetryRequest(suite: number, group: number, cookie: Uint8Array): Uint8Array {
  const extensions = new Map<number, Uint8Array>();
  extensions.set(ExtensionType.SUPPORTED_VERSIONS, SELECTED_VERSION);
  if (group !== 0) {
    extensions.set(ExtensionType.KEY_SHARE, new ByteWriter(2).u16(group).finishShort());
  }
  if (cookie.length > 0) extensions.set(ExtensionType.COOKIE, encodeCookie(cookie));
  return encodeServerHello(HELLO_RETRY_REQUEST_RANDOM, EMPTY_BYTES, suite, extensions);
}
