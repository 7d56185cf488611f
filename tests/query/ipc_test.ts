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
  readHandOff,
  readHead,
  readOpen,
  readPull,
} from "../../src/query/sqlite/ipc.ts";
import {
  batchBody,
  controlBody,
  ControlKind,
  executeBody,
  prepareBody,
  readBatch,
  readControl,
  readExecute,
  readPlace,
  readPrepare,
} from "../../src/query/sqlite/ipc_requests.ts";
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
  const keyed = { ...request, key: { principal: "ü", key: "k" } };
  for (const written of [request, keyed]) {
    const body = executeBody(written, 0xffff_fffe);
    const execute = only((out) => out.whole(MessageKind.EXECUTE, 0xffff_ffff, body));
    assertEquals([execute.kind, execute.id], [MessageKind.EXECUTE, 0xffff_ffff]);
    assertEquals(readPlace(execute.body), { permissions: 5, transaction: 0xffff_fffe });
    assertEquals(readExecute(execute.body), written);
  }
  const step = { sql: "x", params: new Uint8Array([0x90]), conditions: [], mayFail: true };
  const batch = { steps: [step], permissions: 5, key: keyed.key };
  assertEquals(readBatch(batchBody(batch, 7)), batch);
  const place = { permissions: 5, transaction: 7 };
  assertEquals(readPrepare(prepareBody(place, "\ufeffü")), "\ufeffü");
  const control = controlBody(place, ControlKind.RELEASE, 0xffff_ffff);
  assertEquals(readPlace(control), place);
  assertEquals(readControl(control), { kind: ControlKind.RELEASE, savepoint: 0xffff_ffff });
  assertEquals(readHandOff(only((out) => out.handOff(1, 3)).body), 3);
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
