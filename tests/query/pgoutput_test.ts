// The messages of PostgreSQL's logical replication, byte by byte as its manual has them, and what is made of a
// transaction that they tell.

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import {
  type DecodedTable,
  DecodedTransaction,
} from "../../src/query/postgres/decoded_transaction.ts";
import {
  type DecodedRelation,
  encodeStatusUpdate,
  lsnText,
  parseLsn,
  readReplicationMessage,
  type Tuple,
} from "../../src/query/postgres/pgoutput.ts";
import { formatRowText, parseRowText } from "../../src/query/postgres/row_text.ts";

const hex = (text: string) => Uint8Array.fromHex(text.replaceAll(/\s/g, ""));

/** The head of XLogData: its letter, start, end and clock. */
const DATA = `77 00000000019268b8 00000000019268b8 000304221ecac371`;

/** Messages, as a server sent them, and what they say. */
const MESSAGES: readonly (readonly [string, ReturnType<typeof readReplicationMessage>])[] = [
  [
    "6b 00000000019267b0 000304221ecac371 01",
    { kind: "keepalive", walEnd: 0x19267b0n, isReplyWanted: true },
  ],
  [
    `${DATA} 42 0000000001926890 000304221ecac371 000002d6`,
    {
      kind: "begin",
      finalLsn: 0x1926890n,
      committedAtMs: Date.UTC(2000, 0, 1) + Math.floor(0x304221ecac371 / 1_000),
      xid: 0x2d6,
    },
  ],
  [
    `${DATA} 43 00 0000000001926890 00000000019268c0 000304221ecac371`,
    { kind: "commit", endLsn: 0x19268c0n },
  ],
  [
    `${DATA} 52 00004002 7075626c696300 7400 66 0002 01 696400 00000017 ffffffff 01 c3a900 00000413 00000010`,
    {
      kind: "relation",
      relid: 0x4002,
      columns: [
        { name: "id", type: 23, modifier: -1 },
        { name: "é", type: 1043, modifier: 16 },
      ],
    },
  ],
  [
    `${DATA} 49 00004002 4e 0003 74 00000001 31 6e 74 00000000`,
    { kind: "insert", relid: 0x4002, after: ["1", null, ""] },
  ],
  [
    `${DATA} 55 00004002 4f 0002 74 00000001 31 74 00000001 78 4e 0002 74 00000001 31 75`,
    { kind: "update", relid: 0x4002, before: ["1", "x"], after: ["1", undefined] },
  ],
  [
    `${DATA} 55 00004002 4b 0002 74 00000001 31 6e 4e 0002 74 00000001 32 6e`,
    { kind: "update", relid: 0x4002, before: undefined, after: ["2", null] },
  ],
  [
    `${DATA} 55 00004002 4e 0001 74 00000001 32`,
    { kind: "update", relid: 0x4002, before: undefined, after: ["2"] },
  ],
  [`${DATA} 44 00004002 4f 0001 6e`, { kind: "delete", relid: 0x4002, before: [null] }],
  [`${DATA} 44 00004002 4b 0001 6e`, { kind: "delete", relid: 0x4002, before: undefined }],
  [`${DATA} 54 00000002 00 00004002 00000007`, { kind: "truncate", relids: [0x4002, 7] }],
  [
    `${DATA} 4d 01 0000000001926900 7371705f666565647300 00000001 78`,
    { kind: "message", isTransactional: true, prefix: "sqp_feeds" },
  ],
  [`${DATA} 4f 0000000001926900 6e00`, { kind: "other" }],
  [`${DATA} 59 00004002 7000 6d6f6f6400`, { kind: "other" }],
];

Deno.test("each message says what the manual's formats say", () => {
  for (const [bytes, message] of MESSAGES) {
    assertEquals(readReplicationMessage(hex(bytes)), message);
  }
});

Deno.test("no message is read that is cut short, is too long, or of an unknown kind", () => {
  for (const [bytes, { kind }] of MESSAGES) {
    const whole = hex(bytes);
    const longer = new Uint8Array([...whole, 0]);
    if (kind !== "other") assertThrows(() => readReplicationMessage(longer), DecodeError);
    // Of what says nothing only the kind is read.
    const lengthMin = kind === "other" ? 25 : whole.length - 1;
    for (let length = 0; length <= lengthMin; length++) {
      assertThrows(() => readReplicationMessage(whole.subarray(0, length)), DecodeError);
    }
  }
  for (const bytes of ["78", `${DATA} 53`, `${DATA} 49 00004002 4e 0001 62 00000001 31`]) {
    assertThrows(() => readReplicationMessage(hex(bytes)), DecodeError);
  }
});

Deno.test("a place in the server's log is written as PostgreSQL writes it", () => {
  assertEquals(lsnText(0x16_0000_abcdn), "16/ABCD");
  fc.assert(fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (lsn) => {
    assertEquals(parseLsn(lsnText(lsn)), lsn);
  }));
  for (const text of ["", "1", "1/", "1/2/3", "123456789/0", "g/0"]) {
    assertThrows(() => parseLsn(text), DecodeError);
  }
});

Deno.test("a status update names one place three times", () => {
  const bytes = encodeStatusUpdate(0x1_0000_0002n, Date.UTC(2000, 0, 1) + 3);
  const lsn = "00000001 00000002";
  assertEquals(bytes, hex(`72 ${lsn} ${lsn} ${lsn} 0000000000000bb8 00`));
});

Deno.test("the text of a row says which values it has", () => {
  const value = fc.oneof(
    fc.constant(null),
    fc.string({ unit: fc.constantFrom(...'(),"\\ \t\n\va😀') }),
  );
  fc.assert(fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (values) => {
    assertEquals(parseRowText(formatRowText(values)), values);
  }));
  assertEquals(
    formatRowText(["1", null, "", 'a "b" \\', "x,y", "é"]),
    '(1,,"","a ""b"" \\\\","x,y",é)',
  );
});

// Transactions

const relation = (relid: number, names = "id a"): DecodedRelation => ({
  kind: "relation",
  relid,
  columns: names.split(" ").map((name) => ({ name, type: 25, modifier: -1 })),
});
const T = relation(1);
const TABLE: DecodedTable = { sinceLsn: 100n, keys: [0], isChanged: false };

/** A change by its relation, and its rows before and after. */
type Change = readonly [DecodedRelation, Tuple | null | undefined, Tuple | null];

function transaction(
  changes: readonly Change[],
  { finalLsn = 100n, bytesMax = 10_000 } = {},
): DecodedTransaction {
  const begin = { kind: "begin" as const, finalLsn, committedAtMs: 0, xid: 7 };
  const made = new DecodedTransaction(begin, { bytesMax, changeBytesMax: 1_000 });
  for (const [of, before, after] of changes) made.add(of, { before, after }, 100);
  return made;
}

/** What the log is told, as `before > after` of a table or as a reason. */
function logged(
  made: DecodedTransaction,
  tables: readonly (readonly [number, DecodedTable])[] = [[1, TABLE]],
): string[] {
  return made.logged(new Map(tables)).map(({ relid, before, after, reason }) =>
    `${relid}: ${reason ?? `${before} > ${after}`}`
  );
}

Deno.test("of several changes to a row one is left, where the last one stood", () => {
  const changes: Change[] = [
    [T, null, ["1", "a"]],
    [T, null, ["2", "a"]],
    [T, ["3", "a"], ["3", "b"]],
    [T, ["1", "a"], ["1", "b"]],
    [T, ["3", "b"], ["3", "a"]],
    [T, ["4", "a"], null],
    [T, null, ["4", "b"]],
    [T, null, ["5", "a"]],
    [T, ["5", "a"], null],
  ];
  assertEquals(logged(transaction(changes)), [
    "1: null > (2,a)",
    "1: null > (1,b)",
    "1: (4,a) > (4,b)",
  ]);
});

Deno.test("a key that changes is a row that is gone and one that is new", () => {
  const moved: Change[] = [[T, ["1", "a"], ["2", "a"]], [T, ["2", "a"], ["2", "b"]]];
  assertEquals(logged(transaction(moved)), ["1: (1,a) > null", "1: null > (2,b)"]);
  const swapped: Change[] = [
    [T, ["1", "a"], ["3", "a"]],
    [T, ["2", "b"], ["1", "b"]],
    [T, ["3", "a"], ["2", "a"]],
  ];
  assertEquals(logged(transaction(swapped)), ["1: (1,a) > (1,b)", "1: (2,b) > (2,a)"]);
  // As a key is that is checked at the end.
  const atOnce: Change[] = [[T, ["1", "a"], ["2", "a"]], [T, ["2", "b"], ["1", "b"]]];
  assertEquals(logged(transaction(atOnce)), ["1: (2,b) > (2,a)", "1: (1,a) > (1,b)"]);
});

Deno.test("a value that is stored apart and was not changed is that of the old row", () => {
  assertEquals(logged(transaction([[T, ["1", "large"], ["2", undefined]]])), [
    "1: (1,large) > null",
    "1: null > (2,large)",
  ]);
});

Deno.test("what cannot be told ends the feeds of its table, once and instead of its rows", () => {
  const other = relation(2);
  const tables = [[1, TABLE], [2, TABLE]] as const;
  const row: Change = [T, null, ["1", "a"]];
  const noOldRow: Change = [other, undefined, ["1", "a"]];
  const told = ["2: schema_changed", "1: null > (1,a)"];
  assertEquals(logged(transaction([row, noOldRow, noOldRow]), tables), told);
  const otherColumns: Change = [relation(2, "id a b"), null, ["2", "a", "b"]];
  assertEquals(logged(transaction([row, [other, null, ["1", "a"]], otherColumns]), tables), told);
  const changed = [[1, TABLE], [2, { ...TABLE, isChanged: true }]] as const;
  assertEquals(logged(transaction([row, [other, null, ["1", "a"]]]), changed), told);
  const emptied = transaction([row, [other, null, ["1", "a"]]]);
  emptied.refuse(other, "truncated");
  assertEquals(logged(emptied, tables), ["2: truncated", "1: null > (1,a)"]);
});

Deno.test("a transaction or a change beyond its limit is not kept", () => {
  const many = Array.from({ length: 100 }, (_, i): Change => [T, null, [String(i), "a"]]);
  const made = transaction(many, { bytesMax: 5_000 });
  assertEquals(logged(made), ["1: transaction_too_large"]);
  assert(made.bytes <= 5_000);
  const large = transaction([]);
  large.add(T, { before: null, after: ["1", "a"] }, 1_001);
  assertEquals(logged(large), ["1: transaction_too_large"]);
});

Deno.test("what was committed before a table was watched is not of it, nor what no feed can tell", () => {
  const changes: Change[] = [[T, null, ["1", "a"]]];
  assertEquals(logged(transaction(changes, { finalLsn: 99n })), []);
  assertEquals(logged(transaction(changes), []), []);
  assertEquals(logged(transaction(changes), [[1, { ...TABLE, keys: undefined }]]), []);
});
