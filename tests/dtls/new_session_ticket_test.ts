// NewSessionTicket against RFC 8448 section 3.

import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { concatBytes, fromHex } from "../../src/base/bytes.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import {
  decodeNewSessionTicket,
  encodeNewSessionTicket,
} from "../../src/dtls/new_session_ticket.ts";
import { SIMPLE_TRACE } from "./crypto/rfc8448.ts";

const BODY = SIMPLE_TRACE.value(
  "construct a NewSessionTicket handshake message",
  "NewSessionTicket",
).subarray(4);

Deno.test("RFC 8448 section 3: the ticket, and the same bytes again", () => {
  const message = decodeNewSessionTicket(BODY);
  assertEquals(message.lifetimeSeconds, 30);
  assertEquals(message.ageAdd, 0xfad6_aac5);
  assertEquals(message.nonce, Uint8Array.of(0, 0));
  assertEquals(message.ticket.length, 178);
  assertEquals(message.earlyDataBytesMax, 1_024);
  assertEquals(encodeNewSessionTicket(message), BODY);
  const none = { ...message, earlyDataBytesMax: 0 };
  assertEquals(decodeNewSessionTicket(encodeNewSessionTicket(none)), none);
});

Deno.test("a malformed ticket is refused, an unknown extension of it ignored", () => {
  for (let length = 0; length < BODY.length; length++) {
    assertThrows(() => decodeNewSessionTicket(BODY.subarray(0, length)), DecodeError);
  }
  assertThrows(() => decodeNewSessionTicket(concatBytes(BODY, Uint8Array.of(0))), DecodeError);
  const head = "0000001e 00000000 00 ";
  const decode = (rest: string) => decodeNewSessionTicket(fromHex(head + rest));
  assertThrows(() => decode("0000 0000"), DecodeError, "bounds");
  assertEquals(decode("0001aa 0004 7a7a0000").earlyDataBytesMax, 0);
  assertThrows(() => decode("0001aa 0008 7a7a0000 7a7a0000"), DtlsFault, "twice");
  assertThrows(() => decode("0001aa 0006 002a0002 0000"), DecodeError);
});
