import { assert, assertEquals } from "@std/assert";
import { lastingBytes, shortBytes, shortCopy } from "../../src/base/short_bytes.ts";

Deno.test("short byte strings are zeros of the length asked for, and none lies over another", () => {
  const all = Array.from(
    { length: 500 },
    (_, at) => (at % 3 === 0 ? lastingBytes : shortBytes)(at % 258),
  );
  all.forEach((bytes, at) => {
    assertEquals(bytes, new Uint8Array(at % 258));
    bytes.fill(at);
  });
  all.forEach((bytes, at) => assertEquals(bytes, new Uint8Array(at % 258).fill(at)));
});

Deno.test("many short byte strings share memory, a long one does not", () => {
  const buffers = new Set(Array.from({ length: 100 }, () => shortBytes(32).buffer));
  assert(buffers.size < 10);
  assertEquals(shortBytes(10_000).buffer.byteLength, 10_000);
});

Deno.test("what stays shares no memory with what does not", () => {
  const passing = new Set(Array.from({ length: 300 }, () => shortBytes(32).buffer));
  const lasting = new Set(Array.from({ length: 300 }, () => lastingBytes(32).buffer));
  assert(passing.isDisjointFrom(lasting));
});

Deno.test("a copy is one of its own", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  const copy = shortCopy(bytes);
  bytes.fill(0);
  assertEquals(copy, Uint8Array.of(1, 2, 3));
});
