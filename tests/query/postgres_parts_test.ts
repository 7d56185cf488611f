// Parts of the PostgreSQL engine that need no server.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BackendWatch } from "../../src/query/postgres/backend_watch.ts";
import { Habits } from "../../src/query/postgres/habits.ts";
import { parseLogin, roleName, withoutPassword } from "../../src/query/postgres/login.ts";
import { postgresParameters } from "../../src/query/postgres/parameters.ts";
import { findPassword } from "../../src/query/postgres/password_file.ts";
import { valueFormat } from "../../src/query/postgres/values.ts";
import type { Permission } from "../../src/query/engine.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { type SqlValue, Timestamp } from "../../src/wire/value.ts";
import { errorOf } from "./query_harness.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a URL says where the database is; without sslmode only this machine goes unverified", () => {
  assertEquals(parseLogin("postgres://a%40b:p%3Aw@db.example/n%20m"), {
    ...{ host: "db.example", port: 5432, database: "n m", user: "a@b", password: "p:w" },
    ...{ tls: "verify-full", tlsFiles: {} },
  });
  assertEquals(parseLogin("postgresql://u@[::1]:80").tls, "disable");
  assertEquals(parseLogin("postgresql://u@[::1]:80").port, 80);
  assertEquals(parseLogin("postgres://u@127.0.0.1").database, "u");
  assertEquals(parseLogin("postgres://u@127.0.0.1.example").tls, "verify-full");
  for (const url of ["postgres://", "postgres:///x", "postgres://host/x", "postgres://u@h/x?a=1"]) {
    assertEquals(errorOf(() => parseLogin(url)).codeName, "bad_configuration", url);
  }
});

Deno.test("a password appears in no name of a database", () => {
  for (const password of ["secret", "sec@ret", "sec/ret", "sec%40ret", ":secret:"]) {
    const url = `postgres://u:${password}@host/x?passfile=y`;
    assert(!/sec|ret/.test(withoutPassword(url)), withoutPassword(url));
  }
  assertEquals(withoutPassword("data/x.sqlite"), "data/x.sqlite");
});

Deno.test("each set of permissions has a role of its own, and none has none", () => {
  const role = (...permissions: Permission[]) => roleName("app", new Set(permissions));
  assertEquals(role("read", "write", "schema"), "app");
  assertEquals(role("write", "read", "subscribe"), "app_read_write");
  assertEquals(role("read"), "app_read");
  assertEquals(role("subscribe", "admin"), undefined);
  const sets = [[], ["read"], ["write"], ["read", "write"], ["schema"], [
    "read",
    "schema",
  ]] as const;
  const names = sets.map((set) => role(...set));
  assertEquals(new Set(names).size, names.length);
});

Deno.test("the first line of a password file that matches counts", () => {
  const file =
    "# c\nh:1:d:u:one\nh\\:\\\\:*:*:u:two:with\\:colons\n*:*:*:u:three\nbroken\n*:*:*:*:\n";
  const find = (host: string, port: number, user = "u") =>
    findPassword(file, { host, port, database: "d", user });
  assertEquals(find("h", 1), "one");
  assertEquals(find("h:\\", 7), "two:with:colons");
  assertEquals(find("h", 2), "three");
  assertEquals(find("h", 2, "v"), "");
  assertEquals(findPassword("", { host: "h", port: 1, database: "d", user: "u" }), undefined);
});

/** A message of the server's. */
function message(type: string, body: Uint8Array): Uint8Array {
  const all = new Uint8Array(5 + body.length);
  all[0] = type.charCodeAt(0);
  new DataView(all.buffer).setUint32(1, 4 + body.length);
  all.set(body, 5);
  return all;
}

Deno.test("messages are seen however their bytes are cut", () => {
  const parts = [
    message("K", new Uint8Array([0, 0, 1, 0, 0xff, 0, 0, 1])),
    message("Z", bytes("I")),
    message("D", new Uint8Array(1_000)),
    message("I", new Uint8Array(0)),
    message("E", bytes("SFEHLER\0VERROR\0C42601\0Mx\0\0")),
    message("E", bytes(`SFATAL\0VFATAL\0C57P01\0M${"x".repeat(500)}\0\0`)),
    message("D", new Uint8Array(5_000)),
    message("Z", bytes("T")),
  ];
  const all = new Uint8Array(parts.flatMap((part) => [...part]));
  const wanted = ["key 256 4278190081", "ready I", "empty", "fatal 57P01", "large 5004", "ready T"];
  fc.assert(fc.property(fc.array(fc.nat(700), { minLength: 1 }), (cuts) => {
    const seen: string[] = [];
    const watch = new BackendWatch(4_000, {
      onKey: (processId, secret) => seen.push(`key ${processId} ${secret}`),
      onReady: (status) => seen.push(`ready ${status}`),
      onFatal: (code) => seen.push(`fatal ${code}`),
      onEmptyQuery: () => seen.push("empty"),
      onNotification: () => seen.push("notification"),
      onTooLarge: (lengthBytes) => seen.push(`large ${lengthBytes}`),
    });
    for (let at = 0, n = 0; at < all.length; n++) {
      const length = cuts[n % cuts.length]! + 1;
      watch.push(all.subarray(at, at + length));
      at += length;
    }
    assertEquals(seen, wanted);
  }));
});

Deno.test("texts of values are read exactly", () => {
  const read = (oid: number, text: string) => valueFormat(oid).parse(bytes(text));
  for (
    const text of ["0", "-1", "999999999999999", "-9223372036854775808", "9223372036854775807"]
  ) {
    assertEquals(BigInt(read(20, text) as number), BigInt(text));
  }
  for (const value of [0, -0, 0.1, 5e-324, 1.7976931348623157e308, NaN, Infinity, -Infinity]) {
    const text = Object.is(value, -0) ? "-0" : String(value);
    assertEquals(read(701, text), value);
  }
  assertEquals([read(16, "t"), read(16, "f")], [true, false]);
  assertEquals(read(17, "\\x00ff"), new Uint8Array([0, 255]));
  assertEquals(read(17, "a\\\\\\000\\377"), new Uint8Array([0x61, 0x5c, 0, 255]));
  assertEquals(read(25, "\ufeffä😀"), "\ufeffä😀");
  const moment = read(1184, "2026-01-31 10:05:00.000251+01") as Timestamp;
  assertEquals(moment.getTime(), Date.UTC(2026, 0, 31, 9, 5));
  assertEquals(moment.nanosecondsInMillisecond, 251_000);
  assertEquals(read(1184, "0099-01-01 00:00:00-00:30:15"), new Date("0099-01-01T00:30:15Z"));
  for (const text of ["infinity", "0044-03-15 00:00:00+00 BC", "294276-12-31 23:59:59+00"]) {
    assertEquals(read(1184, text), text);
  }
});

Deno.test("a parameter is typed as a literal of its kind", () => {
  const typed = (value: SqlValue) => postgresParameters(encodeParams([value]))[0]!;
  assertEquals(typed(2 ** 31 - 1), { text: "2147483647", oid: 23 });
  assertEquals(typed(2 ** 31), { text: "2147483648", oid: 20 });
  assertEquals(typed(-0), { text: "-0", oid: 701 });
  assertEquals(typed(1.5), { text: "1.5", oid: 701 });
  assertEquals(typed(null), { text: null, oid: 0 });
  assertEquals(typed("x"), { text: "x", oid: 0 });
  assertEquals(typed(true), { text: "t", oid: 16 });
  assertEquals(typed(new Uint8Array([1, 255])), { text: "\\x01ff", oid: 17 });
  const at = new Timestamp(Date.UTC(2026, 0, 31), 1_000);
  assertEquals(typed(at), { text: "2026-01-31T00:00:00.000001Z", oid: 1184 });
  assertEquals(typed(new Date(Date.UTC(0, 0, 1) - 1e14)).text!.endsWith("Z BC"), true);
  assertEquals(errorOf(() => typed("a\0b")).codeName, "parameter_range");
  assertEquals(
    errorOf(() => postgresParameters(encodeParams({ a: 1 }))).codeName,
    "parameter_name",
  );
});

const HABIT_LIMITS = { habitsMax: 2, shortMsMax: 20, togetherMsMax: 4, apartRuns: 2 };
const QUICK = { tookMs: 1, isSmall: true, isQuery: true };

/** How many slow runs of the text `a` it takes. */
function runsUntil(isSo: () => boolean, habits: Habits, tookMs: number): number {
  let runs = 0;
  for (; runs < 100 && !isSo(); runs++) habits.noteRun("a", { ...QUICK, tookMs });
  return runs;
}

Deno.test("a text is kept prepared from its second run, and asked for at once after a short one", () => {
  const habits = new Habits(HABIT_LIMITS);
  assertEquals(habits.of("a", false), { prepare: false, byCursor: true });
  assertEquals(habits.of("a", true), { prepare: true, byCursor: true });
  habits.noteParameters("a", 1);
  assertEquals(habits.of("a", false), { prepare: false, byCursor: true });
  habits.noteRun("a", QUICK);
  assertEquals(habits.of("a", false), { prepare: true, byCursor: false });
  habits.noteRun("a", { ...QUICK, isSmall: false });
  assertEquals([habits.of("a", false).byCursor, habits.parameterCount("a")], [true, 1]);
  habits.noteRun("a", QUICK);
  assertEquals(runsUntil(() => habits.of("a", false).byCursor, habits, 21), 8);
  habits.noteRun("b", QUICK);
  habits.noteRun("c", QUICK);
  assertEquals(habits.of("a", false).prepare, false);
  habits.noteRun("x".repeat(20_000), QUICK);
  assertEquals(habits.of("x".repeat(20_000), true).prepare, false);
});

Deno.test("a query runs together with others while it is about as quick as the quickest", () => {
  const habits = new Habits(HABIT_LIMITS);
  assertEquals(habits.runsTogether("a", 0), false);
  habits.noteRun("a", QUICK);
  assertEquals([habits.runsTogether("a", 0), habits.runsTogether("a", 1)], [true, false]);
  habits.noteParameters("a", 1);
  assertEquals([habits.runsTogether("a", 1), habits.runsTogether("a", 2)], [true, false]);
  habits.noteApart("a");
  for (const expected of [false, true]) {
    habits.noteRun("a", QUICK);
    assertEquals(habits.runsTogether("a", 1), expected);
  }
  habits.noteRun("b", { ...QUICK, tookMs: 5.1 });
  assertEquals(habits.runsTogether("b", 0), false);
  habits.noteRun("b", { ...QUICK, isQuery: false });
  assertEquals(habits.runsTogether("b", 0), false);
  assertEquals(runsUntil(() => !habits.runsTogether("a", 1), habits, 21), 4);
});
