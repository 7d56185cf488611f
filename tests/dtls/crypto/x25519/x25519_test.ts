// X25519 in WebAssembly against another implementation, and where it refuses to be used.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import * as fc from "fast-check";
import { x25519 as other } from "@noble/curves/ed25519.js";
import { equalBytes, toHex } from "../../../../src/base/bytes.ts";
import { nodeProvider } from "../../../../src/dtls/crypto/node.ts";
import { KEY_EXCHANGE_RANDOMNESS_BYTES } from "../../../../src/dtls/crypto/provider.ts";
import { wasmX25519Exchange } from "../../../../src/dtls/crypto/x25519/exchange.ts";
import {
  openX25519,
  type X25519,
  x25519Program,
} from "../../../../src/dtls/crypto/x25519/x25519.ts";
import { OPENSSL } from "../providers.ts";
import { MULTIPLIES_AND_ADDS } from "./machine.ts";

const program = x25519Program();
const x25519 = openX25519(program);

/** Registers a test that needs a machine that multiplies and adds in one step. */
function testX25519(name: string, body: (opened: X25519) => void): void {
  Deno.test({ name, ignore: !MULTIPLIES_AND_ADDS, fn: () => body(x25519!) });
}

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

/** Scalars whose digits to the base 16 are likely to be where the sign of one, or a carry, changes. */
const scalars = fc.oneof(
  bytes32,
  fc.array(fc.constantFrom(0x00, 0x08, 0x77, 0x78, 0x80, 0x87, 0x88, 0x89, 0x98, 0xf7, 0xff), {
    minLength: 32,
    maxLength: 32,
  }).map((bytes) => Uint8Array.from(bytes)),
);

testX25519("multiples of the base point are those of another implementation", (opened) => {
  fc.assert(
    fc.property(scalars, (scalar) => {
      assertEquals(opened.publicValue(scalar), other.getPublicKey(scalar));
    }),
    { seed: 7748, numRuns: 1_000 },
  );
});

testX25519("multiples of any point are those of another implementation", (opened) => {
  /** Points at the ends of the field, which are encoded in more than one way. */
  const low = Uint8Array.from({ length: 32 }, () => 0);
  const high = Uint8Array.from({ length: 32 }, (_, i) => i === 31 ? 0x7f : 0xff);
  const edges = fc.tuple(fc.constantFrom(low, high), fc.nat(255), fc.boolean()).map(
    ([bytes, lowest, isMasked]) => {
      const point = bytes.slice();
      point[0] = lowest;
      if (isMasked) point[31]! |= 0x80;
      return point;
    },
  );
  fc.assert(
    fc.property(scalars, fc.oneof(bytes32, edges), (scalar, point) => {
      const secret = opened.secret(scalar, point);
      let expected: Uint8Array;
      try {
        expected = other.getSharedSecret(scalar, point);
      } catch {
        expected = new Uint8Array(32); // That library throws for a product that is zero.
      }
      assertEquals(secret, expected, toHex(point));
      const publicValue = opened.publicValue(scalar);
      assertEquals(opened.both(scalar, point), { publicValue, secret });
    }),
    { seed: 7748, numRuns: 500 },
  );
});

testX25519("the base point's bytes and the table give the same", (opened) => {
  const nine = new Uint8Array(32);
  nine[0] = 9;
  let scalar: Uint8Array = nine;
  for (let i = 0; i < 3_000; i++) {
    const next = opened.publicValue(scalar);
    assertEquals(next, opened.secret(scalar, nine));
    scalar = next;
  }
});

Deno.test("nothing of a secret stays in the memory", () => {
  const memories: WebAssembly.Memory[] = [];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(module: WebAssembly.Module) {
      super(module);
      memories.push(this.exports["memory"] as WebAssembly.Memory);
    }
  };
  let opened: X25519 | undefined;
  try {
    opened = openX25519(program);
  } finally {
    WebAssembly.Instance = Instance;
  }
  assertEquals(memories.length, 1);
  const { buffer } = memories[0]!;
  const before = new Uint8Array(buffer).slice();
  const scalar = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i);
  const point = opened?.publicValue(scalar);
  if (point !== undefined) {
    opened!.secret(scalar, point);
    opened!.both(scalar, point);
  }
  assert(equalBytes(new Uint8Array(buffer), before));
  const { scalarAddress, secretsEnd } = program;
  const secrets = new Uint8Array(buffer, scalarAddress, secretsEnd - scalarAddress);
  assertEquals(secrets, new Uint8Array(secrets.length));
});

/** The program with each of its instructions `from` replaced by `to`; both are vector instructions. */
function replaced(from: readonly number[], to: readonly number[]): typeof program {
  const module = program.module.slice();
  let count = 0;
  for (let at = 0; at + 2 < module.length; at++) {
    if (module[at] === 0xfd && from.every((byte, i) => module[at + 1 + i] === byte)) {
      module.set(to, at + 1);
      count++;
    }
  }
  assertNotEquals(count, 0);
  return { ...program, module };
}

Deno.test("a machine that computes anything else than it is made for does not use it", () => {
  // f64x2.relaxed_madd becomes f64x2.relaxed_nmadd, and f64x2.sub becomes f64x2.add.
  assertEquals(openX25519(replaced([0x87, 0x02], [0x88, 0x02])), undefined);
  assertEquals(openX25519(replaced([0xf1, 0x01], [0xf0, 0x01])), undefined);
});

Deno.test("a machine without its instructions does not use it", () => {
  // There is no instruction 0x17f.
  assertEquals(openX25519(replaced([0x87, 0x02], [0xff, 0x02])), undefined);
});

testX25519(
  "the public value is there before the secret and after it, whatever came of that",
  () => {
    const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(7);
    const start = () => wasmX25519Exchange(randomness)!;
    const { publicKey } = start();
    const [before, after, refused, zero] = [start(), start(), start(), start()];
    assertEquals(before.publicKey, publicKey);
    const secret = before.sharedSecret(publicKey);
    assertEquals(before.publicKey, publicKey);
    assertEquals(after.sharedSecret(publicKey), secret);
    assertEquals(after.publicKey, publicKey);
    assertEquals(refused.sharedSecret(publicKey.subarray(1)), undefined);
    assertEquals(refused.publicKey, publicKey);
    assertEquals(zero.sharedSecret(new Uint8Array(32)), undefined);
    assertEquals(zero.publicKey, publicKey);
  },
);

Deno.test("providers use it where the machine does what it needs, and nowhere else", () => {
  const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(7);
  const own = wasmX25519Exchange(randomness);
  assertEquals(own !== undefined, MULTIPLIES_AND_ADDS);
  for (const provider of [nodeProvider, ...OPENSSL === undefined ? [] : [OPENSSL]]) {
    const { constructor } = provider.keyExchange("x25519", randomness);
    assertEquals(constructor === own?.constructor, MULTIPLIES_AND_ADDS);
  }
});
