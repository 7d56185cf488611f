// X25519MLKEM768, its two sides against each other and against values that neither may take.

import { assertEquals, assertThrows } from "@std/assert";
import {
  answerHybrid,
  HYBRID_RANDOMNESS_BYTES,
  startHybrid,
} from "../../../src/dtls/crypto/hybrid.ts";
import { nobleProvider } from "../../../src/dtls/crypto/noble.ts";
import { KeyConsumedError } from "../../../src/dtls/crypto/key_errors.ts";
import { nodeProvider } from "../../../src/dtls/crypto/node.ts";

const randomness = (byte: number) => new Uint8Array(HYBRID_RANDOMNESS_BYTES).fill(byte);

Deno.test("both sides of the hybrid exchange find the same 64 bytes, with shares of the draft's lengths", () => {
  for (
    const [one, other] of [[nodeProvider, nobleProvider], [nobleProvider, nodeProvider]] as const
  ) {
    const client = startHybrid(one, randomness(1));
    const server = answerHybrid(other, randomness(2), client.publicKey)!;
    assertEquals([client.publicKey.length, server.publicKey.length], [1_216, 1_120]);
    assertEquals(server.sharedSecret.length, 64);
    assertEquals(client.sharedSecret(server.publicKey), server.sharedSecret);
    assertThrows(() => client.sharedSecret(server.publicKey));
  }
});

Deno.test("an exchange that is given up serves no more", () => {
  const client = startHybrid(nodeProvider, randomness(1));
  const server = answerHybrid(nodeProvider, randomness(2), client.publicKey)!;
  client.destroy();
  assertThrows(() => client.sharedSecret(server.publicKey), KeyConsumedError);
});

Deno.test("shares of another length, of low order or outside the field are refused", () => {
  const good = startHybrid(nodeProvider, randomness(1)).publicKey;
  const answer = (share: Uint8Array) => answerHybrid(nodeProvider, randomness(2), share);
  assertEquals(answer(good.subarray(1)), undefined);
  const lowOrder = good.slice();
  lowOrder.fill(0, 1_184);
  assertEquals(answer(lowOrder), undefined);
  // FIPS 203 section 7.2: coefficients are below 3,329; here all are 4,095.
  const notReduced = good.slice();
  notReduced.fill(0xff, 0, 1_152);
  assertEquals(answer(notReduced), undefined);
  const client = () => startHybrid(nodeProvider, randomness(1));
  const server = answer(good)!.publicKey;
  assertEquals(client().sharedSecret(server.subarray(1)), undefined);
  const zero = server.slice();
  zero.fill(0, 1_088);
  assertEquals(client().sharedSecret(zero), undefined);
});
