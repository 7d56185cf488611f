// How large records are when both ends have said what they take (RFC 8449).

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AlertDescription, ContentType } from "../../src/dtls/code_points.ts";
import { DtlsError } from "../../src/dtls/mod.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";

function connected(options: PairOptions): DtlsPair {
  const pair = new DtlsPair(options).handshake();
  pair.simulation.advance(1_000);
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
  return pair;
}

Deno.test("each end keeps to the other's limit, with handshake messages too, the content type counted", () => {
  const pair = connected({
    client: { recordSizeLimit: 100 },
    server: { recordSizeLimit: 300, clientCertificate: "none" },
  });
  const server = pair.server.association!;
  for (const from of ["client", "server"] as const) {
    const limit = from === "server" ? 100 : 300;
    const sizes = pair.sentBy(from).flatMap((bytes) => pair.see(from, bytes))
      .filter(({ epoch }) => epoch > 0).map(({ content }) => content.length + 1);
    assert(Math.max(...sizes) <= limit, `${Math.max(...sizes)}`);
  }
  assertEquals([server.applicationBytesMax(), pair.client.applicationBytesMax()], [99, 299]);
  pair.send("server", new Uint8Array(99));
  pair.send("client", new Uint8Array(299));
  pair.simulation.advance(50);
  assertEquals([pair.received("client").length, pair.received("server").length], [1, 1]);
  const error = assertThrows(() => server.sealApplicationData(new Uint8Array(100)), DtlsError);
  assertEquals(error.reason, "record-too-large");
});

Deno.test("in DTLS 1.2 only records with a connection ID have a content type within", () => {
  const versions = ["1.2"] as const;
  const limits = { client: { recordSizeLimit: 100 }, server: { recordSizeLimit: 300 } };
  const pair = connected({
    client: { ...limits.client, versions },
    server: { ...limits.server, versions },
  });
  // The server has an ID in records to it, the client none.
  assertEquals(pair.server.association!.applicationBytesMax(), 100);
  assertEquals(pair.client.applicationBytesMax(), 299);
});

Deno.test("a record that is larger than was announced is a record_overflow", () => {
  const pair = connected({ server: { recordSizeLimit: 100 } });
  const server = pair.server.association!;
  const form = {
    epoch: 3,
    type: ContentType.APPLICATION_DATA,
    connectionId: server.receiveConnectionId,
  };
  const kit = pair.kit("client", 3);
  const fits = kit.seal({ ...form, number: 50, content: new Uint8Array(99) });
  const tooLarge = kit.seal({ ...form, number: 51, content: new Uint8Array(100) });
  server.handleDatagram(fits, pair.simulation.now);
  pair.simulation.settle();
  assertEquals(pair.received("server").length, 1);
  server.handleDatagram(tooLarge, pair.simulation.now);
  pair.simulation.settle();
  const alert = pair.see("server", pair.sentBy("server").at(-1)!)[0]!;
  assertEquals(alert.content[1], AlertDescription.RECORD_OVERFLOW);
});

Deno.test("without options both say what the version allows, and nothing is smaller for it", () => {
  const pair = connected({});
  assertEquals(pair.client.applicationBytesMax(100_000), 2 ** 14);
});
