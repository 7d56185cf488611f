// `serve` as a process: what it makes, what it prints, what it refuses, and how it ends.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect, SqpError } from "../../src/client/mod.ts";
import {
  isSuperuser,
  LIVE_PERMISSIONS,
  liveTest,
  TemporaryFolder,
  until,
} from "../harness/live_server.ts";
import { OPENSSL } from "../dtls/crypto/providers.ts";
import { UdpRelay } from "../harness/udp_relay.ts";
import { seeRecords } from "../harness/dtls_records.ts";
import { ContentType } from "../../src/dtls/code_points.ts";
import { testWith } from "../harness/permissions.ts";
import { processesWith, runTask, runTyped, ServerProcess } from "../harness/server_process.ts";

const LONG =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 5000000) SELECT max(i) FROM c";
const ENDLESS =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";

/** Options that keep a server inside a folder. */
function inside(folder: TemporaryFolder): string[] {
  return ["--certs", `${folder.path}/certs`, "--database", `${folder.path}/db.sqlite`];
}

function connectTo(server: ServerProcess, folder: TemporaryFolder, url = server.url) {
  const read = (name: string) => Deno.readTextFileSync(`${folder.path}/certs/${name}`);
  const options = { ca: read("ca.pem"), cert: read("client.pem"), key: read("client.key") };
  return connect(url, options);
}

/** One clear line, no stack trace. */
function assertOneLine(stderr: string, expected: RegExp): void {
  assertEquals(stderr.trim().split("\n").length, 1, stderr);
  assert(!/\s+at .*(file|ext):/.test(stderr), stderr);
  assertMatch(stderr, expected);
}

liveTest(
  "serve on an empty folder makes what it needs, and the command that it prints works as printed",
  async () => {
    await using folder = new TemporaryFolder();
    await using server = await ServerProcess.startTyped(inside(folder));
    for (const name of ["ca", "server", "client"]) {
      assertEquals(Deno.statSync(`${folder.path}/certs/${name}.key`).mode! & 0o777, 0o600);
      assertMatch(
        Deno.readTextFileSync(`${folder.path}/certs/${name}.pem`),
        /^-----BEGIN CERTIFICATE-----\n/,
      );
    }
    assertMatch(server.question, /^deno task query "select 'hello' as greeting" --url sqp:/);
    const { code, stdout } = await runTyped(server.question);
    assertEquals([code, stdout], [0, "greeting\n--------\nhello\n(1 row)\n"]);
    // The signal that a person or a service manager sends goes to `deno task`.
    server.signal("SIGTERM");
    assertEquals(await server.ended(), { success: true, code: 0, signal: null });
    assertMatch(server.stderr, /stopped\n$/);
  },
);

liveTest(
  "without options serve uses certs/ and data/ of its folder, and finds them again",
  async () => {
    await using folder = new TemporaryFolder();
    const read = (name: string) => Deno.readTextFileSync(`${folder.path}/${name}`);
    {
      await using server = await ServerProcess.start([], { cwd: folder.path });
      await using client = await connectTo(server, folder);
      await client.execute("create table kept as select 'kept' as v");
      assert(Deno.statSync(`${folder.path}/data/sqp.sqlite`).isFile);
    }
    const certificate = read("certs/server.pem");
    await using server = await ServerProcess.start([], { cwd: folder.path });
    assertEquals(read("certs/server.pem"), certificate);
    await using client = await connectTo(server, folder);
    assertEquals((await client.execute("select v from kept")).rows, [["kept"]]);
  },
);

liveTest("a server that accepts tokens alone prints a question with one", async () => {
  await using folder = new TemporaryFolder();
  await using server = await ServerProcess.start([...inside(folder), "--auth", "token"]);
  const [, issue] = / --token "\$\(deno task -q (token issue .*)\)"$/.exec(server.question)!;
  const { code, stdout } = await runTyped(`deno task -q ${issue}`);
  assertEquals(code, 0);
  const ca = Deno.readTextFileSync(`${folder.path}/certs/ca.pem`);
  await using client = await connect(server.url, { ca, token: stdout.trim() });
  assertEquals((await client.execute("select 1")).rows, [[1]]);
});

/** The providers that a server says it uses, each with what it is used for. */
function cryptography({ stderr }: ServerProcess): Map<string, string> {
  const lines = stderr.matchAll(/ cryptography provider=(\w+) for=(?:"([^"]*)"|(\w+))$/mg);
  return new Map([...lines].map(([, provider, quoted, word]) => [provider!, (quoted ?? word)!]));
}

liveTest("serve says where its cryptography comes from, and one option forces it", async () => {
  await using folder = new TemporaryFolder();
  {
    await using server = await ServerProcess.start([...inside(folder), "--crypto", "noble"]);
    assertEquals([...cryptography(server)], [["noble", "everything"]]);
    await using client = await connectTo(server, folder);
    assertEquals((await client.execute("select 1")).rows, [[1]]);
  }
  await using server = await ServerProcess.start(inside(folder));
  assertEquals([...cryptography(server).keys()].sort(), ["noble", "node"]);
  const { code, stderr } = await runTask("serve", [...inside(folder), "--crypto", "openssl"]);
  assertEquals(code, 1);
  assertOneLine(stderr, /^serve: the crypto provider openssl is not present/);
});

const withLibcrypto = { permissions: LIVE_PERMISSIONS, unless: () => OPENSSL === undefined };
testWith(withLibcrypto, "serve:fast uses libcrypto, and clients without it connect", async () => {
  await using folder = new TemporaryFolder();
  for (const args of [[], ["--crypto", "openssl"]]) {
    await using server = await ServerProcess.start([...inside(folder), ...args], {
      task: "serve:fast",
    });
    const uses = cryptography(server).get("openssl")!;
    assertMatch(uses, args.length > 0 ? /^everything$/ : /hmac, aes-128-gcm, .*secp256r1 sign/);
    await using client = await connectTo(server, folder);
    assertEquals((await client.execute("select 1")).rows, [[1]]);
  }
});

liveTest("serve explains bad usage in one line, with exit code 2", async () => {
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [["--nonsense"], /^serve: unknown option --nonsense; --help says more\n$/],
    [["operand"], /^serve: unexpected argument "operand"/],
    [["--listen", "nonsense:port"], /^serve: --listen is HOST:PORT, not "nonsense:port"/],
    [
      ["--crypto", "rot13"],
      /^serve: --crypto is one of fastest, node, noble, openssl, not "rot13"/,
    ],
    [["--auth", "password"], /^serve: --auth is one of certificate, token, any, not "password"/],
    [["--drain", "soon"], /^serve: --drain is a time such as/],
    [["--log"], /^serve: --log needs a value/],
  ];
  await Promise.all(wrong.map(async ([args, line]) => {
    const { code, stdout, stderr } = await runTask("serve", args);
    assertEquals([code, stdout], [2, ""]);
    assertOneLine(stderr, line);
  }));
});

liveTest("serve explains what it cannot do in one line, with exit code 1", async () => {
  await using folder = new TemporaryFolder();
  await using server = await ServerProcess.start(inside(folder));
  const { path } = folder;
  Deno.writeTextFileSync(`${path}/text`, "This is not a database. ".repeat(100));
  const made = `${path}/certs`;
  // Folders of certificates that cannot be used.
  const copy = (to: string, change: (to: string) => void) => {
    Deno.mkdirSync(to);
    for (const { name } of Deno.readDirSync(made)) {
      Deno.copyFileSync(`${made}/${name}`, `${to}/${name}`);
    }
    change(to);
  };
  copy(`${path}/mismatch`, (to) => Deno.copyFileSync(`${to}/client.key`, `${to}/server.key`));
  copy(`${path}/broken`, (to) => Deno.writeTextFileSync(`${to}/ca.pem`, "no PEM"));
  copy(`${path}/half`, (to) => Deno.removeSync(`${to}/server.key`));
  const certs = (
    name: string,
  ) => ["--certs", `${path}/${name}`, "--database", `${path}/other.sqlite`];
  const database = (name: string) => ["--certs", made, "--database", `${path}/${name}`];
  const address = server.url.slice("sqp://".length);
  const cases: readonly (readonly [string[], RegExp])[] = [
    [[...database("other.sqlite"), "--listen", address], /^serve: 127\.0\.0\.1:\d+ is in use\n$/],
    [[...database("other.sqlite"), "--listen", "nowhere.invalid:1"], /^serve: nowhere\.invalid:1 /],
    [database("text"), /^serve: .*\/text: file is not a database\n$/],
    [database("certs"), /^serve: .*\/certs /],
    [database("missing/db.sqlite"), /^serve: .*\/missing\/db\.sqlite /],
    [certs("mismatch"), /^serve: .*server\.key: the private key does not match/],
    [certs("broken"), /^serve: .*ca\.pem: /],
    [certs("half"), /^serve: .*server\.key: no such file/],
    [certs("text"), /^serve: .*\/text: /],
    [
      [...database("other.sqlite"), "--keylog", `${path}/missing/log`],
      /^serve: .*\/missing\/log: no such file/,
    ],
    [[...database("other.sqlite"), "--keylog", path], /^serve: .*: is a directory\n$/],
  ];
  await Promise.all(cases.map(async ([args, line]) => {
    const listen = args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
    const { code, stdout, stderr } = await runTask("serve", [...args, ...listen]);
    assertEquals([code, stdout], [1, ""], stderr);
    assertOneLine(stderr, line);
  }));
});

testWith(
  // To the superuser nothing is forbidden.
  { permissions: LIVE_PERMISSIONS, unless: isSuperuser },
  "serve explains folders and files that it may not use in one line, with exit code 1",
  async () => {
    await using folder = new TemporaryFolder();
    const { path } = folder;
    Deno.mkdirSync(`${path}/locked`, { mode: 0o500 });
    Deno.writeTextFileSync(`${path}/secret`, "x", { mode: 0o000 });
    const listen = ["--listen", "127.0.0.1:0"];
    const good = inside(folder);
    const cases: readonly string[][] = [
      ["--certs", `${path}/locked/certs`, "--database", `${path}/db.sqlite`],
      ["--certs", `${path}/certs`, "--database", `${path}/locked/db.sqlite`],
      ["--certs", `${path}/certs`, "--database", `${path}/secret`],
      [...good, "--keylog", `${path}/secret`],
    ];
    for (const args of cases) {
      const { code, stdout, stderr } = await runTask("serve", [...args, ...listen]);
      assertEquals([code, stdout], [1, ""], stderr);
      assertOneLine(stderr, /^serve: .*\/(locked|secret)/);
    }
  },
);

liveTest(
  "serve --log json writes lines of JSON, and no secret, query or value in them",
  async () => {
    await using folder = new TemporaryFolder();
    const server = await ServerProcess.start([...inside(folder), "--log", "json"]);
    {
      await using ended = server;
      await using client = await connectTo(ended, folder);
      await client.execute("select 'a very private value', ?", ["a private parameter"]);
    }
    const lines = server.stderr.trim().split("\n").map((line) => JSON.parse(line));
    for (const { time, level, message } of lines) {
      assertEquals(new Date(time).toISOString(), time);
      assert(["info", "warn", "error"].includes(level) && typeof message === "string");
    }
    const messages = lines.map(({ message }) => message);
    for (
      const message of [
        "made",
        "listening",
        "session opened",
        "session ended",
        "draining",
        "stopped",
      ]
    ) {
      assert(messages.includes(message), message);
    }
    assertEquals(
      lines.find(({ message }) => message === "session opened").principal,
      "cert:CN=client",
    );
    assert(!server.stderr.includes("private"));
  },
);

liveTest(
  "SIGTERM drains: what runs finishes, new requests are refused, clients are told, nothing stays behind",
  async () => {
    await using folder = new TemporaryFolder();
    await using server = await ServerProcess.start([...inside(folder), "--drain", "2m"]);
    const client = await connectTo(server, folder);
    await client.execute("create table t (v)");
    const database = `${folder.path}/db.sqlite`;
    const engines = await processesWith(database);
    assert(
      engines === undefined || engines.length >= 3,
      "the server and two engine processes at least",
    );
    // An engine process that reads lets other programs of the machine go first.
    const running = client.execute(LONG, [], { timeoutMs: 120_000 });
    // Behind the answer to this one, the other runs.
    await client.execute("insert into t values (1)");
    server.signal("SIGTERM");
    await until(
      "new requests are refused",
      () =>
        client.execute("select 1").then(() => false, (error) => {
          assertEquals((error as SqpError).codeName, "draining");
          return true;
        }),
    );
    assertEquals((await running).rows, [[5_000_000]]);
    assertEquals((await client.closed).codeName, "shutting_down");
    await client.close();
    assertEquals(await server.ended(), { success: true, code: 0, signal: null });
    assertEquals(await processesWith(database) ?? [], []);
    // The last one to close the database has put its log into it.
    assertEquals([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), [
      "certs",
      "db.sqlite",
    ]);
  },
);

liveTest("what does not finish in the time to drain fails with shutting_down", async () => {
  await using folder = new TemporaryFolder();
  await using server = await ServerProcess.start([...inside(folder), "--drain", "100ms"]);
  await using client = await connectTo(server, folder);
  const running = client.execute(ENDLESS);
  await client.execute("select 1");
  server.signal("SIGINT");
  const error = await assertRejects(() => running, SqpError);
  assertEquals(error.codeName, "shutting_down");
  assertEquals((await server.ended()).code, 0);
  assertEquals(await processesWith(`${folder.path}/db.sqlite`) ?? [], []);
});

liveTest(
  "with --keylog a warning is given, and the secrets in the file open what was captured",
  async () => {
    await using folder = new TemporaryFolder();
    const path = `${folder.path}/secrets.log`;
    await using server = await ServerProcess.start([...inside(folder), "--keylog", path]);
    assertMatch(server.stderr, /warn .*secrets of all sessions are written to a file/);
    await using relay = new UdpRelay(Number(server.url.split(":").at(-1)));
    {
      await using client = await connectTo(server, folder, relay.url);
      await client.execute("select 'a value that is read again'");
    }
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
    const keyLog = Deno.readTextFileSync(path).trim().split("\n");
    for (const line of keyLog) assertMatch(line, /^[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]{64,96}$/);
    const texts = relay.captured.flatMap(({ direction, bytes }) => {
      const from = direction === "to-server" ? "client" : "server";
      // The server's connection ID is in records to it; the client has none.
      const records = seeRecords(bytes, from, keyLog, { idBytes: from === "client" ? 8 : 0 });
      return records.filter(({ type }) => type === ContentType.APPLICATION_DATA)
        .map(({ content }) => `${from} ${new TextDecoder().decode(content)}`);
    });
    for (const from of ["client", "server"]) {
      const found = texts.filter((text) =>
        text.startsWith(from) && text.includes("a value that is read again")
      );
      assert(found.length > 0, `what the ${from} said`);
    }
  },
);
