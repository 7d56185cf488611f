// What DTLS implementations got wrong, once the handshake is over: key updates, connection IDs and new addresses.

import { assert, assertEquals } from "@std/assert";
import { AlertDescription, ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { encodeKeyUpdate } from "../../src/dtls/key_update.ts";
import { DtlsAssociation, DtlsEndpoint, type EndpointAssociation } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import {
  CLIENT_DEFAULTS,
  closeAfterTest,
  DtlsPair,
  SERVER_DEFAULTS,
} from "../harness/dtls_pair.ts";
import { describeRecord, handshakeMessage } from "../harness/dtls_records.ts";
import { delay, duplicate, jitter, loss } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { forEachSeed } from "../harness/simulation.ts";

const { HANDSHAKE, APPLICATION_DATA } = ContentType;
const { KEY_UPDATE, NEW_CONNECTION_ID } = HandshakeType;
const UPDATE = handshakeMessage(KEY_UPDATE, 3, encodeKeyUpdate(false));

/** A server whose client is played by the test from the end of the handshake on. */
function connected() {
  const pair = new DtlsPair({ client: { connectionId: null } }).handshake();
  pair.simulation.advance(1_000);
  const server = pair.server.association!;
  const say = (type: number, content: Uint8Array, epoch: number, number: number) => {
    const record = pair.kit("client", epoch).seal({ epoch, number, type, content });
    server.handleDatagram(record, pair.simulation.now);
    pair.simulation.settle();
  };
  return { pair, server, say };
}

Deno.test("replay window moved by an early-epoch record: each epoch has its own, after key updates too", () => {
  const { pair, server, say } = connected();
  say(HANDSHAKE, UPDATE, 3, 10);
  say(APPLICATION_DATA, new Uint8Array([1]), 4, 0);
  say(APPLICATION_DATA, new Uint8Array([2]), 3, 30_000);
  say(APPLICATION_DATA, new Uint8Array([3]), 4, 1);
  assertEquals(pair.received("server").map(([byte]) => byte), [1, 2, 3]);
  assertEquals([server.drops.get("too-old"), server.drops.get("replay")], [0, 0]);
});

Deno.test("buffering of records of future epochs: none is kept for the keys of the next update", () => {
  const { pair, server, say } = connected();
  for (let number = 0; number < 500; number++) say(APPLICATION_DATA, new Uint8Array(9), 4, number);
  assertEquals(server.drops.get("unknown-epoch"), 500);
  say(HANDSHAKE, UPDATE, 3, 10);
  assertEquals(pair.received("server"), []);
  say(APPLICATION_DATA, new Uint8Array([1]), 4, 500);
  assertEquals(pair.received("server"), [new Uint8Array([1])]);
});

Deno.test("a message that spans a key change is no message, on whichever side of it its rest comes", () => {
  const body = new Uint8Array(40);
  const [head, tail] = [
    handshakeMessage(NEW_CONNECTION_ID, 4, body, 0, 20),
    handshakeMessage(NEW_CONNECTION_ID, 4, body, 20, 20),
  ];
  for (const isHeadFirst of [true, false]) {
    const { pair, say } = connected();
    if (isHeadFirst) say(HANDSHAKE, head, 3, 9);
    say(HANDSHAKE, UPDATE, 3, 10);
    if (!isHeadFirst) say(HANDSHAKE, tail, 4, 0);
    if (!isHeadFirst) say(HANDSHAKE, head, 3, 11);
    const alert = pair.transcript().at(-1)!.split("ALERT ")[1];
    assertEquals(alert, `${AlertDescription.UNEXPECTED_MESSAGE}`);
  }
});

Deno.test("AEAD nonce used twice: not by key updates that cross, are lost or come twice", () => {
  forEachSeed(10, (seed) => {
    const network = () => [loss(0.3), duplicate(0.2, 300), delay(10), jitter(30)];
    const pair = new DtlsPair({ seed, toServer: network(), toClient: network() }).handshake();
    for (let n = 0; n < 8; n++) {
      pair.client.updateKeys({ requestPeer: n % 2 === 0 });
      pair.server.association!.updateKeys();
      pair.send("client", new Uint8Array([n]));
      pair.send("server", new Uint8Array([n]));
      pair.simulation.advance(1_500);
    }
    pair.client.close(pair.simulation.now);
    pair.simulation.settle();
    const seen = new Set<string>();
    let newest = 0;
    for (const { from, bytes } of pair.sent) {
      for (const record of pair.see(from, bytes)) {
        if (record.epoch === 0) continue;
        const name = `${from} ${record.epoch} ${record.number}`;
        assert(!seen.has(name), `${name}: ${describeRecord(record)}`);
        seen.add(name);
        newest = Math.max(newest, record.epoch);
      }
    }
    assert(newest > 4, "keys were updated");
    pair.server.close(pair.simulation.now);
  });
});

Deno.test("CID negotiated but the peer still looked up by address: two clients that swap their addresses", () => {
  const entropy = new Random(3).entropy();
  const endpoint = new DtlsEndpoint({ ...SERVER_DEFAULTS, entropy }, EPOCH_MS);
  const peers = ["one", "two"].map((address, at) => {
    const options = { ...CLIENT_DEFAULTS, entropy: new Random(10 + at).entropy() };
    const client = closeAfterTest(DtlsAssociation.client(options, EPOCH_MS));
    let entry: EndpointAssociation | undefined;
    for (let turn = 0; turn < 10 && !client.isHandshakeConfirmed; turn++) {
      for (let bytes; (bytes = client.pollTransmit(EPOCH_MS)) !== undefined;) {
        entry = endpoint.handleDatagram(bytes, address, EPOCH_MS) ?? entry;
      }
      for (let answer; (answer = endpoint.pollTransmit()) !== undefined;) {
        client.handleDatagram(answer.bytes, EPOCH_MS);
      }
      for (let bytes; (bytes = entry?.association.pollTransmit(EPOCH_MS)) !== undefined;) {
        client.handleDatagram(bytes, EPOCH_MS);
      }
    }
    closeAfterTest(entry!.association);
    return { client, entry: entry!, address };
  });
  const [one, two] = peers;
  for (const [peer, elsewhere] of [[one!, two!.address], [two!, one!.address]] as const) {
    const bytes = peer.client.sealApplicationData(new Uint8Array([7]));
    assertEquals(endpoint.handleDatagram(bytes, elsewhere, EPOCH_MS), peer.entry);
    assertEquals(peer.entry.association.drops.total(), 0);
  }
  assertEquals([one!.entry.address, two!.entry.address], ["one", "two"], "before any check");
});

Deno.test("an error path leaks a counter or wedges the server: faults after the handshake leave nothing", () => {
  const entropy = new Random(4).entropy();
  const faults = [
    [KEY_UPDATE, new Uint8Array([9])],
    [NEW_CONNECTION_ID, new Uint8Array(3)],
    [HandshakeType.REQUEST_CONNECTION_ID, new Uint8Array(2)],
    [HandshakeType.CERTIFICATE, new Uint8Array(2)],
  ] as const;
  for (const [type, body] of faults) {
    const pair = new DtlsPair({ client: { spareConnectionIds: 3 }, server: { entropy } });
    pair.handshake();
    pair.simulation.advance(1_000);
    const server = pair.server.association!;
    const form = {
      epoch: 3,
      number: 200,
      type: HANDSHAKE,
      content: handshakeMessage(type, 4, body),
      connectionId: server.receiveConnectionId,
    };
    server.handleDatagram(pair.kit("client", 3).seal(form), pair.simulation.now);
    pair.settle();
    const { endpoint } = pair.server;
    assertEquals([endpoint.associationCount, endpoint.halfOpenCount], [0, 0]);
    assertEquals([server.state, pair.client.state], ["closed", "closed"]);
  }
});
