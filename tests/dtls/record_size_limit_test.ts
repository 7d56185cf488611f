// The record_size_limit extension (RFC 8449).

import { assertEquals, assertThrows } from "@std/assert";
import { ByteReader, DecodeError } from "../../src/base/byte_reader.ts";
import { DtlsError, DtlsFault } from "../../src/dtls/errors.ts";
import {
  encodeRecordSizeLimit,
  readRecordSizeLimit,
  RECORD_SIZE_LIMIT_MAX,
  recordContentBytesMax,
} from "../../src/dtls/record_size_limit.ts";

const read = (...bytes: number[]) => readRecordSizeLimit(new ByteReader(new Uint8Array(bytes)));

Deno.test("record_size_limit: two bytes, at least 64, as much as one likes", () => {
  assertEquals(encodeRecordSizeLimit(64), new Uint8Array([0, 64]));
  assertEquals(encodeRecordSizeLimit(RECORD_SIZE_LIMIT_MAX), new Uint8Array([0x40, 1]));
  assertEquals(read(0, 64), 64);
  assertEquals(read(0xff, 0xff), 65_535);
  assertThrows(() => read(0), DecodeError);
  const fault = assertThrows(() => read(0, 63), DtlsFault);
  assertEquals(fault.reason, "illegal-parameter");
});

Deno.test("record_size_limit: this side announces nothing that the standard does not allow", () => {
  for (const limit of [0, 63, RECORD_SIZE_LIMIT_MAX + 1, 64.5, NaN]) {
    assertThrows(() => encodeRecordSizeLimit(limit), DtlsError);
  }
});

Deno.test("record_size_limit: the content type counts where it is within, and the version's limit stays", () => {
  assertEquals(recordContentBytesMax(64, true), 63);
  assertEquals(recordContentBytesMax(64, false), 64);
  assertEquals(recordContentBytesMax(RECORD_SIZE_LIMIT_MAX, true), 16_384);
  assertEquals(recordContentBytesMax(65_535, true), 16_384);
  assertEquals(recordContentBytesMax(65_535, false), 16_384);
});
