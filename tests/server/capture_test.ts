// What a capture of the sockets shows: nothing of a query, a result, a token or a certificate.

import { assert, assertEquals } from "@std/assert";
import { type Client, connect } from "../../src/client/mod.ts";
import { certificatesFromPem, parsePem } from "../../src/dtls/x509/mod.ts";
import { readTokenSigningKey } from "../../src/server/token_files.ts";
import {
  DEFAULT_TOKEN_AUDIENCE,
  DEFAULT_TOKEN_ISSUER,
  issueToken,
} from "../../src/server/token_issuer.ts";
import { authorityOf, clientOptions } from "../harness/issued.ts";
import { LiveServer, liveTest } from "../harness/live_server.ts";
import { UdpRelay } from "../harness/udp_relay.ts";

/** The shortest piece of a secret that counts as found: by chance it is in one of 2^44 captures of 1 MiB. */
const PIECE_BYTES = 8;

const SQL = "select :marked || ' comes back as a result' as a_column_with_a_name, line from texts";
const PARAMETER = "a parameter that nobody may read";
const LINE = "a line of a large result, repeated until it needs a stream; ";

/** Names of the secrets of which a piece of 8 bytes or more stands in the capture. */
function leaks(
  capture: Uint8Array,
  secrets: Readonly<Record<string, Uint8Array | string>>,
): string[] {
  const owners = new Map<string, string>();
  for (const [name, secret] of Object.entries(secrets)) {
    const text = latin1(typeof secret === "string" ? new TextEncoder().encode(secret) : secret);
    for (let i = 0; i + PIECE_BYTES <= text.length; i++) {
      const piece = text.slice(i, i + PIECE_BYTES);
      // Zeros and a one, as in the address ::1, are in every header of a record too.
      if (new Set(piece).size > 2) owners.set(piece, name);
    }
  }
  const found = new Set<string>();
  const text = latin1(capture);
  for (let i = 0; i + PIECE_BYTES <= text.length; i++) {
    const owner = owners.get(text.slice(i, i + PIECE_BYTES));
    if (owner !== undefined) found.add(owner);
  }
  return [...found];
}

/** One character for each byte. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4_096) {
    text += String.fromCharCode(...bytes.subarray(i, i + 4_096));
  }
  return text;
}

/** Has a client ask, read a large result, and fail. */
async function talk(client: Client): Promise<void> {
  await client.execute("create table if not exists texts as select :line as line", { line: LINE });
  const { rows } = await client.execute(SQL, { marked: PARAMETER });
  assertEquals(rows[0], [`${PARAMETER} comes back as a result`, LINE]);
  const large = "with recursive c(i) as (select 1 union all select i + 1 from c limit 3000) " +
    "select i, line from c, texts";
  assertEquals((await Array.fromAsync(client.stream(large))).length, 3_000);
  await client.execute("select a_column_that_is_not_there").catch(() => {});
}

const SPOKEN = {
  "query": SQL,
  "parameter": PARAMETER,
  "result": `${PARAMETER} comes back as a result`,
  "column": "a_column_with_a_name",
  "large result": LINE,
  "error": "no such column: a_column_that_is_not_there",
} as const;

/** What certificates would show: their DER, in pieces too, and the names in them. */
function certificateSecrets(who: string, pem: string): Record<string, Uint8Array> {
  return Object.fromEntries(
    certificatesFromPem(pem).map((der, i) => [`certificate ${i} of the ${who}`, der]),
  );
}

liveTest(
  "a capture of a session by certificate holds no plaintext of query, result, name or certificate",
  async () => {
    await using server = await LiveServer.start();
    await using relay = new UdpRelay(server.port);
    const commonName = "device 4711 of a distinct customer";
    const altNames = ["device-4711.customer.example", "uri:urn:example:customer:4711"];
    const { cert, key } = await clientOptions(await authorityOf(server), { commonName, altNames });
    const ca = server.options.ca;
    {
      await using client = await connect(relay.url, { ca, cert, key });
      assertEquals(client.server.principal.includes("4711"), true);
      await talk(client);
    }
    const capture = relay.bytes();
    assert(capture.length > 150_000, `${capture.length} bytes`);
    // It is a capture of this session, and the search finds what is there: ClientHellos are not sealed.
    assertEquals(leaks(capture, { alpn: "\0\x06\x05sqp/1" }), ["alpn"]);
    const secrets = {
      ...SPOKEN,
      commonName,
      ...Object.fromEntries(altNames.map((name) => [name, name])),
      "key": parsePem(key, "PRIVATE KEY")[0]!.der,
      ...certificateSecrets("client", cert),
      ...certificateSecrets("server", Deno.readTextFileSync(`${server.folder}/certs/server.pem`)),
      ...certificateSecrets("authority", ca),
    };
    assertEquals(leaks(capture, secrets), []);
  },
);

liveTest(
  "a capture of a session by token holds no plaintext of token, query or result",
  async () => {
    await using server = await LiveServer.start({ policy: "token" });
    await using relay = new UdpRelay(server.port);
    const token = await issueToken({
      key: await readTokenSigningKey(`${server.folder}/certs/token.key`),
      issuer: DEFAULT_TOKEN_ISSUER,
      audience: DEFAULT_TOKEN_AUDIENCE,
      subject: "a subject that is nobody's business",
      permissions: ["read", "write", "schema"],
      lifetimeMs: 60_000,
      now: Date.now(),
    });
    {
      await using client = await connect(relay.url, { ca: server.options.ca, token });
      await talk(client);
    }
    const [header, claims, signature] = token.split(".") as [string, string, string];
    const decoded = (part: string) => Uint8Array.fromBase64(part, { alphabet: "base64url" });
    const capture = relay.bytes();
    assert(capture.length > 150_000, `${capture.length} bytes`);
    assertEquals(
      leaks(capture, {
        ...SPOKEN,
        token,
        "header": decoded(header),
        "claims": decoded(claims),
        "signature": decoded(signature),
        ...certificateSecrets("server", Deno.readTextFileSync(`${server.folder}/certs/server.pem`)),
      }),
      [],
    );
  },
);
