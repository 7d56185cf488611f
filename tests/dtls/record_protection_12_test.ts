// Records of DTLS 1.2 against node:crypto's own AEADs, with nonces and additional data written down byte by byte.

import { Buffer } from "node:buffer";
import { createCipheriv } from "node:crypto";
import { assertEquals, assertThrows } from "@std/assert";
import { concatBytes, EMPTY_BYTES, fromHex, toHex, utf8Bytes } from "../../src/base/bytes.ts";
import { suiteParameters } from "../../src/dtls/cipher_suites.ts";
import type { AeadName } from "../../src/dtls/crypto/provider.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { DtlsError, DtlsFault } from "../../src/dtls/errors.ts";
import { readRecord } from "../../src/dtls/record.ts";
import { RecordOpener12, RecordSealer12 } from "../../src/dtls/record_protection_12.ts";
import { FIXED_IV_BYTES_12 } from "../../src/dtls/key_schedule_12.ts";

const SUITES = [0xc02b, 0xc02c, 0xcca9];
const CONTENT = utf8Bytes("content");
const ID = fromHex("1d1d1d");

function keysOf(suite: number) {
  const { aead, keyBytes } = suiteParameters(suite)!;
  const key = new Uint8Array(keyBytes).map((_, i) => i);
  const iv = new Uint8Array(FIXED_IV_BYTES_12[aead]).map((_, i) => 0xa0 + i);
  return { aead, key, iv };
}

function sealer(suite: number, id = EMPTY_BYTES): RecordSealer12 {
  const { aead, key, iv } = keysOf(suite);
  const keys = { aead: nodeProvider.aead(aead, key), iv };
  return new RecordSealer12(1, suiteParameters(suite)!, keys, id);
}

function opener(suite: number, id = EMPTY_BYTES): RecordOpener12 {
  const { aead, key, iv } = keysOf(suite);
  return new RecordOpener12(1, { aead: nodeProvider.aead(aead, key), iv }, id, 64);
}

function seal(by: RecordSealer12, content = CONTENT, type = 23): Uint8Array {
  const datagram = new Uint8Array(by.overheadBytes + content.length);
  assertEquals(by.seal(datagram, 0, type, content), datagram.length);
  return datagram;
}

function read(datagram: Uint8Array, id = EMPTY_BYTES) {
  const record = readRecord(datagram, 0, id.length);
  if (record?.kind !== "plaintext") throw new Error("not a record of DTLS 1.2");
  return record;
}

/** The ciphertext and tag of node:crypto. */
function nodeSeal(
  name: AeadName,
  key: Uint8Array,
  nonce: string,
  additional: string,
  plaintext: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(name as "aes-128-gcm", key, fromHex(nonce), { authTagLength: 16 });
  cipher.setAAD(Buffer.from(fromHex(additional)), { plaintextLength: plaintext.length });
  return concatBytes(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

Deno.test("RFC 5288 section 3: the nonce of GCM is the salt and the number, which the record carries", () => {
  for (const suite of SUITES.slice(0, 2)) {
    const { aead, key } = keysOf(suite);
    const by = sealer(suite);
    seal(by);
    const record = seal(by);
    const sealed = nodeSeal(
      aead,
      key,
      "a0a1a2a3" + "0001000000000001",
      "0001000000000001" + "17" + "fefd" + "0007",
      CONTENT,
    );
    assertEquals(
      toHex(record),
      "17" + "fefd" + "0001" + "000000000001" + "001f" + "0001000000000001" + toHex(sealed),
    );
    by.destroy();
  }
});

Deno.test("RFC 7905 section 2: the nonce of ChaCha20-Poly1305 is the IV XORed with the number", () => {
  const { aead, key } = keysOf(0xcca9);
  const by = sealer(0xcca9);
  seal(by);
  const sealed = nodeSeal(
    aead,
    key,
    "a0a1a2a3" + "a4a4a6a7a8a9aaaa",
    "0001000000000001" + "17" + "fefd" + "0007",
    CONTENT,
  );
  assertEquals(toHex(seal(by)), "17fefd0001000000000001" + "0017" + toHex(sealed));
  by.destroy();
});

Deno.test("RFC 9146 section 5.3: with a connection ID the type is inside, and the ID is authenticated", () => {
  const { aead, key } = keysOf(0xc02b);
  const by = sealer(0xc02b, ID);
  const sealed = nodeSeal(
    aead,
    key,
    "a0a1a2a3" + "0001000000000000",
    "ffffffffffffffff" + "19" + "03" + "19" + "fefd" + "0001" + "000000000000" + "1d1d1d" + "0008",
    concatBytes(CONTENT, new Uint8Array([23])),
  );
  assertEquals(
    toHex(seal(by)),
    "19fefd0001000000000000" + "1d1d1d" + "0020" + "0001000000000000" + toHex(sealed),
  );
  by.destroy();
});

for (const suite of SUITES) {
  for (const id of [EMPTY_BYTES, ID]) {
    const name = `${suiteParameters(suite)!.aead}${id.length > 0 ? " with an ID" : ""}`;

    Deno.test(`${name}: what is sealed opens once, in any order`, () => {
      const by = sealer(suite, id);
      const to = opener(suite, id);
      const records = [seal(by), seal(by, EMPTY_BYTES, 22), seal(by, new Uint8Array(900), 21)];
      for (const at of [2, 0, 1]) {
        const result = to.open(read(records[at]!, id));
        if (result.kind !== "opened") throw new Error(result.kind);
        assertEquals([result.recordNumber, result.type], [at, [23, 22, 21][at]!]);
        assertEquals(result.content.length, [7, 0, 900][at]);
        assertEquals(to.open(read(records[at]!, id)).kind, "replay");
      }
      assertEquals(to.nextRecordNumber, 3);
      by.destroy();
      to.destroy();
    });

    Deno.test(`${name}: a record with any bit changed does not open, and moves nothing`, () => {
      const by = sealer(suite, id);
      const to = opener(suite, id);
      const record = seal(by);
      // The epoch, the ID and the length decide which key and which bytes; the version is read before.
      const fixed = new Set([1, 2, 3, 4]);
      for (let at = 11; at < 13 + id.length; at++) fixed.add(at);
      for (let at = id.length > 0 ? 1 : 0; at < record.length; at++) {
        if (fixed.has(at)) continue;
        const damaged = record.slice();
        damaged[at]! ^= at === 0 ? 1 : 0x80;
        assertEquals(to.open(read(damaged, id)).kind, "bad-tag", `byte ${at}`);
      }
      assertEquals(to.nextRecordNumber, 0);
      assertEquals(to.open(read(record, id)).kind, "opened");
      by.destroy();
      to.destroy();
    });

    Deno.test(`${name}: a record shorter than its tag is noise`, () => {
      const to = opener(suite, id);
      for (let bytes = 0; bytes < 24; bytes++) {
        const header = concatBytes(
          fromHex("17fefd0001000000000000"),
          id,
          new Uint8Array([0, bytes]),
        );
        if (id.length > 0) header[0] = 25;
        const record = concatBytes(header, new Uint8Array(bytes));
        assertEquals(to.open(read(record, id)).kind, "bad-tag");
      }
      to.destroy();
    });
  }
}

/** A record with an ID whose inner plaintext is given. */
function sealInner(inner: Uint8Array): Uint8Array {
  const { aead, key } = keysOf(0xc02b);
  const explicit = "00000000000000aa";
  const bytes = inner.length.toString(16).padStart(4, "0");
  const additional = "ffffffffffffffff" + "190319fefd0001000000000000" + toHex(ID) + bytes;
  const sealed = nodeSeal(aead, key, "a0a1a2a3" + explicit, additional, inner);
  const length = new Uint8Array([0, 8 + sealed.length]);
  return concatBytes(fromHex("19fefd0001000000000000"), ID, length, fromHex(explicit), sealed);
}

Deno.test("RFC 9146 section 4: padding is taken off, whatever the explicit nonce", () => {
  const to = opener(0xc02b, ID);
  const result = to.open(read(sealInner(fromHex("aabb" + "16" + "00000000")), ID));
  assertEquals(result, { kind: "opened", recordNumber: 0, type: 22, content: fromHex("aabb") });
  to.destroy();
});

Deno.test("RFC 9146 section 4: a record of zeros alone is unexpected", () => {
  const to = opener(0xc02b, ID);
  const fault = assertThrows(() => to.open(read(sealInner(new Uint8Array(9)), ID)), DtlsFault);
  assertEquals(fault.reason, "unexpected-message");
  to.destroy();
});

Deno.test("a key seals no more records than it may", () => {
  const suite = { ...suiteParameters(0xc02b)!, sealedRecordsMax: 2 };
  const { aead, key, iv } = keysOf(0xc02b);
  const by = new RecordSealer12(1, suite, { aead: nodeProvider.aead(aead, key), iv }, EMPTY_BYTES);
  seal(by);
  seal(by);
  assertEquals(assertThrows(() => seal(by), DtlsError).reason, "key-exhausted");
  by.destroy();
});
