// The scanner against SQLite itself.

import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { DatabaseSync } from "node:sqlite";
import { BindingPlan } from "../../src/query/sqlite/bindings.ts";
import { isBlank, scanParameters } from "../../src/query/sqlite/sql_scanner.ts";

const SEED = 20261;

/** Texts made of what the scanner must tell apart. */
const pieces = fc.array(
  fc.constantFrom(
    ..." |\t|\n|\f|\r|\v|\ufeff|-|--|/|*|/*|*/|/**/|;|'|\"|`|[|]|?|?3|:|:a|@b|$c|::|(|)|x|1|a$b|#|'it''s'|,|+|é|e\ufeff|-- ?\n|/* :z */"
      .split("|"),
  ),
  { maxLength: 12 },
);

Deno.test("what the scanner calls blank is what SQLite compiles to nothing", () => {
  const db = new DatabaseSync(":memory:");
  fc.assert(
    fc.property(pieces, (parts) => {
      const sql = parts.join("");
      let compiled: "nothing" | "something" | "error";
      try {
        const statement = db.prepare(sql);
        try {
          // SQLite has no text for a statement that is none.
          statement.expandedSQL;
          compiled = "something";
        } catch {
          compiled = "nothing";
        }
      } catch {
        compiled = "error";
      }
      assertEquals(compiled === "nothing", isBlank(sql), JSON.stringify(sql));
    }),
    { seed: SEED, numRuns: 3_000 },
  );
  db.close();
});

Deno.test("the scanner finds as many parameters as SQLite binds", () => {
  const db = new DatabaseSync(":memory:");
  const expression = fc.array(
    fc.constantFrom(
      "?",
      "?2",
      "?7",
      "'?'",
      "':a'",
      '"?"',
      "/* ? */ 1",
      "1 -- ?\n",
      "x'00'",
      "`?`",
      "[?]",
      "a$b",
      "é?",
      "json('{}')->'$.a'",
    ),
    { minLength: 1, maxLength: 8 },
  );
  fc.assert(
    fc.property(expression, (parts) => {
      const sql = `SELECT ${parts.join(", ")} FROM (SELECT 1 AS "?", 2 AS a$b)`;
      let statement;
      try {
        statement = db.prepare(sql);
      } catch {
        return;
      }
      let bound = 0;
      const fits = (count: number) => {
        try {
          statement.iterate(...Array(count).fill(null)).return?.();
          return true;
        } catch {
          return false;
        }
      };
      while (bound < 10 && fits(bound + 1)) bound++;
      const values = Array(bound).fill(null);
      assertEquals(new BindingPlan(sql).bind({ kind: "positional", values }).length, bound, sql);
    }),
    { seed: SEED, numRuns: 1_000 },
  );
  db.close();
});

Deno.test("names are found with their prefix, and where SQLite finds them", () => {
  const names = (sql: string) =>
    scanParameters(sql).map((token) => token.kind === "named" ? token.name : token.kind);
  assertEquals(names("SELECT :a,@b,$c,$d::e(f),:é, 'x' || :g"), [
    ":a",
    "@b",
    "$c",
    "$d::e(f)",
    ":é",
    ":g",
  ]);
  assertEquals(names("SELECT a$b, '':c, \":d\", [:e], `:f`, -- :g\n /* :h */ :i"), [":c", ":i"]);
  assertEquals(names("SELECT ?, ?12, ?1"), ["anonymous", "numbered", "numbered"]);
});
