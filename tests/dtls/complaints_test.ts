// What users of DTLS stacks complain of, and the rules to hold: those that no other file shows.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ByteReader } from "../../src/base/byte_reader.ts";
import {
  AlertDescription,
  DTLS_LIMITS,
  DtlsAlertError,
  DtlsAssociation,
  DtlsFault,
} from "../../src/dtls/mod.ts";
import { readHandshakeFragment } from "../../src/dtls/handshake_fragment.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_DEFAULTS, closeAfterTest, DtlsPair, ServerCore } from "../harness/dtls_pair.ts";
import { handshakeMessage, plaintextRecord, seeRecords } from "../harness/dtls_records.ts";
import { delay, type LinkNode } from "../harness/link.ts";
import { Random } from "../harness/random.ts";

/** Nothing gets through. */
const SILENCE: LinkNode = () => [];

Deno.test("one slow handshake blocks accept: others complete while one never answers", () => {
  const slow = new DtlsPair();
  const { endpoint } = slow.server;
  // The first client falls silent with its second ClientHello; the endpoint's handshake with it is open.
  slow.simulation.advance(35);
  assertEquals([endpoint.halfOpenCount, slow.server.association?.state], [1, "handshaking"]);
  for (let i = 0; i < 20; i++) {
    const client = closeAfterTest(
      DtlsAssociation.client(
        { ...CLIENT_DEFAULTS, entropy: new Random(i + 9).entropy() },
        EPOCH_MS,
      ),
    );
    const server = new ServerCore(endpoint, `other ${i}`);
    closeAfterTest(server);
    for (let round = 0; round < 6; round++) {
      for (let bytes; (bytes = client.pollTransmit(EPOCH_MS)) !== undefined;) {
        server.handleDatagram(bytes, EPOCH_MS);
      }
      for (let bytes; (bytes = server.pollTransmit(EPOCH_MS)) !== undefined;) {
        client.handleDatagram(bytes, EPOCH_MS);
      }
    }
    assertEquals([client.state, server.association?.state], ["connected", "connected"]);
    while (server.pollEvent() !== undefined);
  }
  assertEquals([endpoint.halfOpenCount, endpoint.associationCount], [1, 21]);
});

Deno.test("a bad cookie ends in a fatal alert: in DTLS 1.2 it brings a new HelloVerifyRequest", () => {
  const v12 = { versions: ["1.2"] } as const;
  let isSpoilt = false;
  const spoilt: LinkNode = (passage) => {
    const { bytes } = passage;
    if (bytes[13] !== HandshakeType.CLIENT_HELLO || bytes[18] !== 1 || isSpoilt) return [passage];
    isSpoilt = true;
    const { body } = readHandshakeFragment(new ByteReader(bytes.subarray(13)));
    const damaged = body.slice();
    // The cookie's last byte: after version, random, an empty session ID and the cookie's length.
    damaged[35 + body[35]!]! ^= 1;
    const message = handshakeMessage(HandshakeType.CLIENT_HELLO, 1, damaged);
    return [{ ...passage, bytes: plaintextRecord(ContentType.HANDSHAKE, message, 1) }];
  };
  const pair = new DtlsPair({ client: v12, server: v12, toServer: [spoilt, delay(10)] })
    .handshake();
  assertEquals(isSpoilt, true);
  const alerts = pair.sentBy("server").filter((bytes) => bytes[0] === ContentType.ALERT);
  assertEquals(alerts, []);
  assertEquals([pair.client.state, pair.server.association?.state], ["connected", "connected"]);
});

Deno.test("errors that say nothing: each alert has its name in the text, and each fault its reason", () => {
  for (const [name, description] of Object.entries(AlertDescription)) {
    assertStringIncludes(new DtlsAlertError(description).message, name.toLowerCase());
  }
  const pair = new DtlsPair({ client: { verifyPeer: () => refuse() } }).handshake();
  const [own, peers] = [pair.clientEvents.at(-1)!, pair.serverEvents.at(-1)!];
  assert(own.kind === "failed" && own.error instanceof DtlsFault);
  assertEquals([own.error.reason, own.error.message], ["certificate-expired", "it ended in May"]);
  assert(peers.kind === "failed" && peers.error instanceof DtlsAlertError);
  assertEquals(peers.error.description, AlertDescription.CERTIFICATE_EXPIRED);
});

function refuse(): never {
  throw new DtlsFault("certificate-expired", "it ended in May");
}

Deno.test("dead sessions that stay: a handshake that nobody continues ends by itself, at either end", () => {
  let sentByClient = 0;
  const dying: LinkNode = (passage) => sentByClient++ < 2 ? [passage] : [];
  const pair = new DtlsPair({ toServer: [dying, delay(10)] }).settle();
  assertEquals([pair.client.state, pair.server.association?.state], ["closed", "closed"]);
  assertEquals(pair.server.endpoint.associationCount, 0);
  assert(pair.elapsedMs <= DTLS_LIMITS.handshakeMsMax + DTLS_LIMITS.closingMs + 1_000);
});

for (const version of ["1.3", "1.2"] as const) {
  Deno.test(`no key log: with the lines of either end every record of DTLS ${version} can be read`, () => {
    const versions = [version];
    const pair = new DtlsPair({ client: { versions }, server: { versions } }).handshake();
    pair.simulation.advance(100);
    assertEquals(pair.clientKeyLog, pair.serverKeyLog);
    const labels = pair.clientKeyLog.map((line) => line.split(" ")[0]);
    if (version === "1.2") return assertEquals(labels, ["CLIENT_RANDOM"]);
    assertEquals(new Set(labels).size, 5);
    for (const { from, bytes } of pair.sent) {
      const idBytes = from === "client" ? 8 : 0;
      assert(seeRecords(bytes, from, pair.serverKeyLog, { idBytes }).length > 0);
    }
  });
}

Deno.test("a client accepts a cookie exchange in every handshake, whatever its first ClientHello was", () => {
  for (const versions of [["1.3"], ["1.2"], ["1.3", "1.2"]] as const) {
    const pair = new DtlsPair({ client: { versions } }).handshake();
    assertEquals(pair.client.state, "connected");
    const hellos = pair.sentBy("client").filter((bytes) =>
      bytes[0] === ContentType.HANDSHAKE && bytes[13] === HandshakeType.CLIENT_HELLO
    );
    assertEquals(hellos.length, 2);
  }
});

Deno.test("a fixed 1 s first timeout: another one may be chosen, and is doubled and capped alike", () => {
  const limits = { initialTimeoutMs: 40_000, handshakeMsMax: 300_000 };
  const pair = new DtlsPair({ client: { limits }, toServer: [SILENCE] });
  pair.simulation.advance(230_000);
  const times = pair.sent.map(({ at }) => at - EPOCH_MS);
  assertEquals(times, [0, 40_000, 100_000, 160_000, 220_000]);
});
