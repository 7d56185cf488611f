// X25519 in WebAssembly against another implementation, and where it refuses to be used.

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { x25519 as other } from "@noble/curves/ed25519.js";
import { equalBytes, toHex } from "../../../../src/base/bytes.ts";
import { KeyConsumedError } from "../../../../src/dtls/crypto/key_errors.ts";
import { nodeProvider } from "../../../../src/dtls/crypto/node.ts";
import { KEY_EXCHANGE_RANDOMNESS_BYTES } from "../../../../src/dtls/crypto/provider.ts";
import { wasmX25519Exchange } from "../../../../src/dtls/crypto/x25519/exchange.ts";
import { openX25519, X25519, x25519Program } from "../../../../src/dtls/crypto/x25519/x25519.ts";
import { OPENSSL_LIBRARY_PATHS } from "../../../../src/dtls_runtime/openssl_paths.ts";
import { testWith } from "../../../harness/permissions.ts";
import { printed, SPAWNS } from "../../../harness/printed.ts";
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

/** Runs `body` with a WebAssembly whose instances give their memory to `seen`, and whose modules call `onModule`. */
function withWebAssembly<Result>(
  { seen = () => {}, onModule = () => {} }: {
    readonly seen?: (memory: WebAssembly.Memory) => void;
    readonly onModule?: () => void;
  },
  body: () => Result,
): Result {
  const { Instance, Module } = WebAssembly;
  WebAssembly.Module = class extends Module {
    constructor(bytes: BufferSource) {
      onModule();
      super(bytes);
    }
  };
  WebAssembly.Instance = class extends Instance {
    constructor(module: WebAssembly.Module) {
      super(module);
      seen(this.exports["memory"] as WebAssembly.Memory);
    }
  };
  try {
    return body();
  } finally {
    Object.assign(WebAssembly, { Instance, Module });
  }
}

testX25519("nothing of a secret stays in the memory, whatever came of it", () => {
  let memory: WebAssembly.Memory | undefined;
  const opened = withWebAssembly({ seen: (one) => memory = one }, () => openX25519(program)!);
  const { scalarAddress, secretsEnd } = program;
  const secrets = new Uint8Array(memory!.buffer, scalarAddress, secretsEnd - scalarAddress);
  const zeros = new Uint8Array(secrets.length);
  const constants = new Uint8Array(memory!.buffer, 0, scalarAddress).slice();
  const scalar = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i);
  const point = opened.publicValue(scalar);
  assertEquals(secrets, zeros);
  opened.secret(scalar, point);
  assertEquals(secrets, zeros);
  opened.both(scalar, point);
  assertEquals(secrets, zeros);
  // The point is refused when the scalar is there already.
  const long = new Uint8Array(memory!.buffer.byteLength);
  assertThrows(() => opened.secret(scalar, long), RangeError);
  assertEquals(secrets, zeros);
  assertThrows(() => opened.both(scalar, long), RangeError);
  assertEquals(secrets, zeros);
  assert(equalBytes(new Uint8Array(memory!.buffer, 0, scalarAddress), constants));
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

testX25519("an exchange zeroes its scalar when it is over, and when it is given up", () => {
  const scalars: Uint8Array[] = [];
  const { publicValue } = X25519.prototype;
  X25519.prototype.publicValue = function (scalar) {
    scalars.push(scalar);
    return publicValue.call(this, scalar);
  };
  try {
    const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(7);
    const [over, givenUp] = [wasmX25519Exchange(randomness)!, wasmX25519Exchange(randomness)!];
    over.sharedSecret(givenUp.publicKey.with(0, over.publicKey[0]! ^ 1));
    givenUp.destroy();
    assertThrows(() => givenUp.sharedSecret(over.publicKey), KeyConsumedError);
    assertEquals(givenUp.publicKey, over.publicKey);
    const neverAsked = wasmX25519Exchange(randomness)!;
    neverAsked.destroy();
    assertThrows(() => neverAsked.publicKey, KeyConsumedError);
  } finally {
    X25519.prototype.publicValue = publicValue;
  }
  assertEquals(scalars, [new Uint8Array(32), new Uint8Array(32)]);
});

Deno.test("a machine that refuses it is asked once", async () => {
  // Another instance of the module, which has not opened anything yet.
  const path = "../../../../src/dtls/crypto/x25519/exchange.ts?another";
  const another = (await import(path)) as { wasmX25519Exchange: typeof wasmX25519Exchange };
  const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES);
  let count = 0;
  const onModule = () => {
    count++;
    throw new WebAssembly.CompileError("code generation disallowed by embedder");
  };
  withWebAssembly({ onModule }, () => {
    assertEquals(another.wasmX25519Exchange(randomness), undefined);
    assertEquals(another.wasmX25519Exchange(randomness), undefined);
  });
  assertEquals(count, 1);
});

Deno.test("without WebAssembly there is none", () => {
  const { WebAssembly } = globalThis;
  Reflect.deleteProperty(globalThis, "WebAssembly");
  try {
    assertEquals(openX25519(program), undefined);
  } finally {
    Object.assign(globalThis, { WebAssembly });
  }
});

const onX64 = { ...SPAWNS, unless: () => Deno.build.arch !== "x86_64" };
testWith(onX64, "where each step is rounded the providers are right without it", async () => {
  const url = (path: string) => new URL(`../../../../src/${path}`, import.meta.url).href;
  const program = `
    import { nodeProvider } from "${url("dtls/crypto/node.ts")}";
    import { openOpensslProvider } from "${url("dtls_runtime/openssl.ts")}";
    import { wasmX25519Exchange } from "${url("dtls/crypto/x25519/exchange.ts")}";
    const randomness = new Uint8Array(${KEY_EXCHANGE_RANDOMNESS_BYTES}).fill(7);
    console.log(wasmX25519Exchange(randomness));
    for (const provider of [nodeProvider, openOpensslProvider() ?? nodeProvider]) {
      console.log(provider.keyExchange("x25519", randomness).publicKey.toHex());
    }`;
  const publicKey = toHex(other.getPublicKey(new Uint8Array(32).fill(7)));
  const flags = ["--v8-flags=--no-enable-fma3", `--allow-ffi=${OPENSSL_LIBRARY_PATHS.join(",")}`];
  assertEquals(await printed(program, ...flags), `undefined\n${publicKey}\n${publicKey}\n`);
});

Deno.test("providers use it where the machine does what it needs, and nowhere else", () => {
  const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(7);
  const own = wasmX25519Exchange(randomness);
  assertEquals(own !== undefined, MULTIPLIES_AND_ADDS);
  for (const provider of [nodeProvider, ...OPENSSL === undefined ? [] : [OPENSSL]]) {
    const { constructor } = provider.keyExchange("x25519", randomness);
    assertEquals(constructor === own?.constructor, MULTIPLIES_AND_ADDS);
  }
});
