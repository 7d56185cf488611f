// The provider on libcrypto: where it is used, and what it keeps and releases. What it computes, tests/dtls/crypto
// and the handshakes check.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { utf8Bytes } from "../../src/base/bytes.ts";
import { AEAD_KEY_BYTES } from "../../src/dtls/crypto/aead_shape.ts";
import { ProviderAbsentError } from "../../src/dtls/crypto/composed.ts";
import { PARSED_KEY_COUNT_MAX } from "../../src/dtls/crypto/key_cache.ts";
import { DestroyedKeyError } from "../../src/dtls/crypto/key_errors.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import type { AeadName, CryptoProvider } from "../../src/dtls/crypto/provider.ts";
import { Handle } from "../../src/dtls_runtime/openssl_handle.ts";
import type { Pointer } from "../../src/dtls_runtime/openssl_library.ts";
import { OPENSSL_LIBRARY_PATHS } from "../../src/dtls_runtime/openssl_paths.ts";
import { systemProvider } from "../../src/dtls_runtime/system_provider.ts";
import { pkcs8 } from "../dtls/crypto/keys.ts";
import { keyExchangeOf, OPENSSL } from "../dtls/crypto/providers.ts";
import { testWith } from "../harness/permissions.ts";
import { printed, SPAWNS } from "../harness/printed.ts";

/** Registers a test that needs libcrypto. */
function testOpenssl(name: string, body: (provider: CryptoProvider) => void): void {
  Deno.test({ name, ignore: OPENSSL === undefined, fn: () => body(OPENSSL!) });
}

const MODULE = new URL("../../src/dtls_runtime/mod.ts", import.meta.url).href;
const IMPORT = `import { openOpensslProvider, systemProvider } from "${MODULE}";`;

testWith(
  SPAWNS,
  "without permission for foreign functions libcrypto is not there, and nothing asks",
  async () => {
    const program = `${IMPORT}
    console.log(openOpensslProvider(), [...new Set(systemProvider().uses.values())].join());`;
    assertEquals(await printed(program), "undefined node,noble\n");
    const elsewhere = "--allow-ffi=/nowhere/libcrypto.so.3";
    assertEquals(await printed(program, elsewhere), "undefined node,noble\n");
    const denied = `--deny-ffi=${OPENSSL_LIBRARY_PATHS.join(",")}`;
    assertEquals(await printed(program, "--allow-ffi", denied), "undefined node,noble\n");
    const forced =
      `${IMPORT} try { systemProvider("openssl"); } catch (e) { console.log(e.name); }`;
    assertEquals(await printed(forced), "ProviderAbsentError\n");
  },
);

testWith(SPAWNS, "on a runtime without foreign functions libcrypto is not there", async () => {
  const program = `delete Deno.dlopen; const { openOpensslProvider } = await import("${MODULE}");
    console.log(openOpensslProvider()); delete globalThis.Deno;`;
  assertEquals(await printed(program, "--allow-ffi"), "undefined\n");
});

const withLibrary = { ...SPAWNS, unless: () => OPENSSL === undefined };
testWith(withLibrary, "with permission for libcrypto's path alone it is used first", async () => {
  const program = `${IMPORT} console.log(systemProvider("openssl").name,
    [...new Set(systemProvider().uses.values())].join());`;
  const flag = `--allow-ffi=${OPENSSL_LIBRARY_PATHS.join(",")}`;
  assertEquals(await printed(program, flag), "openssl openssl,noble,node\n");
});

Deno.test("a name asks the system's provider for one, and libcrypto's absence has a name", () => {
  assertEquals(systemProvider().name, "fastest");
  assertEquals(systemProvider("noble").name, "noble");
  if (OPENSSL === undefined) assertThrows(() => systemProvider("openssl"), ProviderAbsentError);
  else assertEquals(systemProvider("openssl"), OPENSSL);
});

Deno.test("a handle releases what it holds once, and is of no use afterwards", () => {
  const pointer = {} as Pointer;
  const released: Pointer[] = [];
  const handle = new Handle(pointer, (one) => released.push(one));
  assertEquals(handle.pointer, pointer);
  handle.release();
  handle.release();
  assertEquals(released, [pointer]);
  assertThrows(() => handle.pointer, DestroyedKeyError);
});

testOpenssl("one AEAD seals and opens in turn, and forgets a forgery", (provider) => {
  for (const name of Object.keys(AEAD_KEY_BYTES) as AeadName[]) {
    const aead = provider.aead(name, new Uint8Array(AEAD_KEY_BYTES[name]).fill(5));
    const header = utf8Bytes("header");
    for (let i = 0; i < 20; i++) {
      const nonce = new Uint8Array(12).fill(i);
      const plaintext = new Uint8Array(10 * i).fill(i);
      const sealed = new Uint8Array(plaintext.length + aead.tagBytes);
      aead.seal(nonce, header, plaintext, sealed);
      sealed[i % sealed.length]! ^= 1;
      assertEquals(aead.open(nonce, header, sealed), undefined);
      sealed[i % sealed.length]! ^= 1;
      assertEquals(aead.open(nonce, header, sealed), plaintext);
    }
    aead.destroy();
    aead.destroy();
  }
});

testOpenssl("a context that served one key serves the next ones as a new one would", (provider) => {
  const plaintext = utf8Bytes("a record's content");
  for (const name of Object.keys(AEAD_KEY_BYTES) as AeadName[]) {
    for (let i = 0; i < 5; i++) {
      const key = new Uint8Array(AEAD_KEY_BYTES[name]).fill(i);
      const nonce = new Uint8Array(12).fill(7);
      const sealed = [provider, nodeProvider].map((one) => {
        const aead = one.aead(name, key);
        const cipher = one.recordNumberCipher(name, key);
        const out = new Uint8Array(plaintext.length + aead.tagBytes);
        aead.seal(nonce, key, plaintext, out);
        const mask = [...cipher.mask(out)].slice(0, 2);
        for (const destroyed of [aead, cipher]) destroyed.destroy();
        assertThrows(() => aead.open(nonce, key, out), DestroyedKeyError);
        return [out, mask];
      });
      assertEquals(sealed[0], sealed[1]);
    }
  }
});

testOpenssl(
  "more public keys than are kept verify, again and again, with every scheme",
  (provider) => {
    const message = utf8Bytes("message");
    const signed = Array.from({ length: PARSED_KEY_COUNT_MAX + 3 }, (_, i) => {
      const privateKey = new Uint8Array(32).fill(i + 1);
      const { publicKey } = keyExchangeOf(provider, "secp256r1", privateKey);
      const key = provider.signingKey(pkcs8({ kind: "secp256r1", privateKey, publicKey }));
      return { publicKey: key.publicKey, signature: key.sign("ecdsa_sha384", message) };
    });
    for (let round = 0; round < 2; round++) {
      for (const { publicKey, signature } of signed) {
        assert(provider.verify("ecdsa_sha384", publicKey, message, signature));
        assert(!provider.verify("ecdsa_sha256", publicKey, message, signature));
      }
    }
  },
);

testWith(withLibrary, "what is forgotten without being destroyed is released", async () => {
  // Contexts of libcrypto are about 1 KiB each.
  const program = `${IMPORT}
    const provider = systemProvider("openssl");
    const key = new Uint8Array(16);
    async function forget(count) {
      for (let i = 0; i < count; i++) provider.aead("aes-128-gcm", key);
      gc();
      await new Promise((resolve) => setTimeout(resolve));
      return Deno.memoryUsage().rss;
    }
    const before = await forget(30_000);
    let after = 0;
    for (let i = 0; i < 4; i++) after = await forget(30_000);
    console.log(after < before + 20 * 2 ** 20 ? "flat" : [before, after].join());`;
  const flag = `--allow-ffi=${OPENSSL_LIBRARY_PATHS.join(",")}`;
  assertMatch(await printed(program, flag, "--v8-flags=--expose-gc"), /^flat\n$/);
});
