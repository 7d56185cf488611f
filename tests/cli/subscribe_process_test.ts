// `subscribe` as a process: its lines, its cursor file, its exit codes.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { LiveServer, liveTest } from "../harness/live_server.ts";
import { runTask } from "../harness/server_process.ts";

liveTest(
  "subscribe prints a snapshot and transactions, and goes on from its cursor file",
  async () => {
    await using server = await LiveServer.start();
    await using client = await server.connect();
    const certs = `${server.folder}/certs`;
    const subscribe = (...args: string[]) =>
      runTask("subscribe", [
        ...["--url", server.url, "--ca", `${certs}/ca.pem`],
        ...["--cert", `${certs}/client.pem`, "--key", `${certs}/client.key`],
        ...args,
      ]);
    await client.execute("create table t (id integer primary key, owner text, b blob)");
    await client.execute("insert into t values (1, 'me', x'ff'), (2, 'you', null)");

    const file = `${server.folder}/cursor`;
    const first = subscribe(
      ...[
        "--table",
        "t",
        "--where",
        "t.owner=me",
        "--snapshot",
        "--cursor-file",
        file,
        "--count",
        "1",
      ],
    );
    // It is told of one of these, whichever comes after its registration.
    let isOver = false;
    first.then(() => isOver = true);
    for (let i = 10; !isOver; i++) {
      await client.execute("insert into t values (?, ?, null)", [i, i % 2 === 0 ? "me" : "you"]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { code, stdout, stderr } = await first;
    assertEquals([code, stderr], [0, ""]);
    const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
    const last = lines.at(-1);
    // A snapshot comes in as many parts as it takes.
    const kinds = lines.map(({ kind }) => kind);
    const parts = kinds.filter((kind) => kind === "snapshot");
    assert(parts.length > 0);
    assertEquals(kinds, [...parts, "snapshot-end", "transaction"]);
    assertEquals(lines[0].rows[0], { id: 1, owner: "me", b: "/w==" });
    const [{ table, before, after }] = last.changes;
    assertEquals([table, before, after.owner], ["t", null, "me"]);
    assertEquals(Deno.readTextFileSync(file), last.cursor);

    await client.execute("delete from t where id = 1");
    const second = await subscribe(
      ...["--table", "t", "--where", "t.id=1", "--cursor-file", file, "--count", "1"],
    );
    const [transaction] = second.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(transaction.changes, [
      { table: "t", before: { id: 1, owner: "me", b: "/w==" }, after: null },
    ]);

    await client.execute("alter table t add column c");
    const reset = await subscribe("--table", "t", "--cursor", transaction.cursor);
    assertEquals([reset.code, reset.stdout], [1, ""]);
    assertEquals(
      reset.stderr,
      "subscribe: schema_changed: The schema of the table t was changed.\n",
    );

    for (
      const [args, text] of [
        [[], /^subscribe: --table is missing/],
        [["--table", "t", "--cursor", "x", "--cursor-file", "y"], /exclude each other/],
        [["--table", "t", "--where", "t=1"], /--where is TABLE.COLUMN=VALUE/],
        [["--table", "t", "--where", "u.a=1"], /--where names u, --table does not/],
      ] as const
    ) {
      const wrong = await subscribe(...args);
      assertEquals(wrong.code, 2);
      assertMatch(wrong.stderr, text);
    }
  },
);
