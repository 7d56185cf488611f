// `query` as a process: its formats, parameters, credentials, exit codes and one-line errors.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { fileExists } from "../../src/server/certificate_files.ts";
import { LiveServer, liveTest } from "../harness/live_server.ts";
import { type CommandOptions, type CommandResult, runTask } from "../harness/server_process.ts";

type Ask = (args: readonly string[], options?: CommandOptions) => Promise<CommandResult>;

/** A table with every type of value, and text that formats have to quote. */
const VALUES =
  "select 1 as n, -0.5 as \"real\", 'a \"quoted\", text' as t, null as z, x'00ff' as b, " +
  "9007199254740993 as large";

const PARTS: Record<string, (ask: Ask, server: LiveServer) => Promise<void>> = {
  async "a table is the default format"(ask) {
    const { code, stdout, stderr } = await ask([VALUES]);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(
      stdout,
      [
        "n | real | t                | z    | b       | large",
        "--+------+------------------+------+---------+-----------------",
        "1 | -0.5 | a \"quoted\", text | NULL | x'00ff' | 9007199254740993",
        "(1 row)\n",
      ].join("\n"),
    );
  },

  async "json is one object a row, with integers exact"(ask) {
    const { code, stdout } = await ask([VALUES, "--format", "json"]);
    assertEquals(code, 0);
    const expected =
      '{"n":1,"real":-0.5,"t":"a \\"quoted\\", text","z":null,"b":"AP8=","large":9007199254740993}\n';
    assertEquals(stdout, expected);
  },

  async "csv is RFC 4180, with a header"(ask) {
    const { code, stdout } = await ask([VALUES, "--format", "csv"]);
    assertEquals(code, 0);
    const expected =
      'n,real,t,z,b,large\r\n1,-0.5,"a ""quoted"", text",,x\'00ff\',9007199254740993\r\n';
    assertEquals(stdout, expected);
  },

  async "parameters have the type that they look like, by position and by name"(ask) {
    const values = [
      "7",
      "-7",
      "1.5",
      "true",
      "null",
      "text",
      "'7'",
      "x'c3bf'",
      "",
      "9223372036854775807",
    ];
    const types = values.map((_, i) => `typeof(?${i + 1})`).join(" || ' ' || ");
    const flags = values.flatMap((value) => ["--param", value]);
    const typed = await ask([`select ${types} as types`, "--format", "json", ...flags]);
    assertEquals(
      typed.stdout,
      '{"types":"integer integer real integer null text text blob text integer"}\n',
    );
    const named = await ask([
      "select :a as a, :b as b",
      "--format",
      "json",
      "--param",
      "a=1",
      "--param",
      "b=it's = text",
    ]);
    assertEquals(named.stdout, '{"a":1,"b":"it\'s = text"}\n');
  },

  async "a write says what it changed, on standard error"(ask) {
    const run = async (sql: string) => {
      const { code, stdout, stderr } = await ask([sql]);
      assertEquals([code, stdout], [0, ""]);
      return stderr;
    };
    assertEquals(await run("create table t (id integer primary key, v)"), "0 rows changed\n");
    assertEquals(await run("insert into t (v) values (1)"), "1 row changed\n");
    assertEquals(await run("update t set v = 2"), "1 row changed\n");
    const { stdout, stderr } = await ask([
      "insert into t (v) values (3), (4) returning id, v",
      "--format",
      "csv",
    ]);
    assertEquals([stdout, stderr], ["id,v\r\n2,3\r\n3,4\r\n", ""]);
    const empty = await ask(["select * from t where false"]);
    assertEquals(empty.stdout, "id | v\n---+--\n(0 rows)\n");
  },

  async "what a terminal would take for a command is shown as an escape"(ask) {
    const { stdout } = await ask(["select char(27) || '[2J' || char(10) as t"]);
    assertEquals(stdout, "t\n---------\n\\x1b[2J\\n\n(1 row)\n");
  },

  async "a large result is printed whole"(ask) {
    const sql =
      "with recursive c(x) as (select 1 union all select x + 1 from c where x < 30000) select x from c";
    const { code, stdout } = await ask([sql, "--format", "csv"]);
    assertEquals(code, 0);
    const lines = stdout.trimEnd().split("\r\n");
    assertEquals([lines.length, lines[0], lines.at(-1)], [30_001, "x", "30000"]);
  },

  async "bad usage is one line and exit code 2"(ask) {
    const wrong: readonly (readonly [string[], RegExp])[] = [
      [[], /^query: SQL is missing; --help says more\n$/],
      [["select 1", "select 2"], /^query: unexpected argument "select 2"/],
      [["select 1", "--nonsense"], /^query: unknown option --nonsense/],
      [["select 1", "--format", "xml"], /^query: --format is one of table, json, csv, not "xml"/],
      [["select 1", "--param"], /^query: --param needs a value/],
      [
        ["select 1", "--param", "a=1", "--param", "2"],
        /^query: --param 2 has no name, and others have/,
      ],
      [["select 1", "--timeout", "never"], /^query: --timeout is a time/],
      [["select 1", "--url", "http://127.0.0.1"], /^query: --url is sqp:\/\/host:port, not "http:/],
      [["select 1", "--cert", "x.pem"], /^query: --cert and --key belong together/],
    ];
    await Promise.all(wrong.map(async ([args, line]) => {
      const { code, stdout, stderr } = await runTask("query", args);
      assertEquals([code, stdout], [2, ""]);
      assertOneLine(stderr, line);
    }));
    const help = await ask(["--help"]);
    assertEquals([help.code, help.stderr], [0, ""]);
    assertMatch(help.stdout, /Usage: deno task query SQL \[options\]/);
  },

  async "what the server says against a statement is one line and exit code 1"(ask) {
    const wrong: readonly (readonly [string[], RegExp])[] = [
      [["select nought"], /^query: no such column: nought\n$/],
      [["select *\nfrom\nnowhere"], /^query: no such table: nowhere\n$/],
      [["select ?"], /^query: The statement has 1 parameters, 0 were given\.\n$/],
      [["select 1; select 2"], /^query: /],
      [[
        "with recursive c(i) as (select 1 union all select i + 1 from c) select count(*) from c",
        "--timeout",
        "3s",
      ], /^query: The deadline passed/],
    ];
    await Promise.all(wrong.map(async ([args, line]) => {
      const { code, stdout, stderr } = await ask(args);
      assertEquals([code, stdout], [1, ""]);
      assertOneLine(stderr, line);
    }));
  },

  async "files that are missing or wrong are named in one line, with exit code 1"(_, server) {
    const certs = `${server.folder}/certs`;
    const files = (
      ca: string,
      cert: string,
      key: string,
    ) => ["--ca", ca, "--cert", cert, "--key", key];
    const [ca, cert, key] = [`${certs}/ca.pem`, `${certs}/client.pem`, `${certs}/client.key`];
    const wrong: readonly (readonly [string[], RegExp])[] = [
      [files(`${certs}/no.pem`, cert, key), /^query: .*\/no\.pem: no such file or directory\n$/],
      [files(ca, `${certs}/no.pem`, key), /^query: .*\/no\.pem: no such file or directory\n$/],
      [files(certs, cert, key), /^query: .*\/certs: is a directory\n$/],
      [files(key, cert, key), /^query: ca: /],
      [files(ca, ca, key), /^query: The private key does not belong to the certificate\.\n$/],
      [files(ca, cert, ca), /^query: key: /],
    ];
    await Promise.all(wrong.map(async ([args, line]) => {
      const { code, stdout, stderr } = await runTask("query", [
        "select 1",
        "--url",
        server.url,
        ...args,
      ]);
      assertEquals([code, stdout], [1, ""]);
      assertOneLine(stderr, line);
    }));
  },

  async "a server that is not there, or not the one that is meant, is one line and exit code 1"(
    ask,
    server,
  ) {
    await using other = await LiveServer.start();
    const { url } = other;
    const stranger = await ask(["select 1", "--url", url]);
    assertEquals(stranger.code, 1);
    assertOneLine(stranger.stderr, /^query: /);
    await other.server.close();
    const absent = await ask(["select 1", "--url", url, "--timeout", "500ms"]);
    assertEquals(absent.code, 1);
    assertOneLine(absent.stderr, /^query: The server did not answer\.\n$/);
    const misnamed = await ask(["select 1", "--server-name", "db.example"]);
    assertEquals(misnamed.code, 1);
    assertOneLine(misnamed.stderr, /^query: .*db\.example/);
    assertEquals((await ask(["select 1", "--server-name", "localhost"])).code, 0);
    assert(await fileExists(`${server.folder}/certs/client.pem`));
  },

  async "--qlog DIR writes what happened to the packets, and says where it cannot"(ask, server) {
    const folder = `${server.folder}/logs`;
    assertEquals((await ask(["select 'a secret'", "--qlog", folder])).code, 0);
    const [file, ...others] = [...Deno.readDirSync(folder)];
    assertEquals(others, []);
    assertMatch(file!.name, /^sqp-client-.*\.qlog$/);
    const text = await Deno.readTextFile(`${folder}/${file!.name}`);
    const [head, ...events] = text.trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals(head.trace.vantage_point, { type: "client" });
    const sent = events.filter(({ name }) => name === "transport:packet_sent");
    const types = sent.flatMap(({ data }) => data.frames).map(({ frame_type }) => frame_type);
    for (const type of ["handshake_request", "query", "termination"]) assert(types.includes(type));
    assert(!text.includes("secret"));
    const refused = await ask(["select 1", "--qlog", `${folder}/${file!.name}`]);
    assertEquals(refused.code, 1);
    assertOneLine(refused.stderr, /^query: .*\.qlog: /);
  },
};

function assertOneLine(stderr: string, expected: RegExp): void {
  assertEquals(stderr.trim().split("\n").length, 1, stderr);
  assert(!/\s+at .*(file|ext):/.test(stderr), stderr);
  assertMatch(stderr, expected);
}

liveTest("query, as its task runs it", async (context) => {
  await using server = await LiveServer.start();
  const certs = `${server.folder}/certs`;
  const own = [
    "--ca",
    `${certs}/ca.pem`,
    "--cert",
    `${certs}/client.pem`,
    "--key",
    `${certs}/client.key`,
  ];
  const ask: Ask = (args, options) => {
    const url = args.includes("--url") ? [] : ["--url", server.url];
    return runTask("query", [...args, ...url, ...own], options);
  };
  for (const [name, part] of Object.entries(PARTS)) {
    await context.step(name, () => part(ask, server));
  }
});

liveTest("query presents a token, from its option or from standard input", async () => {
  await using server = await LiveServer.start({ policy: "any" });
  const certs = `${server.folder}/certs`;
  const issued = await runTask("token", ["issue", "--subject", "somebody", "--certs", certs]);
  assertEquals(issued.code, 0, issued.stderr);
  const token = issued.stdout.trim();
  const fixed = [
    "select 1 as one",
    "--url",
    server.url,
    "--ca",
    `${certs}/ca.pem`,
    "--format",
    "csv",
  ];
  const given = await runTask("query", [...fixed, "--token", token]);
  assertEquals([given.code, given.stdout, given.stderr], [0, "one\r\n1\r\n", ""]);
  const piped = await runTask("query", [...fixed, "--token", "-"], { stdin: `${token}\n` });
  assertEquals([piped.code, piped.stdout], [0, "one\r\n1\r\n"]);
  const wrong = await runTask("query", [...fixed, "--token", `${token.slice(0, -6)}AAAAAA`]);
  assertEquals(wrong.code, 1);
  assertOneLine(wrong.stderr, /^query: The token is refused: .*signature/);
  const broken = await runTask("query", [...fixed, "--token", "no token"]);
  assertEquals(broken.code, 1);
  assertOneLine(broken.stderr, /^query: The token is refused: /);
});
