// Key updates between two ends: what is sent under which keys, with a network that loses, and before the limits of
// keys.

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { encodeAck } from "../../src/dtls/ack.ts";
import { AlertDescription, ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { encodeKeyUpdate } from "../../src/dtls/key_update.ts";
import { DTLS_LIMITS } from "../../src/dtls/limits.ts";
import { type DtlsAssociation, DtlsError } from "../../src/dtls/mod.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { describeRecord, handshakeMessage } from "../harness/dtls_records.ts";
import { delay, type LinkNode, loss, lossOf, reorder } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { forEachSeed } from "../harness/simulation.ts";

const { HANDSHAKE, APPLICATION_DATA } = ContentType;
const { KEY_UPDATE, NEW_SESSION_TICKET } = HandshakeType;
const NOT_REQUESTED = encodeKeyUpdate(false);

/** A pair without connection IDs whose handshake is over and confirmed. */
function connected(options: PairOptions = {}): DtlsPair {
  const client = { connectionId: null, ...options.client };
  const pair = new DtlsPair({ ...options, client }).handshake();
  pair.simulation.advance(1_000);
  return pair;
}

/** What was sent while `action` ran and `ms` passed, as texts. */
function during(pair: DtlsPair, ms: number, action: () => void): string[] {
  const before = pair.sent.length;
  action();
  pair.simulation.advance(ms);
  return pair.sent.slice(before).map(({ from, bytes }) =>
    [from === "client" ? "C" : "S", ...pair.see(from, bytes).map(describeRecord)].join(" | ")
  );
}

/** Sends a byte and says in which epoch it went; it has to arrive. */
function epochOfData(pair: DtlsPair, from: "client" | "server"): number {
  const to = from === "client" ? "server" : "client";
  const before = pair.received(to).length;
  const at = pair.sent.length;
  pair.send(from, new Uint8Array([before]));
  pair.simulation.advance(50);
  assertEquals(pair.received(to).slice(before), [new Uint8Array([before])]);
  return pair.see(from, pair.sent[at]!.bytes)[0]!.epoch;
}

/** Records of the client that the test makes. */
class ScriptedClient {
  readonly pair: DtlsPair;
  readonly server: DtlsAssociation;
  #number = 100;

  constructor(pair: DtlsPair) {
    this.pair = pair;
    this.server = pair.server.association!;
  }

  record(type: number, content: Uint8Array, epoch: number): void {
    const form = { epoch, number: this.#number++, type, content };
    this.server.handleDatagram(
      this.pair.kit("client", epoch).seal(form),
      this.pair.simulation.now,
    );
    this.pair.simulation.settle();
  }

  message(type: number, messageSeq: number, body: Uint8Array, epoch: number): void {
    this.record(HANDSHAKE, handshakeMessage(type, messageSeq, body), epoch);
  }

  /** The alert that the server ended with, or its state. */
  get outcome(): string | number {
    const alert = this.pair.sentBy("server").flatMap((bytes) => this.pair.see("server", bytes))
      .findLast(({ type }) => type === ContentType.ALERT);
    return alert?.content[1] ?? this.server.state;
  }
}

Deno.test("a key update: one message, its ACK, and new keys of one side alone", () => {
  const pair = connected();
  const sent = during(pair, 50, () => assert(pair.client.updateKeys()));
  assertEquals(sent, ["C | 3:0 KEY_UPDATE#3", "S | 3:1 ACK 3:0"]);
  assertEquals([epochOfData(pair, "client"), epochOfData(pair, "server")], [4, 3]);
});

Deno.test("with update_requested the peer updates too, once", () => {
  const pair = connected();
  const sent = during(pair, 100, () => pair.server.association!.updateKeys({ requestPeer: true }));
  assertEquals(sent, [
    "S | 3:1 KEY_UPDATE#6",
    "C | 3:0 ACK 3:1 | 3:1 KEY_UPDATE#3",
    "S | 4:0 ACK 3:1",
  ]);
  assertEquals([epochOfData(pair, "client"), epochOfData(pair, "server")], [4, 4]);
});

Deno.test('"MUST NOT send records with the new keys until the KeyUpdate [...] acknowledged"', () => {
  const pair = connected({ toClient: [lossAfterHandshake(), delay(10)] });
  pair.client.updateKeys();
  pair.simulation.advance(50);
  assertEquals(epochOfData(pair, "client"), 3);
  assertFalse(pair.client.updateKeys(), "one at a time");
  // Sent again after a second, and acknowledged then.
  pair.simulation.advance(2_000);
  assertEquals(epochOfData(pair, "client"), 4);
  assert(pair.client.updateKeys());
});

/** Loses the first datagram of the second after the handshake. */
function lossAfterHandshake(): LinkNode {
  let lost = false;
  let first: number | undefined;
  return (passage) => {
    first ??= passage.at;
    if (lost || passage.at < first + 900) return [passage];
    lost = true;
    return [];
  };
}

Deno.test("ten updates in a row, data of every epoch arrives, each side by itself and both at once", () => {
  const pair = connected();
  for (let n = 1; n <= 10; n++) {
    pair.client.updateKeys({ requestPeer: n % 2 === 0 });
    if (n % 3 === 0) pair.server.association!.updateKeys({ requestPeer: true });
    pair.simulation.advance(100);
    epochOfData(pair, "client");
    epochOfData(pair, "server");
  }
  assertEquals(epochOfData(pair, "client"), 13);
  // Three of its own, and four answers; one of the requests crossed an update of its own.
  assertEquals(epochOfData(pair, "server"), 10);
});

Deno.test("records under way in the old epoch open after the update, for a while and once", () => {
  const pair = connected();
  const server = pair.server.association!;
  const late = [1, 2, 3].map((n) => pair.client.sealApplicationData(new Uint8Array([n])));
  pair.client.updateKeys();
  pair.simulation.advance(50);
  assertEquals(epochOfData(pair, "client"), 4);
  server.handleDatagram(late[0]!, pair.simulation.now);
  server.handleDatagram(late[0]!, pair.simulation.now);
  pair.simulation.advance(DTLS_LIMITS.oldEpochMs - 100);
  server.handleDatagram(late[1]!, pair.simulation.now);
  pair.simulation.advance(200);
  server.handleDatagram(late[2]!, pair.simulation.now);
  pair.simulation.settle();
  assertEquals(pair.received("server").map(([byte]) => byte), [0, 1, 2]);
  assertEquals([server.drops.get("replay"), server.drops.get("unknown-epoch")], [1, 1]);
});

Deno.test("the old keys stay until the new ones were seen: an ACK that is lost for long does no harm", () => {
  const pair = connected({ toClient: [lossOf((index) => index >= 3 && index < 9), delay(10)] });
  pair.client.updateKeys();
  pair.simulation.advance(DTLS_LIMITS.oldEpochMs + 60_000);
  assertEquals(pair.server.association!.state, "connected");
  assertEquals(epochOfData(pair, "client"), 4);
});

Deno.test("random loss and reordering: data goes on, and both ends agree on the keys", () => {
  forEachSeed(40, (seed) => {
    const network = [loss(0.25), reorder(0.2, 30), delay(10)];
    const pair = new DtlsPair({ seed, toServer: network, toClient: network }).handshake();
    const random = new Random(seed);
    for (let n = 0; n < 12; n++) {
      const end = random.chance(0.5) ? pair.client : pair.server.association!;
      end.updateKeys({ requestPeer: random.chance(0.5) });
      pair.send("client", new Uint8Array([n]));
      pair.send("server", new Uint8Array([n]));
      pair.simulation.advance(random.integer(0, 4_000));
    }
    pair.simulation.advance(240_000);
    assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
    for (let n = 0; n < 40; n++) {
      pair.send("client", new Uint8Array([100]));
      pair.send("server", new Uint8Array([100]));
    }
    pair.simulation.advance(1_000);
    for (const by of ["client", "server"] as const) {
      assert(pair.received(by).some(([byte]) => byte === 100), `data to the ${by}`);
    }
    for (const end of [pair.client, pair.server.association!]) {
      assertEquals(end.drops.get("bad-tag"), 0);
    }
  });
});

Deno.test("many requests in a row have one answer", () => {
  const script = new ScriptedClient(connected());
  const sent = during(script.pair, 100, () => {
    for (let n = 0; n < 5; n++) script.message(KEY_UPDATE, 3 + n, encodeKeyUpdate(true), 3 + n);
  });
  assertEquals(sent.filter((line) => line.includes("KEY_UPDATE")).length, 1);
});

Deno.test('a message after a KeyUpdate in its epoch is an "unexpected_message", whichever comes first', () => {
  const { UNEXPECTED_MESSAGE } = AlertDescription;
  const after = new ScriptedClient(connected());
  after.message(KEY_UPDATE, 3, NOT_REQUESTED, 3);
  after.message(KEY_UPDATE, 4, NOT_REQUESTED, 3);
  assertEquals(after.outcome, UNEXPECTED_MESSAGE);
  const before = new ScriptedClient(connected());
  before.message(KEY_UPDATE, 4, NOT_REQUESTED, 3);
  assertEquals(before.outcome, "connected");
  before.message(KEY_UPDATE, 3, NOT_REQUESTED, 3);
  assertEquals(before.outcome, UNEXPECTED_MESSAGE);
  const same = new ScriptedClient(connected());
  const two = [3, 4].map((seq) => [...handshakeMessage(KEY_UPDATE, seq, NOT_REQUESTED)]).flat();
  same.record(HANDSHAKE, new Uint8Array(two), 3);
  assertEquals(same.outcome, UNEXPECTED_MESSAGE);
  const piece = new ScriptedClient(connected());
  piece.message(KEY_UPDATE, 3, NOT_REQUESTED, 3);
  piece.record(HANDSHAKE, handshakeMessage(KEY_UPDATE, 4, new Uint8Array(20), 0, 10), 3);
  assertEquals(piece.outcome, UNEXPECTED_MESSAGE);
  // One that was there before comes again: no fault.
  const again = new ScriptedClient(connected());
  again.message(KEY_UPDATE, 3, NOT_REQUESTED, 3);
  again.message(KEY_UPDATE, 3, NOT_REQUESTED, 3);
  assertEquals(again.outcome, "connected");
});

Deno.test("a KeyUpdate that comes again is acknowledged again, whatever this side waits for itself", () => {
  const script = new ScriptedClient(connected());
  script.server.updateKeys();
  const sent = during(script.pair, 5, () => {
    script.message(KEY_UPDATE, 3, NOT_REQUESTED, 3);
    script.message(KEY_UPDATE, 3, NOT_REQUESTED, 3);
  });
  assertEquals(sent, ["S | 3:1 ACK 3:100 | 3:2 KEY_UPDATE#6", "S | 3:3 ACK 3:101"]);
});

Deno.test("a KeyUpdate waits for the messages before it, and new keys for the KeyUpdate", () => {
  const script = new ScriptedClient(connected());
  script.message(KEY_UPDATE, 4, NOT_REQUESTED, 3);
  script.record(APPLICATION_DATA, new Uint8Array([9]), 4);
  script.record(APPLICATION_DATA, new Uint8Array([1]), 3);
  assertEquals(script.pair.received("server"), [new Uint8Array([1])]);
  assertEquals(script.server.drops.get("unknown-epoch"), 1);
});

Deno.test("a KeyUpdate with an unknown request or a wrong length ends with the alert that says so", () => {
  for (
    const [body, alert] of [
      [new Uint8Array([2]), AlertDescription.ILLEGAL_PARAMETER],
      [new Uint8Array(0), AlertDescription.DECODE_ERROR],
      [new Uint8Array(2), AlertDescription.DECODE_ERROR],
    ] as const
  ) {
    const script = new ScriptedClient(connected());
    script.message(KEY_UPDATE, 3, body, 3);
    assertEquals(script.outcome, alert);
  }
});

Deno.test("a NewSessionTicket to a server is an unexpected_message", () => {
  const script = new ScriptedClient(connected());
  script.message(NEW_SESSION_TICKET, 3, new Uint8Array(20), 3);
  assertEquals(script.outcome, AlertDescription.UNEXPECTED_MESSAGE);
});

Deno.test("epochs of the two sides are their own: an ACK may name a later epoch than it comes in", () => {
  const script = new ScriptedClient(connected());
  for (let n = 0; n < 3; n++) {
    script.server.updateKeys();
    script.pair.simulation.settle();
    script.record(ContentType.ACK, encodeAck([{ epoch: 3 + n, recordNumber: n === 0 ? 1 : 0 }]), 3);
  }
  assertEquals(script.outcome, "connected");
  assertEquals(script.pair.see("server", script.server.sealApplicationData(new Uint8Array(1))), [
    { epoch: 6, number: 0, type: APPLICATION_DATA, content: new Uint8Array(1) },
  ]);
  script.record(ContentType.ACK, encodeAck([{ epoch: 7, recordNumber: 0 }]), 3);
  assertEquals(script.outcome, AlertDescription.ILLEGAL_PARAMETER);
});

Deno.test("the keys are changed before the limit of records, and the association goes on for ever", () => {
  const pair = connected({ client: { limits: { sealedRecordsMax: 64 } } });
  for (let n = 0; n < 600; n++) {
    assertFalse(pair.client.isWaitingForKeys);
    pair.send("client", new Uint8Array([n % 256]));
    if (n % 8 === 7) pair.simulation.advance(30);
  }
  assertEquals(pair.received("server").length, 600);
  const records = pair.sentBy("client").flatMap((bytes) => pair.see("client", bytes));
  assert(Math.max(...records.map(({ number }) => number)) < 64);
  assert(records.at(-1)!.epoch > 3 + 9);
});

Deno.test("a key that is worn out refuses data, not the messages that bring the next one", () => {
  const pair = connected({
    client: { limits: { sealedRecordsMax: 64 } },
    toClient: [outageAfter(1_500), delay(10)],
  });
  pair.simulation.advance(600);
  let sealed = 0;
  for (; !pair.client.isWaitingForKeys; sealed++) pair.send("client", new Uint8Array(1));
  assertEquals(sealed, 60);
  const error = assertThrows(() => pair.client.sealApplicationData(new Uint8Array(1)), DtlsError);
  assertEquals(error.reason, "key-exhausted");
  assertEquals(pair.client.state, "connected");
  pair.simulation.advance(5_000);
  assertFalse(pair.client.isWaitingForKeys);
  assertEquals(epochOfData(pair, "client"), 4);
});

/** Loses everything for a second from some time after the first datagram on. */
function outageAfter(ms: number): LinkNode {
  let first: number | undefined;
  return (passage) => {
    first ??= passage.at;
    const age = passage.at - first;
    return age >= ms && age < ms + 1_000 ? [] : [passage];
  };
}

Deno.test("records that fail to open: the peer is asked for new keys long before the limit, once", () => {
  const pair = connected({ server: { limits: { forgedRecordsMax: 100 } } });
  const server = pair.server.association!;
  const forge = (epoch: number, number: number) => {
    const form = { epoch, number, type: APPLICATION_DATA, content: new Uint8Array(20) };
    const record = pair.kit("client", epoch).seal(form);
    record[record.length - 1]! ^= 1;
    server.handleDatagram(record, pair.simulation.now);
  };
  const sent = during(pair, 100, () => {
    for (let n = 0; n < 80; n++) forge(3, 50 + n);
  });
  assertEquals(sent, [
    "S | 3:1 KEY_UPDATE#6",
    "C | 3:0 ACK 3:1 | 3:1 KEY_UPDATE#3",
    "S | 4:0 ACK 3:1",
  ]);
  // As long as the peer does not follow, it is not asked again.
  const script = new ScriptedClient(connected({ server: { limits: { forgedRecordsMax: 100 } } }));
  const forged = script.pair.kit("client", 3).seal({
    epoch: 3,
    number: 40_000,
    type: APPLICATION_DATA,
    content: new Uint8Array(20),
  });
  forged[forged.length - 1]! ^= 1;
  const asked = during(script.pair, 5, () => {
    for (let n = 0; n < 60; n++) script.server.handleDatagram(forged, script.pair.simulation.now);
    script.pair.simulation.settle();
    script.record(ContentType.ACK, encodeAck([{ epoch: 3, recordNumber: 1 }]), 3);
    for (let n = 0; n < 20; n++) script.server.handleDatagram(forged, script.pair.simulation.now);
  });
  assertEquals(asked, ["S | 3:1 KEY_UPDATE#6"]);
  // The counts are of one key: another one has its own.
  for (let n = 0; n < 99; n++) forge(4, 50 + n);
  assertEquals(server.state, "connected");
  forge(4, 500);
  pair.simulation.settle();
  assertEquals(server.state, "closing");
});
