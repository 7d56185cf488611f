// Tickets: sealed, opened, rotated, shared, and refused.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { CipherSuite, ProtocolVersion } from "../../src/dtls/code_points.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import type { CryptoProvider } from "../../src/dtls/crypto/provider.ts";
import { DtlsError } from "../../src/dtls/errors.ts";
import { SESSION_LIFETIME_MS_MAX } from "../../src/dtls/session.ts";
import {
  TICKET_BYTES_MAX,
  TICKET_LIFETIME_MS,
  TicketKeys,
  type TicketKeysOptions,
  type TicketState,
} from "../../src/dtls/ticket_keys.ts";
import { Random } from "../harness/random.ts";
import { bitFlips, testEach } from "./crypto/providers.ts";

const NOW = 1_800_000_000_000;

const STATE: TicketState = {
  version: ProtocolVersion.DTLS_1_3,
  suite: CipherSuite.TLS_AES_256_GCM_SHA384,
  secret: new Uint8Array(48).fill(1),
  serverName: "localhost",
  alpn: undefined,
  peerChain: [new Uint8Array(400).fill(2)],
  pskIdentity: undefined,
  authenticatedAt: NOW - 5_000,
  ageAdd: 77,
  earlyDataBytesMax: 0,
  issuedAt: NOW,
  address: "192.0.2.1:5000",
  singleUse: undefined,
};

function keysOf(
  options: Partial<TicketKeysOptions> = {},
  seed = 1,
  provider: CryptoProvider = nodeProvider,
): TicketKeys {
  return new TicketKeys({ provider, entropy: new Random(seed).entropy(), ...options }, NOW);
}

testEach("a ticket opens to the state that was sealed, and to nothing once changed", (provider) => {
  const keys = keysOf({}, 1, provider);
  const early = { ...STATE, singleUse: { zone: new Uint8Array(8).fill(3), number: 9 } };
  for (
    const state of [STATE, early, { ...STATE, address: undefined, pskIdentity: Uint8Array.of(1) }]
  ) {
    assertEquals(keys.open(keys.seal(state, NOW)!, NOW + 1), state);
  }
  const ticket = keys.seal(STATE, NOW)!;
  for (const flipped of bitFlips(ticket)) assertEquals(keys.open(flipped, NOW), undefined);
  for (let length = 0; length < ticket.length; length++) {
    assertEquals(keys.open(ticket.subarray(0, length), NOW), undefined);
  }
  assertEquals(keysOf({}, 2, provider).open(ticket, NOW), undefined, "of other keys");
  assertEquals(keys.open(new Uint8Array(TICKET_BYTES_MAX + 1), NOW), undefined);
  keys.destroy();
});

Deno.test("nothing of a ticket is readable, and no two tickets are alike", () => {
  const keys = keysOf();
  const [one, other] = [keys.seal(STATE, NOW)!, keys.seal(STATE, NOW)!];
  assert(!new TextDecoder("latin1").decode(one).includes("localhost"));
  assert(one.subarray(16).some((byte, index) => byte !== other[16 + index]));
  assertEquals(keys.open(other, NOW), STATE);
});

Deno.test("a ticket is taken for its lifetime, and a chain for seven days", () => {
  const keys = keysOf();
  const ticket = keys.seal(STATE, NOW)!;
  assertEquals(keys.open(ticket, NOW + TICKET_LIFETIME_MS - 1), STATE);
  assertEquals(keys.open(ticket, NOW + TICKET_LIFETIME_MS), undefined);
  assertEquals(keys.open(keys.seal({ ...STATE, issuedAt: NOW + 1 }, NOW)!, NOW), undefined);
  const old = { ...STATE, authenticatedAt: NOW - SESSION_LIFETIME_MS_MAX };
  assertEquals(keys.open(keys.seal(old, NOW)!, NOW), undefined);
});

Deno.test("keys rotate by time; a ticket outlives its key's turn, and no longer than itself", () => {
  const keys = keysOf({ lifetimeMs: 1_000, rotationMs: 400 });
  const first = keys.seal(STATE, NOW)!;
  const later = keys.seal({ ...STATE, issuedAt: NOW + 450 }, NOW + 450)!;
  assert(first.subarray(0, 16).some((byte, index) => byte !== later[index]), "another name");
  assertEquals(keys.open(first, NOW + 999), STATE);
  assertEquals(keys.open(first, NOW + 1_000), undefined);
  assert(keys.open(later, NOW + 1_449) !== undefined);
  for (let at = NOW + 1_000; at < NOW + 20_000; at += 100) {
    keys.seal({ ...STATE, issuedAt: at }, at);
    assert(keys.exportKeys().length <= 4, "old keys are forgotten");
  }
});

Deno.test("endpoints that share keys take each other's tickets, also after the keys change", () => {
  const [a, b] = [keysOf({ rotationMs: Infinity }, 1), keysOf({ rotationMs: Infinity }, 2)];
  const before = b.seal(STATE, NOW)!;
  b.importKeys(a.exportKeys(), NOW);
  assertEquals(b.open(a.seal(STATE, NOW)!, NOW), STATE);
  assertEquals(a.open(b.seal(STATE, NOW)!, NOW), STATE);
  assertEquals(b.open(before, NOW + 1), STATE, "its own of before");
  const [old] = a.exportKeys();
  const [fresh] = keysOf({}, 3).exportKeys();
  const oldTicket = a.seal(STATE, NOW)!;
  for (const keys of [a, b]) keys.importKeys([fresh!, old!], NOW + 10);
  assertEquals(b.open(oldTicket, NOW + 20), STATE);
  const newTicket = a.seal(STATE, NOW + 20)!;
  assertEquals(newTicket.subarray(0, 16), fresh!.name);
  assertEquals(b.open(newTicket, NOW + 20), STATE);
  b.importKeys([fresh!], NOW + 30);
  assertEquals(b.open(oldTicket, NOW + 30), STATE, "for a lifetime more");
});

Deno.test("a state that does not fit gives no ticket, and destroyed keys none either", () => {
  const keys = keysOf();
  const room = TICKET_BYTES_MAX - keys.seal({ ...STATE, peerChain: [] }, NOW)!.length;
  const chainOf = (bytes: number) => ({ ...STATE, peerChain: [new Uint8Array(bytes - 3)] });
  const largest = keys.seal(chainOf(room), NOW)!;
  assertEquals(largest.length, TICKET_BYTES_MAX);
  assertEquals(keys.open(largest, NOW), chainOf(room));
  assertEquals(keys.seal(chainOf(room + 1), NOW), undefined);
  keys.destroy();
  assertEquals(keys.seal(STATE, NOW), undefined);
  assertEquals(keys.open(largest, NOW), undefined);
});

Deno.test("times and keys out of their range are refused", () => {
  const wrong = [
    { lifetimeMs: SESSION_LIFETIME_MS_MAX + 1 },
    { lifetimeMs: 0 },
    { lifetimeMs: NaN },
    { lifetimeMs: 1_000, rotationMs: 10 },
    { rotationMs: NaN },
  ];
  for (const options of wrong) assertThrows(() => keysOf(options), DtlsError);
  const [key] = keysOf().exportKeys();
  const keys = keysOf();
  assertThrows(() => keys.importKeys([], NOW), DtlsError);
  assertThrows(() => keys.importKeys(Array(9).fill(key), NOW), DtlsError);
  assertThrows(() => keys.importKeys([{ ...key!, key: new Uint8Array(16) }], NOW), DtlsError);
  assertThrows(() => keys.importKeys([{ ...key!, name: new Uint8Array(1) }], NOW), DtlsError);
});
