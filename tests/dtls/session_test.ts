// A client's session: the identity of encoding, every wrong encoding refused, and for how long it is offered.

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { CipherSuite, ProtocolVersion } from "../../src/dtls/code_points.ts";
import { DtlsError } from "../../src/dtls/errors.ts";
import {
  decodeSession,
  type DtlsSession,
  encodeSession,
  eraseSession,
  isSessionUsable,
  SESSION_LIFETIME_MS_MAX,
} from "../../src/dtls/session.ts";

const NOW = 1_800_000_000_000;

const SESSION: DtlsSession = {
  version: ProtocolVersion.DTLS_1_3,
  suite: CipherSuite.TLS_AES_128_GCM_SHA256,
  secret: new Uint8Array(32).fill(1),
  serverName: "localhost",
  alpn: "sqp/1",
  peerChain: [new Uint8Array(300).fill(2), new Uint8Array(5).fill(3)],
  pskIdentity: undefined,
  authenticatedAt: NOW - 10_000,
  ageAdd: 0xffff_fffe,
  earlyDataBytesMax: 1_024,
  ticket: new Uint8Array(200).fill(4),
  sessionId: new Uint8Array(0),
  lifetimeMs: 60_000,
  receivedAt: NOW,
};

const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const text = fc.option(fc.string({ minLength: 1, maxLength: 60 }), { nil: undefined });
const time = fc.integer({ min: 0, max: 2 ** 47 });
const sessions: fc.Arbitrary<DtlsSession> = fc.record({
  version: fc.constantFrom(ProtocolVersion.DTLS_1_2, ProtocolVersion.DTLS_1_3),
  suite: fc.integer({ min: 0, max: 0xffff }),
  secret: bytes(1, 64),
  serverName: text,
  alpn: text,
  peerChain: fc.array(bytes(1, 100), { maxLength: 4 }),
  pskIdentity: fc.option(bytes(1, 300), { nil: undefined }),
  authenticatedAt: time,
  ageAdd: fc.integer({ min: 0, max: 0xffff_ffff }),
  earlyDataBytesMax: fc.integer({ min: 0, max: 0xffff_ffff }),
  ticket: bytes(0, 300),
  sessionId: bytes(0, 32),
  lifetimeMs: time,
  receivedAt: time,
});

Deno.test("a session is what its bytes decode to", () => {
  fc.assert(fc.property(sessions, (session) => {
    assertEquals(decodeSession(encodeSession(session)), session);
  }));
});

Deno.test("what is no session is refused with a typed error", () => {
  const encoded = encodeSession(SESSION);
  for (let length = 0; length < encoded.length; length++) {
    assertThrows(() => decodeSession(encoded.subarray(0, length)), DtlsError, "no session");
  }
  assertThrows(() => decodeSession(new Uint8Array([...encoded, 0])), DtlsError);
  const otherFormat = encoded.slice();
  otherFormat[0] = 9;
  assertThrows(() => decodeSession(otherFormat), DtlsError, "unknown format");
  const otherVersion = encoded.slice();
  otherVersion[2]! ^= 0x70;
  assertThrows(() => decodeSession(otherVersion), DtlsError, "unknown version");
  assertThrows(() => decodeSession(new Uint8Array(70_000)), DtlsError, "too large");
  const large = { ...SESSION, peerChain: [new Uint8Array(70_000)] };
  assertThrows(() => encodeSession(large), DtlsError, "too large");
});

Deno.test("decoded bytes may be reused, and an erased session has no secret", () => {
  const encoded = encodeSession(SESSION);
  const session = decodeSession(encoded);
  encoded.fill(0);
  assertEquals(session, SESSION);
  eraseSession(session);
  assertEquals(session.secret, new Uint8Array(32));
});

Deno.test('RFC 8446 section 4.6.1: a ticket is not used past its lifetime, nor "longer than 7 days"', () => {
  assert(isSessionUsable(SESSION, NOW));
  assert(isSessionUsable(SESSION, NOW + 59_999));
  assert(!isSessionUsable(SESSION, NOW + 60_000));
  assert(!isSessionUsable({ ...SESSION, lifetimeMs: 0 }, NOW), "discarded immediately");
  assert(!isSessionUsable(SESSION, NOW - 1), "the clock was set back");
  const long = { ...SESSION, authenticatedAt: NOW, lifetimeMs: 2 * SESSION_LIFETIME_MS_MAX };
  assert(isSessionUsable(long, NOW + SESSION_LIFETIME_MS_MAX - 1));
  assert(!isSessionUsable(long, NOW + SESSION_LIFETIME_MS_MAX));
  const renewed = { ...SESSION, authenticatedAt: NOW - SESSION_LIFETIME_MS_MAX };
  assert(!isSessionUsable(renewed, NOW), "its chain was proved too long ago");
});

Deno.test("whatever was stored, a session comes of it or a typed error", () => {
  const refuses = (stored: Uint8Array) => {
    try {
      decodeSession(stored);
    } catch (error) {
      assert(error instanceof DtlsError, String(error));
    }
  };
  fc.assert(fc.property(bytes(0, 400), refuses));
  const encoded = encodeSession(SESSION);
  const change = fc.tuple(fc.nat(encoded.length - 1), fc.integer({ min: 1, max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const changed = encoded.slice();
      for (const [at, by] of changes) changed[at]! ^= by;
      refuses(changed);
    }),
    { numRuns: 2_000 },
  );
});
