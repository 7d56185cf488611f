// The runner of sqllogictest's scripts: what it reads, how it writes values, and that it sees what is wrong.

import { assertEquals, assertThrows } from "@std/assert";
import { LiveServer, liveTest } from "../harness/live_server.ts";
import { hashText, resultText } from "./result_text.ts";
import { runScript } from "./run_script.ts";
import { readScript, ScriptError } from "./script.ts";

const SCRIPT = `# a comment
hash-threshold 3

statement ok
create table t (i integer, r real, v text)

statement ok
insert into t values (1, 0.5, 'one'), (10, 2, ''), (9, null, 'tab
# a comment in the middle
\tü')

statement error
insert into nothing values (1)

query IRT rowsort one
select i, r,
v from t
----
9 values hashing to ${hashText(expectedRows()).split(" ").at(-1)}

query I valuesort
select i from t
----
1
10
9

skipif sqlite
query I nosort one
select no sqlite
----
1

onlyif postgresql
statement ok
select no sqlite

onlyif sqlite # with a remark
query I
select i from t where i > 100

halt

this is not read
`;

/** The rows of the first query, by hand. */
function expectedRows(): string[] {
  return ["1", "0.500", "one", "10", "2.000", "(empty)", "9", "NULL", "tab@@@@"];
}

Deno.test("a script is read as far as it is for the engine, until it halts", () => {
  const records = readScript(SCRIPT, "sqlite");
  assertEquals(records.map(({ kind, line }) => [kind, line]), [
    ["statement", 4],
    ["statement", 7],
    ["statement", 12],
    ["query", 15],
    ["query", 21],
    ["query", 29],
    ["query", 39],
  ]);
  assertEquals(records[3]!.sql, "select i, r,\nv from t");
  assertEquals(
    readScript(SCRIPT, "postgresql").map(({ kind, line }) => `${kind} ${line}`).slice(-2),
    [
      "query 29",
      "statement 35",
    ],
  );
});

Deno.test("what the format does not know is refused by its line", () => {
  for (
    const text of ["statement maybe\nx", "query X\nx", "query I somehow\nx", "\nskipif sqlite", "x"]
  ) {
    assertThrows(() => readScript(text, "sqlite"), ScriptError, "line ");
  }
});

Deno.test("values are written as the format says", () => {
  const written = (value: number | bigint | string | null | Uint8Array, type: string) =>
    resultText([[value]], type, "nosort")[0];
  const cases = [
    [null, "T", "NULL"],
    [7, "T", "7"],
    [0.1, "T", "0.1"],
    [1e300, "T", "1.0e+300"],
    [-1.5e-7, "T", "-1.5e-07"],
    [123456.789, "T", "123456.789"],
    [Infinity, "T", "Inf"],
    [2n ** 62n, "T", "4611686018427387904"],
    [new Uint8Array([65, 66]), "T", "AB"],
    ["", "T", "(empty)"],
    ["a\nü~", "T", "a@@@~"],
    [2.9, "I", "2"],
    [-0.5, "I", "0"],
    ["12abc", "I", "12"],
    ["abc", "I", "0"],
    [2n ** 62n, "I", "4611686018427387904"],
    [1, "R", "1.000"],
    ["1e2x", "R", "100.000"],
    [-(2n ** 64n), "R", "-18446744073709550000.000"],
  ] as const;
  for (const [value, type, expected] of cases) assertEquals(written(value, type), expected);
});

Deno.test("rows are sorted as text, row by row or value by value", () => {
  const rows = [[9, 1], [10, 2], [10, 1]];
  assertEquals(resultText(rows, "II", "nosort"), ["9", "1", "10", "2", "10", "1"]);
  assertEquals(resultText(rows, "II", "rowsort"), ["10", "1", "10", "2", "9", "1"]);
  assertEquals(resultText(rows, "II", "valuesort"), ["1", "1", "10", "10", "2", "9"]);
});

liveTest(
  "a script runs through a client, and each record that gives something else is told",
  async () => {
    await using server = await LiveServer.start({ database: ":memory:" });
    await using client = await server.connect();
    // The skipped query has the label of another result.
    const { passed, failures } = await runScript(client, readScript(SCRIPT, "sqlite"));
    assertEquals([passed, failures.map(({ line }) => line)], [6, [29]]);
    const wrong = `statement ok
select absent

statement error
select 1

query I
select 1 where 0
----
1

query II
select 1

query T nosort label
select 'a'
----
a

query T nosort label
select 'b'
----
b

query I
select absent

query I
select 1 union select 2
----
2 values hashing to 00000000000000000000000000000000
`;
    const outcome = await runScript(client, readScript(wrong, "sqlite"));
    assertEquals(outcome.passed, 1);
    assertEquals(outcome.failures.map(({ message }) => message.slice(0, 20)), [
      "failed: unknown_colu",
      "succeeded",
      "gave 0 lines [] inst",
      "has 1 columns instea",
      "gave another result ",
      "failed: unknown_colu",
      "gave 1 lines [2 valu",
    ]);
  },
);
