// The messages between the server and its engine processes.

import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  type Message,
  MessageKind,
  MessageSplitter,
  MessageWriter,
  readEnd,
  readError,
  readExecute,
  readHead,
  readOpen,
  readPull,
} from "../../src/query/sqlite/ipc.ts";
import { sqliteSettings } from "../../src/query/sqlite/settings.ts";
import { SqpError } from "../../src/wire/errors.ts";

function only(write: (out: MessageWriter) => void): Message {
  const out = new MessageWriter();
  write(out);
  const messages = new MessageSplitter().push(out.take());
  assertEquals(messages.length, 1);
  return messages[0]!;
}

Deno.test("every message is read as it was written", () => {
  const open = { role: "reader", settings: sqliteSettings("/a/ü.db"), removeAtExit: "/a" } as const;
  assertEquals(readOpen(only((out) => out.open(open)).body), open);
  const request = { sql: "\ufeffSELECT 'ü', ?", params: new Uint8Array([0x91, 1]), permissions: 5 };
  const execute = only((out) => out.execute(0xffff_ffff, request));
  assertEquals([execute.kind, execute.id], [MessageKind.EXECUTE, 0xffff_ffff]);
  assertEquals(readExecute(execute.body), request);
  assertEquals(readPull(only((out) => out.pull(1, 70_000)).body), 70_000);
  const columns = [{ name: 'a"', declaredType: null }, {
    name: "",
    declaredType: "TEXT",
    origin: { schema: "main", table: "t", column: "c" },
  }];
  assertEquals(readHead(only((out) => out.head(1, columns)).body), columns);
  for (const lastInsertRowid of [null, 0n, -1n, -(2n ** 63n), 2n ** 63n - 1n]) {
    const end = { changes: 2 ** 53 - 1, rowCount: 7, lastInsertRowid };
    assertEquals(readEnd(only((out) => out.end(1, end)).body), end);
  }
  const error = new SqpError("constraint_unique", {
    message: "m",
    engine: { code: 2067, name: "X" },
  });
  const read = readError(only((out) => out.error(MessageKind.ERROR, 1, error)).body);
  assertEquals(read.toPayload(), error.toPayload());
  const page = only((out) => out.page(3, new Uint8Array([1, 2]), true));
  assertEquals([page.kind, ...page.body], [MessageKind.PAGE, 1, 1, 2]);
});

Deno.test("messages survive any cutting of their bytes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 10 }),
      fc.array(fc.nat(30), { maxLength: 40 }),
      (pages, cuts) => {
        const out = new MessageWriter();
        for (const [id, page] of pages.entries()) out.page(id, page, id % 2 === 0);
        const bytes = out.take();
        const splitter = new MessageSplitter();
        const messages: Message[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          messages.push(...splitter.push(bytes.subarray(at, at + cut)));
          at += cut;
        }
        assertEquals(
          messages.map(({ id, body }) => [id, ...body]),
          pages.map((page, id) => [id, id % 2 === 0 ? 1 : 0, ...page]),
        );
      },
    ),
    { seed: 77, numRuns: 300 },
  );
});

Deno.test("a length that no message has is not believed", () => {
  for (const length of [0, 4, 0x7fff_ffff, 0xffff_ffff]) {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setUint32(0, length);
    assertThrows(() => new MessageSplitter().push(bytes), RangeError);
  }
});
