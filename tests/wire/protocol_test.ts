// PROTOCOL.md is checked against the code: its examples in both directions, its tables row by row, its links.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { toHex } from "../../src/base/bytes.ts";
import { type ErrorEntry, LOCAL_ERRORS, WIRE_ERRORS } from "../../src/wire/error_codes.ts";
import {
  decodePacket,
  Flag,
  HEADER_BYTES,
  MessageType,
  PacketWriter,
} from "../../src/wire/frame.ts";
import { LIMITS } from "../../src/wire/limits.ts";
import { CODECS, readExamples, readProtocol, readTable } from "./protocol_examples.ts";

const READ_PERMISSION = {
  name: "read",
  path: new URL("../../src/wire/PROTOCOL.md", import.meta.url),
} as const;

/** A test that reads the document. */
function documentTest(name: string, run: (text: string) => void): void {
  const ignore = Deno.permissions.querySync(READ_PERMISSION).state !== "granted";
  Deno.test({ name: `PROTOCOL.md: ${name}`, ignore, fn: () => run(readProtocol()) });
}

documentTest("every example means what stands beside it, in both directions", (text) => {
  for (const { kind, name, codec, bytes, meaning } of readExamples(text)) {
    if (kind !== "example") continue;
    const json = JSON.parse(meaning);
    assertEquals(CODECS[codec]!.decode(bytes, json), json, name);
    assertEquals(toHex(CODECS[codec]!.encode(json)), toHex(bytes), name);
  }
});

documentTest("every refused example is refused with a typed error", (text) => {
  for (const { kind, name, codec, bytes } of readExamples(text)) {
    if (kind === "refused") {
      assertThrows(() => CODECS[codec]!.decode(bytes, null), DecodeError, undefined, name);
    }
  }
});

documentTest(
  "there is an example for each payload, a refusal for each that can be malformed, and no name twice",
  (text) => {
    const examples = readExamples(text);
    const codecsOf = (kind: string) =>
      new Set(examples.filter((example) => example.kind === kind).map(({ codec }) => codec));
    assertEquals([...codecsOf("example")].sort(), Object.keys(CODECS).sort());
    const total = [
      "packet-number",
      "fragments",
      "stream-data-fin",
      "handshake-response",
      "response-done",
    ];
    assertEquals([...codecsOf("refused"), ...total].sort(), Object.keys(CODECS).sort());
    assertEquals(new Set(examples.map(({ name }) => name)).size, examples.length);
    assertEquals(text.match(/^```(example|refused)/gm)?.length, examples.length);
  },
);

documentTest("the table of message types is the code's, flags included", (text) => {
  const rows = readTable(text, "## Packets and frames", 1);
  assertEquals(
    rows.map(([type, name]) => [name!.replace(/\B[A-Z]/g, "_$&").toUpperCase(), Number(type)]),
    Object.entries(MessageType),
  );
  for (const [type, , , flags] of rows) {
    for (const [name, flag] of Object.entries(Flag)) {
      const writer = new PacketWriter(0, 0n, HEADER_BYTES);
      writer.frame(Number(type) as MessageType, flag, 0, 0);
      const packet = writer.finish();
      if (flags!.includes(name)) decodePacket(packet);
      else assertThrows(() => decodePacket(packet), DecodeError, "flag");
    }
  }
});

documentTest("the tables of errors are the code's", (text) => {
  const rowsOf = (errors: Readonly<Record<string, ErrorEntry>>) =>
    Object.entries(errors).map(([name, entry]) => [`${entry.code}`, name, entry.retry, entry.text]);
  assertEquals(readTable(text, "## Error numbers", 0), rowsOf(WIRE_ERRORS));
  assertEquals(readTable(text, "## Error numbers", 1), rowsOf(LOCAL_ERRORS));
});

documentTest("the table of limits is the code's", (text) => {
  const rows = readTable(text, "## Limits");
  assertEquals(
    rows.map(([name, value]) => [name, Number(value!.replaceAll(",", ""))]),
    Object.entries(LIMITS),
  );
  assert(rows.every(([, , kind, what]) => /^(fixed|announced)$/.test(kind!) && what !== ""));
});

documentTest("every link leads to a heading", (text) => {
  const anchors = new Set(
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading!.toLowerCase().replace(/[^a-z0-9 _-]/g, "").replaceAll(" ", "-")
    ),
  );
  for (const [, anchor] of text.matchAll(/\]\(#([^)]*)\)/g)) assert(anchors.has(anchor!), anchor);
});
