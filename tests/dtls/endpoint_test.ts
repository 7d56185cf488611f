// The endpoint: cookies, limits before an address is validated, connection IDs, and one association after another.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { ByteReader } from "../../src/base/byte_reader.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { COOKIE_LIFE_MS } from "../../src/dtls/cookie_exchange.ts";
import { readHandshakeFragment } from "../../src/dtls/handshake_fragment.ts";
import {
  type ClientHello,
  decodeClientHello,
  encodeClientHello,
} from "../../src/dtls/hello_messages.ts";
import {
  HELLO_BYTES_MAX,
  HELLO_LIFE_MS,
  HELLO_SLOTS_MAX,
  HelloReassembly,
} from "../../src/dtls/hello_reassembly.ts";
import {
  DtlsAlertError,
  DtlsAssociation,
  type DtlsClientOptions,
  DtlsEndpoint,
  type EndpointAssociation,
  type EndpointLimits,
} from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_DEFAULTS, closeAfterTest, SERVER_DEFAULTS } from "../harness/dtls_pair.ts";
import { handshakeMessage, plaintextRecord } from "../harness/dtls_records.ts";
import { Random } from "../harness/random.ts";

/** A client at an address of its own. */
class Peer {
  readonly association: DtlsAssociation;
  address: string;

  constructor(address: string, options: Partial<DtlsClientOptions> = {}, seed = 1) {
    this.address = address;
    const entropy = new Random(seed).entropy();
    this.association = closeAfterTest(
      DtlsAssociation.client({ ...CLIENT_DEFAULTS, entropy, ...options }, EPOCH_MS),
    );
  }
}

/** An endpoint, its associations, and clients whose datagrams arrive at once. */
class Lab {
  now = EPOCH_MS;
  readonly endpoint: DtlsEndpoint;
  readonly entries = new Set<EndpointAssociation>();

  constructor(limits: Partial<EndpointLimits> = {}, now = EPOCH_MS) {
    this.now = now;
    const entropy = new Random(77).entropy();
    this.endpoint = new DtlsEndpoint({ ...SERVER_DEFAULTS, entropy }, now, limits);
    closeAfterTest(this);
  }

  close(now: number): void {
    for (const { association } of this.entries) association.close(now);
  }

  /** One datagram to the endpoint; what it answers without state. */
  receive(bytes: Uint8Array, address: string): Uint8Array[] {
    const entry = this.endpoint.handleDatagram(bytes, address, this.now);
    if (entry !== undefined) this.entries.add(entry);
    const answers: Uint8Array[] = [];
    for (let answer; (answer = this.endpoint.pollTransmit()) !== undefined;) {
      assertEquals(answer.address, address);
      answers.push(answer.bytes);
    }
    return answers;
  }

  /** Moves datagrams between a client and its associations, at most `datagrams` from the client. */
  run(peer: Peer, datagrams = 100): void {
    for (let sent = 0; sent < datagrams; sent++) {
      const bytes = peer.association.pollTransmit(this.now);
      if (bytes === undefined) return;
      const answers = this.receive(bytes, peer.address);
      for (const entry of this.entries) {
        if (entry.address !== peer.address) continue;
        const { association } = entry;
        for (let event; (event = association.pollEvent()) !== undefined;) {
          if (event.kind === "connected") this.endpoint.settle(entry);
        }
        for (let out; (out = association.pollTransmit(this.now)) !== undefined;) answers.push(out);
      }
      for (const answer of answers) peer.association.handleDatagram(answer, this.now);
    }
  }

  /** The second ClientHello of a new client, with its cookie. */
  secondHello(address: string, seed = 1): Uint8Array {
    const peer = new Peer(address, {}, seed);
    this.run(peer, 1);
    return peer.association.pollTransmit(this.now)!;
  }
}

const ILLEGAL_PARAMETER_ALERT = new Uint8Array([2, 47]);

function isAlert(answers: Uint8Array[]): boolean {
  return answers.length === 1 && answers[0]![0] === ContentType.ALERT &&
    answers[0]!.subarray(13).toString() === ILLEGAL_PARAMETER_ALERT.toString();
}

/** A second ClientHello, changed. */
function changed(
  datagram: Uint8Array,
  change: (hello: ClientHello) => ClientHello,
  messageSeq = 1,
): Uint8Array {
  const { body } = readHandshakeFragment(new ByteReader(datagram.subarray(13)));
  const { random, cipherSuites, extensions } = change(decodeClientHello(body));
  const edited = encodeClientHello({ random, cipherSuites, extensions });
  const message = handshakeMessage(HandshakeType.CLIENT_HELLO, messageSeq, edited);
  return plaintextRecord(ContentType.HANDSHAKE, message, 1);
}

Deno.test("nothing is kept for an address before its cookie: two thousand first ClientHellos", () => {
  const lab = new Lab();
  const hello = new Peer("x").association.pollTransmit(EPOCH_MS)!;
  for (let i = 0; i < 2_000; i++) {
    const [answer] = lab.receive(hello, `address ${i}`);
    assert(answer!.length <= 3 * hello.length);
  }
  assertEquals([lab.endpoint.associationCount, lab.endpoint.halfOpenCount], [0, 0]);
});

Deno.test("a cookie is for the address that it was sent to", () => {
  const lab = new Lab();
  const second = lab.secondHello("a");
  assert(isAlert(lab.receive(second, "b")));
  assertEquals(lab.endpoint.associationCount, 0);
  assertEquals(lab.receive(second, "a"), []);
  assertEquals(lab.endpoint.associationCount, 1);
});

Deno.test("a cookie lives for ten seconds, across a change of keys", () => {
  assertEquals(COOKIE_LIFE_MS, 10_000);
  for (
    const [madeAt, usedAt, isGood] of [
      [0, 10_000, true],
      [0, 10_001, false],
      [59_999, 60_001, true],
      [59_999, 69_999, true],
      [59_999, 70_000, false],
    ] as const
  ) {
    const lab = new Lab();
    lab.now = EPOCH_MS + madeAt;
    const second = lab.secondHello("a");
    lab.now = EPOCH_MS + usedAt;
    assertEquals(isAlert(lab.receive(second, "a")), !isGood, `${madeAt} ${usedAt}`);
  }
});

Deno.test("a cookie of a key that was replaced twice is nobody's", () => {
  const lab = new Lab();
  const second = lab.secondHello("a");
  for (const minutes of [1, 2]) {
    lab.now = EPOCH_MS + 60_000 * minutes;
    lab.secondHello("b");
  }
  lab.now = EPOCH_MS + 5_000;
  assert(isAlert(lab.receive(second, "a")));
});

Deno.test('"cookies are only valid for the existing handshake": a cookie makes one association', () => {
  const lab = new Lab();
  const second = lab.secondHello("a");
  lab.receive(second, "a");
  const [entry] = lab.entries;
  for (let i = 0; i < 5; i++) assertEquals(lab.receive(second, "a"), []);
  assertEquals([lab.endpoint.associationCount, lab.endpoint.drops.get("used-cookie")], [1, 5]);
  lab.endpoint.remove(entry!);
  assertEquals(lab.receive(second, "a"), []);
  assertEquals(lab.endpoint.associationCount, 0);
});

Deno.test("a cookie that was used is remembered until it has expired, whatever others are used after it", () => {
  for (const madeAt of [0, 3_000, 9_999, 10_000, 12_345]) {
    const lab = new Lab();
    const at = (ms: number) => lab.now = EPOCH_MS + ms;
    at(madeAt);
    const second = lab.secondHello("a");
    lab.receive(second, "a");
    for (let age = 1_000; age <= COOKIE_LIFE_MS; age += 1_000) {
      at(madeAt + age);
      lab.receive(lab.secondHello(`other ${age}`), `other ${age}`);
      lab.receive(second, "a");
      assertEquals(lab.endpoint.drops.get("used-cookie"), age / 1_000, `${madeAt}`);
    }
  }
});

Deno.test("a second ClientHello that is not the first with what may change ends in illegal_parameter", () => {
  const changes: readonly ((hello: ClientHello) => ClientHello)[] = [
    (hello) => ({ ...hello, random: hello.random.map((byte) => byte ^ 1) }),
    (hello) => ({ ...hello, cipherSuites: hello.cipherSuites.slice(0, 2) }),
    (hello) => ({
      ...hello,
      extensions: new Map([...hello.extensions, [16, new Uint8Array([0, 2, 1, 97])]]),
    }),
    (hello) => ({
      ...hello,
      extensions: new Map([...hello.extensions].filter(([type]) => type !== 0)),
    }),
    (hello) => ({
      ...hello,
      extensions: new Map([...hello.extensions, [0x7777, new Uint8Array(1)]]),
    }),
    (hello) => ({
      ...hello,
      extensions: new Map([...hello.extensions, [44, new Uint8Array([0, 1, 1])]]),
    }),
  ];
  for (const change of changes) {
    const lab = new Lab();
    assert(isAlert(lab.receive(changed(lab.secondHello("a"), change), "a")));
    assertEquals(lab.endpoint.associationCount, 0);
  }
  const lab = new Lab();
  assert(isAlert(lab.receive(changed(lab.secondHello("a"), (hello) => hello, 0), "a")));
});

Deno.test("a second ClientHello that is refused does not use up the cookie", () => {
  const lab = new Lab();
  const second = lab.secondHello("a");
  const forged = changed(second, (hello) => ({ ...hello, random: new Uint8Array(32) }));
  assert(isAlert(lab.receive(forged, "a")));
  lab.receive(second, "a");
  assertEquals(lab.endpoint.associationCount, 1);
});

Deno.test("what may change may: the order of extensions, padding, the key share for a group that was asked for", () => {
  for (
    const change of [
      (hello: ClientHello) => ({ ...hello, extensions: new Map([...hello.extensions].reverse()) }),
      (hello: ClientHello) => ({
        ...hello,
        extensions: new Map([...hello.extensions, [21, new Uint8Array(60)] as const]),
      }),
    ]
  ) {
    const lab = new Lab();
    lab.receive(changed(lab.secondHello("a"), change), "a");
    assertEquals(lab.endpoint.associationCount, 1);
    assertEquals([...lab.entries][0]!.association.state, "handshaking");
  }
});

Deno.test("a client whose cookie is too old is told so, and succeeds with a new handshake", () => {
  const lab = new Lab();
  const peer = new Peer("a");
  lab.run(peer, 1);
  lab.now += 11_000;
  lab.run(peer);
  const event = peer.association.pollEvent();
  assert(event?.kind === "failed" && event.error instanceof DtlsAlertError);
  assertEquals(event.error.description, 47);
  const again = new Peer("a", {}, 2);
  lab.run(again);
  assertEquals(again.association.state, "connected");
});

Deno.test("half-open associations are limited; one that completes, or ends, makes room", () => {
  const lab = new Lab({ halfOpenMax: 2 });
  const peers = ["a", "b", "c", "d"].map((address, i) => new Peer(address, {}, i + 1));
  for (const peer of peers.slice(0, 3)) lab.run(peer, 2);
  assertEquals([lab.endpoint.halfOpenCount, lab.endpoint.drops.get("half-open-limit")], [2, 1]);
  lab.run(peers[0]!);
  assertEquals([peers[0]!.association.state, lab.endpoint.halfOpenCount], ["connected", 1]);
  lab.run(peers[3]!);
  assertEquals(peers[3]!.association.state, "connected");
  for (const entry of lab.entries) lab.endpoint.remove(entry);
  assertEquals([lab.endpoint.halfOpenCount, lab.endpoint.associationCount], [0, 0]);
});

Deno.test("associations are limited in total", () => {
  const lab = new Lab({ associationsMax: 2 });
  const peers = ["a", "b", "c"].map((address, i) => new Peer(address, {}, i + 1));
  for (const peer of peers) lab.run(peer);
  assertEquals(peers.map(({ association }) => association.state), [
    "connected",
    "connected",
    "handshaking",
  ]);
  assertEquals(lab.endpoint.drops.get("association-limit"), 1);
});

Deno.test("answers that wait to be sent are limited", () => {
  const lab = new Lab({ answersMax: 10 });
  const hello = new Peer("x").association.pollTransmit(EPOCH_MS)!;
  for (let i = 0; i < 30; i++) lab.endpoint.handleDatagram(hello, `a${i}`, EPOCH_MS);
  assertEquals(lab.endpoint.drops.get("answers-full"), 20);
});

for (const connectionId of [undefined, null]) {
  const name = connectionId === null ? "without connection IDs" : "with connection IDs";
  Deno.test(`section 5.11: a client starts anew at its address, ${name}`, () => {
    const lab = new Lab();
    const options = connectionId === null ? { connectionId } : {};
    const old = new Peer("a", options, 1);
    lab.run(old);
    const [oldEntry] = lab.entries;
    const dataFrom = (peer: Peer, entry: EndpointAssociation) => {
      lab.receive(peer.association.sealApplicationData(new Uint8Array([1])), "a");
      const event = entry.association.pollEvent();
      return event?.kind === "application-data";
    };
    // "MUST NOT destroy the existing association until the client has demonstrated reachability"
    const young = new Peer("a", options, 2);
    lab.run(young, 1);
    assert(dataFrom(old, oldEntry!));
    lab.run(young, 1);
    const [, youngEntry] = lab.entries;
    assertEquals([lab.endpoint.associationCount, lab.endpoint.halfOpenCount], [2, 1]);
    assert(dataFrom(old, oldEntry!));
    // "After a correct Finished message is received, the server MUST abandon the previous association"
    lab.run(young);
    assertEquals(young.association.state, "connected");
    assertEquals(lab.endpoint.associationCount, 1);
    assertEquals(lab.endpoint.pollReplaced(), oldEntry);
    assertEquals(oldEntry!.association.state, "closed");
    const event = oldEntry!.association.pollEvent();
    assert(
      event?.kind === "failed" && "reason" in event.error && event.error.reason === "replaced",
    );
    assert(dataFrom(young, youngEntry!));
    lab.endpoint.remove(oldEntry!);
    assert(dataFrom(young, youngEntry!), "what was replaced before takes nothing with it");
  });
}

Deno.test(
  "section 5.11: forged ClientHellos and unfinished handshakes " +
    "leave the association alone, and are bounded",
  () => {
    const lab = new Lab();
    const old = new Peer("a", {}, 1);
    lab.run(old);
    const [entry] = lab.entries;
    for (let seed = 2; seed < 12; seed++) {
      const young = new Peer("a", {}, seed);
      lab.run(young, 2);
      // The one before it, which never completed, gave way, and its owner hears of it.
      assertEquals(lab.endpoint.associationCount, 2);
      if (seed > 2) assertEquals(lab.endpoint.pollReplaced()?.association.state, "closed");
      assertEquals(lab.endpoint.pollReplaced(), undefined);
    }
    lab.receive(old.association.sealApplicationData(new Uint8Array([1])), "a");
    assertEquals(entry!.association.pollEvent()?.kind, "application-data");
    assertEquals(lab.endpoint.halfOpenCount, 1);
  },
);

Deno.test("a record with a connection ID reaches its association from any address", () => {
  const lab = new Lab();
  const peers = [new Peer("a", {}, 1), new Peer("b", {}, 2)];
  for (const peer of peers) lab.run(peer);
  const [a, b] = lab.entries;
  peers[0]!.address = "elsewhere";
  lab.receive(peers[0]!.association.sealApplicationData(new Uint8Array([1])), "elsewhere");
  // Even from an address that is another association's.
  lab.receive(peers[0]!.association.sealApplicationData(new Uint8Array([2])), "b");
  assertEquals([
    a!.association.pollEvent()?.kind,
    a!.association.pollEvent()?.kind,
    b!.association.pollEvent(),
  ], [
    "application-data",
    "application-data",
    undefined,
  ]);
  const unknown = peers[0]!.association.sealApplicationData(new Uint8Array([3]));
  unknown[3]! ^= 1;
  assertEquals(lab.receive(unknown, "a"), []);
  assertEquals(lab.endpoint.drops.get("unknown-connection-id"), 1);
});

Deno.test("connection IDs differ, and none is given out twice", () => {
  const lab = new Lab();
  const ids = Array.from({ length: 20 }, (_, i) => {
    lab.run(new Peer(`a${i}`, {}, i));
    return [...lab.entries].at(-1)!.association.receiveConnectionId.toString();
  });
  assertEquals(new Set(ids).size, 20);
  assertNotEquals(ids[0], ids[1]);
});

Deno.test(
  "protected records and plaintext that is no ClientHello, from " +
    "an unknown address, are dropped and counted",
  () => {
    const lab = new Lab();
    assertEquals(lab.receive(new Uint8Array(50).fill(0x2f), "a"), []);
    assertEquals(lab.receive(new Uint8Array(0), "a"), []);
    assertEquals(lab.receive(plaintextRecord(ContentType.ALERT, new Uint8Array([2, 40])), "a"), []);
    assertEquals(lab.receive(plaintextRecord(ContentType.ACK, new Uint8Array([0, 0])), "a"), []);
    assertEquals(lab.endpoint.drops.snapshot(), {
      "unknown-address": 1,
      "empty": 1,
      "not-a-client-hello": 2,
    });
  },
);

const CLIENT_HELLO = HandshakeType.CLIENT_HELLO;

function piece(messageBytes: number, offset: number, length: number) {
  return {
    type: CLIENT_HELLO,
    messageSeq: 0,
    messageBytes,
    offset,
    body: new Uint8Array(length).fill(offset),
  };
}

Deno.test("fragments of ClientHellos wait in 256 slots, the oldest out first", () => {
  assertEquals(HELLO_SLOTS_MAX, 256);
  const hellos = new HelloReassembly();
  for (let i = 0; i < 257; i++) hellos.add(piece(200, 0, 100), 100, `a${i}`, i);
  assertEquals(
    hellos.add(piece(200, 100, 100), 100, "a0", 300),
    undefined,
    "its slot was given away",
  );
  assertEquals(hellos.add(piece(200, 100, 100), 100, "a256", 300)?.message.body.length, 200);
  assertEquals(hellos.add(piece(200, 100, 100), 100, "a100", 300)?.receivedBytes, 200);
});

Deno.test("fragments of a ClientHello wait for two seconds", () => {
  assertEquals(HELLO_LIFE_MS, 2_000);
  for (const [waitMs, isWhole] of [[1_999, true], [2_000, false]] as const) {
    const hellos = new HelloReassembly();
    hellos.add(piece(200, 0, 100), 100, "a", 0);
    assertEquals(hellos.add(piece(200, 100, 100), 100, "a", waitMs) !== undefined, isWhole);
  }
});

Deno.test("fragments of a ClientHello of more than 4 KiB are not kept", () => {
  assertEquals(HELLO_BYTES_MAX, 4_096);
  for (const [messageBytes, isWhole] of [[4_096, true], [4_097, false]] as const) {
    const hellos = new HelloReassembly();
    let whole;
    for (let offset = 0; offset < messageBytes; offset += 1_000) {
      const length = Math.min(1_000, messageBytes - offset);
      whole = hellos.add(piece(messageBytes, offset, length), length, "a", 0);
    }
    assertEquals(whole !== undefined, isWhole);
  }
});

Deno.test("a ClientHello of the size of post-quantum key shares, in two datagrams, in any order", () => {
  const alpn = [
    `pq-${"x".repeat(200)}`,
    ...Array.from({ length: 6 }, (_, i) => `${i}${"y".repeat(200)}`),
  ];
  const lab = new Lab();
  const peer = new Peer("a", { alpn });
  const pieces = [peer.association.pollTransmit(lab.now)!, peer.association.pollTransmit(lab.now)!];
  assertEquals(lab.receive(pieces[1]!, "a"), []);
  assertEquals(lab.endpoint.associationCount, 0);
  const [retry] = lab.receive(pieces[0]!, "a");
  peer.association.handleDatagram(retry!, lab.now);
  lab.run(peer);
  assertEquals(peer.association.state, "connected");
});
