// The extensions of PSKs against RFC 8448 section 4, and what is wrong with them refused.

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { ByteReader, DecodeError } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { fromHex, utf8Bytes } from "../../src/base/bytes.ts";
import { ExtensionType } from "../../src/dtls/code_points.ts";
import { TLS13_LABEL_PREFIX } from "../../src/dtls/crypto/hkdf.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import {
  bindersBytesOf,
  checkBinder,
  encodeOfferedPsks,
  encodeSelectedIdentity,
  PSK_KEY_EXCHANGE_MODES,
  pskBinder,
  readOfferedPsks,
  readPskKeyExchangeModes,
  readSelectedIdentity,
  requireLast,
  setBinders,
} from "../../src/dtls/pre_shared_key.ts";
import { clientTicketAge, obfuscatedAge } from "../../src/dtls/ticket_age.ts";
import { testEach } from "./crypto/providers.ts";
import { RESUMED_TRACE, SIMPLE_TRACE } from "./crypto/rfc8448.ts";

/** Section 4's ClientHello, whose binders it prints apart. */
const HELLO = RESUMED_TRACE.messages().find(({ name }) => name === "ClientHello")!.bytes.subarray(
  4,
);
const PSK = RESUMED_TRACE.value('extract secret "early"', "IKM");
const BINDER = RESUMED_TRACE.value("calculate PSK binder", "finished");

/** The offer of a ClientHello of TLS, whose last extension it is: 0xdd bytes. */
function offerOf(body: Uint8Array) {
  const reader = new ByteReader(body.subarray(-0xdd - 4));
  assertEquals([reader.u16(), reader.u16()], [ExtensionType.PRE_SHARED_KEY, 0xdd]);
  const offered = readOfferedPsks(reader);
  reader.expectEnd();
  return offered;
}

testEach(
  "RFC 8448 section 4: the offer, and its binder over the truncated ClientHello",
  (provider) => {
    const offered = offerOf(HELLO);
    assertEquals(offered.identities.length, 1);
    assertEquals(offered.binders, [BINDER]);
    assertEquals(offered.bindersBytes, bindersBytesOf(["sha256"]));
    const parameters = {
      provider,
      hash: "sha256",
      labelPrefix: TLS13_LABEL_PREFIX,
      psk: PSK,
      kind: "resumption",
    } as const;
    const before = provider.hash("sha256");
    const empty = HELLO.slice();
    empty.fill(0, empty.length - 32);
    assertEquals(pskBinder(parameters, before, empty, offered.bindersBytes), BINDER);
    setBinders(empty, [BINDER]);
    assertEquals(empty, HELLO);
    checkBinder(parameters, before, HELLO, offered, 0);
    const refuses = (change: Partial<typeof parameters>, body = HELLO, offer = offered) =>
      assertThrows(
        () => checkBinder({ ...parameters, ...change }, before, body, offer, 0),
        DtlsFault,
        "binder",
      );
    refuses({ kind: "external" } as object);
    refuses({ kind: "imported" } as object);
    refuses({ psk: new Uint8Array(32) });
    refuses({ labelPrefix: "dtls13" } as object);
    const changed = HELLO.slice();
    changed[10]! ^= 1;
    refuses({}, changed);
    for (const length of [1, 31, 33]) {
      refuses({}, HELLO, {
        ...offered,
        binders: [new Uint8Array([...BINDER, 0]).subarray(0, length)],
      });
    }
  },
);

Deno.test("RFC 8448 section 3 and 4: the age of the ticket", () => {
  const ticket = SIMPLE_TRACE.value(
    "construct a NewSessionTicket handshake message",
    "NewSessionTicket",
  );
  const ageAdd = new ByteReader(ticket.subarray(8)).u32();
  const [{ obfuscatedAge: age } = { obfuscatedAge: 0 }] = offerOf(HELLO).identities;
  const ageMs = clientTicketAge(age, ageAdd);
  assert(ageMs >= 0 && ageMs < 30_000, `${ageMs}`);
  assertEquals(obfuscatedAge(ageMs, ageAdd), age);
});

Deno.test("RFC 8446 section 4.2.11.1: ages are added modulo 2^32", () => {
  assertEquals(obfuscatedAge(5, 0xffff_fffe), 3);
  assertEquals(clientTicketAge(3, 0xffff_fffe), 5);
  assertEquals(obfuscatedAge(-1, 7), 7);
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(fc.property(u32, u32, (ageMs, ageAdd) => {
    const hidden = obfuscatedAge(ageMs, ageAdd);
    assert(hidden >= 0 && hidden < 2 ** 32);
    assertEquals(clientTicketAge(hidden, ageAdd), ageMs);
  }));
});

Deno.test("an offer of several PSKs is what its bytes decode to, every prefix is refused", () => {
  const identities = [
    { identity: utf8Bytes("one"), obfuscatedAge: 0xffff_ffff },
    { identity: utf8Bytes("another"), obfuscatedAge: 0 },
  ];
  const encoded = encodeOfferedPsks(identities, ["sha256", "sha384"]);
  const offered = readOfferedPsks(new ByteReader(encoded));
  assertEquals(offered.identities, identities);
  assertEquals(offered.binders, [new Uint8Array(32), new Uint8Array(48)]);
  assertEquals(offered.bindersBytes, bindersBytesOf(["sha256", "sha384"]));
  const binders = [new Uint8Array(32).fill(1), new Uint8Array(48).fill(2)];
  setBinders(encoded, binders);
  assertEquals(readOfferedPsks(new ByteReader(encoded)).binders, binders);
  for (let length = 0; length < encoded.length; length++) {
    assertThrows(() => readOfferedPsks(new ByteReader(encoded.subarray(0, length))), DecodeError);
  }
});

Deno.test("not one binder for each identity is an illegal_parameter, none at all a decode_error", () => {
  const offer = (identities: number, binders: number) =>
    new ByteReader(
      new ByteWriter()
        .vector(2, (writer) => {
          for (let i = 0; i < identities; i++) writer.opaque(2, utf8Bytes("identity")).u32(0);
        })
        .vector(2, (writer) => {
          for (let i = 0; i < binders; i++) writer.opaque(1, new Uint8Array(32));
        }).finish(),
    );
  for (const [identities, binders] of [[1, 2], [2, 1]] as const) {
    const fault = assertThrows(() => readOfferedPsks(offer(identities, binders)), DtlsFault);
    assertEquals(fault.reason, "illegal-parameter");
  }
  assertThrows(() => readOfferedPsks(offer(1, 0)), DecodeError);
  assertThrows(() => readOfferedPsks(offer(0, 1)), DecodeError);
  const noIdentity = fromHex("0007 0000 00000000 00 0021 20" + "00".repeat(32));
  assertThrows(() => readOfferedPsks(new ByteReader(noIdentity)), DecodeError);
});

Deno.test('RFC 8446 section 4.2.11: "Servers MUST check that it is the last extension"', () => {
  const [psk, other] = [ExtensionType.PRE_SHARED_KEY, ExtensionType.KEY_SHARE];
  const none = new Uint8Array(0);
  requireLast(new Map([[other, none], [psk, none]]));
  requireLast(new Map([[other, none]]));
  const fault = assertThrows(() => requireLast(new Map([[psk, none], [other, none]])), DtlsFault);
  assertEquals(fault.reason, "illegal-parameter");
});

Deno.test("selected identity and key exchange modes", () => {
  assertEquals(readSelectedIdentity(new ByteReader(encodeSelectedIdentity(0xfffe))), 0xfffe);
  assertEquals(readPskKeyExchangeModes(new ByteReader(PSK_KEY_EXCHANGE_MODES)), Uint8Array.of(1));
  assertThrows(() => readPskKeyExchangeModes(new ByteReader(Uint8Array.of(0))), DecodeError);
});
