// What others got wrong in DTLS 1.2, and what a man in the middle of it cannot do.

import { assert, assertEquals } from "@std/assert";
import { ByteReader } from "../../src/base/byte_reader.ts";
import { concatBytes, EMPTY_BYTES, utf8Bytes } from "../../src/base/bytes.ts";
import { ContentType, ExtensionType, HandshakeType } from "../../src/dtls/code_points.ts";
import { readHandshakeFragment } from "../../src/dtls/handshake_fragment.ts";
import { type ClientHello, decodeClientHello } from "../../src/dtls/hello_messages.ts";
import { DtlsEndpoint } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_CREDENTIAL, credential } from "../harness/credentials.ts";
import { DtlsPair, type PairOptions, SERVER_DEFAULTS } from "../harness/dtls_pair.ts";
import { handshakeMessage, plaintextRecord } from "../harness/dtls_records.ts";
import { delay, type LinkNode } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { in12, resumed, resumingBy } from "../harness/sessions_12.ts";

const { HANDSHAKE, ALERT, CHANGE_CIPHER_SPEC, APPLICATION_DATA } = ContentType;
const UNEXPECTED_MESSAGE = 10;
const HANDSHAKE_FAILURE = 40;
const ILLEGAL_PARAMETER = 47;
const DECRYPT_ERROR = 51;
const PROTOCOL_VERSION = 70;
const INAPPROPRIATE_FALLBACK = 86;

interface Message {
  readonly type: number;
  readonly messageSeq: number;
  readonly body: Uint8Array;
}

/** Changes the messages of the plaintext handshake records, each whole, of datagrams on their way. */
function edited(edit: (message: Message) => Message | undefined): LinkNode {
  return (passage) => {
    const parts: Uint8Array[] = [];
    const reader = new ByteReader(passage.bytes);
    while (reader.remaining > 0) {
      const start = reader.offset;
      const type = reader.u8();
      reader.u16();
      const epoch = reader.u16();
      if (epoch > 0) {
        parts.push(passage.bytes.subarray(start));
        break;
      }
      const number = reader.u48();
      const content = reader.opaque(2);
      if (type !== HANDSHAKE) {
        parts.push(passage.bytes.subarray(start, reader.offset));
        continue;
      }
      const messages = new ByteReader(content);
      const kept: Uint8Array[] = [];
      while (messages.remaining > 0) {
        const message = edit(readHandshakeFragment(messages));
        if (message === undefined) continue;
        kept.push(handshakeMessage(message.type, message.messageSeq, message.body));
      }
      if (kept.length > 0) parts.push(plaintextRecord(HANDSHAKE, concatBytes(...kept), number));
    }
    return parts.length === 0 ? [] : [{ ...passage, bytes: concatBytes(...parts) }];
  };
}

/** The alert that an end sent, or the state of the client where there was none. */
function outcome(pair: DtlsPair, by: "client" | "server"): number | string {
  pair.simulation.advance(200);
  const alert = pair.sentBy(by).findLast((bytes) => bytes[0] === ALERT && bytes[4] === 0);
  return alert?.[14] ?? pair.client.state;
}

/** A ClientHello's body with other content. */
function encodeHello(hello: ClientHello): Uint8Array {
  const parts = [
    u16(hello.legacyVersion),
    hello.random,
    vector(1, hello.legacySessionId),
    vector(1, hello.legacyCookie),
    vector(2, concatBytes(...hello.cipherSuites.map(u16))),
    vector(1, hello.compressionMethods),
    vector(
      2,
      concatBytes(
        ...[...hello.extensions].map(([type, data]) => concatBytes(u16(type), vector(2, data))),
      ),
    ),
  ];
  return concatBytes(...parts);
}
const u16 = (value: number) => new Uint8Array([value >> 8, value & 255]);
const vector = (lengthBytes: 1 | 2, bytes: Uint8Array) =>
  concatBytes(lengthBytes === 1 ? new Uint8Array([bytes.length]) : u16(bytes.length), bytes);

/** What a server answers where every ClientHello is changed on its way. */
function serverOn(
  change: (hello: ClientHello) => Partial<ClientHello>,
  options: PairOptions = in12({}),
): number | string {
  const edit = edited((message) => {
    if (message.type !== HandshakeType.CLIENT_HELLO) return message;
    const hello = decodeClientHello(message.body);
    return { ...message, body: encodeHello({ ...hello, ...change(hello) }) };
  });
  const pair = new DtlsPair({ ...options, toServer: [edit, delay(10)] });
  return outcome(pair, "server");
}

function without(hello: ClientHello, ...types: ExtensionType[]): Partial<ClientHello> {
  const extensions = new Map(hello.extensions);
  for (const type of types) extensions.delete(type);
  return { extensions };
}

Deno.test("downgrade: who takes 1.3 out of a ClientHello is found out by the server's random value", () => {
  const strip = edited((message) => {
    if (message.type !== HandshakeType.CLIENT_HELLO) return message;
    const hello = decodeClientHello(message.body);
    const { SUPPORTED_VERSIONS } = ExtensionType;
    return { ...message, body: encodeHello({ ...hello, ...without(hello, SUPPORTED_VERSIONS) }) };
  });
  const pair = new DtlsPair({ toServer: [strip, delay(10)] });
  assertEquals(outcome(pair, "client"), ILLEGAL_PARAMETER);
  assertEquals(pair.server.association?.state === "connected", false);
  // The same is no attack where the server has nothing better.
  const server = { versions: ["1.2"] } as const;
  const honest = new DtlsPair({ server, toServer: [edited((message) => message), delay(10)] });
  assertEquals(outcome(honest, "client"), "connected");
});

Deno.test("RFC 7507: a fallback that was not needed is inappropriate_fallback", () => {
  const fallBack = ({ cipherSuites }: ClientHello) => ({ cipherSuites: [...cipherSuites, 0x5600] });
  const options = { client: { versions: ["1.2"] } } as const;
  assertEquals(serverOn(fallBack, options), INAPPROPRIATE_FALLBACK);
  // A server of 1.2 alone has nothing better, and begins the handshake.
  const edit = edited((message) => {
    if (message.type !== HandshakeType.CLIENT_HELLO) return message;
    const hello = decodeClientHello(message.body);
    return { ...message, body: encodeHello({ ...hello, ...fallBack(hello) }) };
  });
  const pair = new DtlsPair(in12({ toServer: [edit, delay(10)] }));
  pair.simulation.advance(35);
  assertEquals(pair.sentBy("server").length, 2);
});

Deno.test("ClientHellos that break the rules of 1.2 draw the alert that the RFC names", () => {
  const { EXTENDED_MASTER_SECRET, SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS } = ExtensionType;
  assertEquals(serverOn((hello) => without(hello, EXTENDED_MASTER_SECRET)), HANDSHAKE_FAILURE);
  assertEquals(serverOn((hello) => without(hello, SIGNATURE_ALGORITHMS)), HANDSHAKE_FAILURE);
  assertEquals(serverOn((hello) => without(hello, SUPPORTED_GROUPS)), HANDSHAKE_FAILURE);
  const compression = new Uint8Array([1]);
  assertEquals(serverOn(() => ({ compressionMethods: compression })), ILLEGAL_PARAMETER);
  assertEquals(serverOn(() => ({ legacyVersion: 0xfeff })), PROTOCOL_VERSION);
  const withExtension = (type: number, data: Uint8Array) => (hello: ClientHello) => ({
    extensions: new Map([...hello.extensions, [type, data]]),
  });
  const renegotiation = withExtension(ExtensionType.RENEGOTIATION_INFO, new Uint8Array([1, 7]));
  assertEquals(serverOn(renegotiation), HANDSHAKE_FAILURE);
  const points = withExtension(ExtensionType.EC_POINT_FORMATS, new Uint8Array([1, 1]));
  assertEquals(serverOn(points), ILLEGAL_PARAMETER);
});

Deno.test("a ServerKeyExchange that another key signed is a decrypt_error", () => {
  const edit = edited((message) => {
    if (message.type !== HandshakeType.SERVER_KEY_EXCHANGE) return message;
    const body = message.body.slice();
    body[body.length - 1]! ^= 1;
    return { ...message, body };
  });
  const pair = new DtlsPair(in12({ toClient: [edit, delay(10)] }));
  assertEquals(outcome(pair, "client"), DECRYPT_ERROR);
});

const MUTUAL = in12({
  client: { credentials: [credential(CLIENT_CREDENTIAL)] },
  server: { clientCertificate: "required" },
});

Deno.test("missing or reordered CertificateVerify accepted (CVE-2022-29222, CVE-2026-55962)", () => {
  const { CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE } = HandshakeType;
  const swap: Record<number, number> = { [CERTIFICATE_VERIFY]: -1, [CLIENT_KEY_EXCHANGE]: 1 };
  const reorder = edited((message) => ({
    ...message,
    messageSeq: message.messageSeq + (swap[message.type] ?? 0),
  }));
  const reordered = new DtlsPair({ ...MUTUAL, toServer: [reorder, delay(10)] });
  assertEquals(outcome(reordered, "server"), UNEXPECTED_MESSAGE);

  const drop = edited((message) => message.type === CERTIFICATE_VERIFY ? undefined : message);
  const missing = new DtlsPair({ ...MUTUAL, toServer: [drop, delay(10)] });
  missing.settle();
  assertEquals([missing.client.state, missing.server.association?.state ?? "closed"], [
    "closed",
    "closed",
  ]);

  // A signature over something else.
  const forge = edited((message) => {
    if (message.type !== CERTIFICATE_VERIFY) return message;
    const body = message.body.slice();
    body[body.length - 1]! ^= 1;
    return { ...message, body };
  });
  const forged = new DtlsPair({ ...MUTUAL, toServer: [forge, delay(10)] });
  assertEquals(outcome(forged, "server"), DECRYPT_ERROR);
});

Deno.test("ChangeCipherSpec loop or injection (CVE-2020-12457, CVE-2014-0224)", () => {
  const ccs = plaintextRecord(CHANGE_CIPHER_SPEC, new Uint8Array([1]), 900);
  // Before everything else, and again with every datagram.
  const inject: LinkNode = (passage) => [
    ...Array.from({ length: 20 }, () => ({ ...passage, bytes: ccs })),
    passage,
  ];
  for (const options of [MUTUAL, resumed(in12({ server: resumingBy("ticket")! }))]) {
    const pair = new DtlsPair({
      ...options,
      toServer: [inject, delay(10)],
      toClient: [inject, delay(10)],
    }).handshake();
    assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
    pair.simulation.inject("a", ccs);
    pair.simulation.inject("b", ccs);
    pair.settle();
    assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
  }
});

Deno.test("plaintext (epoch 0) application data accepted (CVE-2020-24585), and alerts", () => {
  const pair = new DtlsPair(in12({})).handshake();
  pair.simulation.advance(100);
  const server = pair.server.association!;
  const data = plaintextRecord(APPLICATION_DATA, utf8Bytes("plain"), 900);
  const alert = plaintextRecord(ALERT, new Uint8Array([2, 40]), 901);
  const closing = plaintextRecord(ALERT, new Uint8Array([1, 0]), 902);
  for (const end of [pair.client, server]) {
    for (const bytes of [data, alert, closing]) end.handleDatagram(bytes, pair.simulation.now);
    assertEquals(end.state, "connected");
    assertEquals(end.drops.get("unexpected-plaintext"), 3);
  }
  assertEquals([pair.received("server"), pair.received("client")], [[], []]);
});

Deno.test("a new handshake inside an association is not begun: no renegotiation", () => {
  const pair = new DtlsPair(in12({})).handshake();
  pair.simulation.advance(100);
  const before = pair.sent.length;
  const hello = pair.sentBy("client")[0]!.subarray(13);
  for (
    const [end, message] of [
      [pair.server.association!, hello],
      [pair.client, handshakeMessage(HandshakeType.HELLO_REQUEST, 0, EMPTY_BYTES)],
    ] as const
  ) {
    end.handleDatagram(plaintextRecord(HANDSHAKE, message, 903), pair.simulation.now);
    assertEquals(end.state, "connected");
  }
  pair.settle();
  assertEquals(pair.sent.length, before);
});

/** An endpoint, and what a client sends to it. */
function cookieExchange() {
  const pair = new DtlsPair(in12({}));
  pair.simulation.settle();
  const body = pair.sentBy("client")[0]!.slice(25);
  const endpoint = new DtlsEndpoint(
    { ...SERVER_DEFAULTS, versions: ["1.2"], entropy: new Random(1).entropy() },
    EPOCH_MS,
  );
  const send = (
    change: Partial<ClientHello> = {},
    { messageSeq = 0, address = "a", now = EPOCH_MS } = {},
  ) => {
    const hello = { ...decodeClientHello(body), ...change };
    const message = handshakeMessage(HandshakeType.CLIENT_HELLO, messageSeq, encodeHello(hello));
    const datagram = plaintextRecord(HANDSHAKE, message, messageSeq);
    const entry = endpoint.handleDatagram(datagram, address, now);
    const answer = endpoint.pollTransmit()?.bytes;
    assert((answer?.length ?? 0) <= 3 * datagram.length);
    return { entry, answer, cookie: answer?.slice(13 + 12 + 3) ?? EMPTY_BYTES };
  };
  return { endpoint, send };
}

Deno.test("a cookie is for one address, one ClientHello, ten seconds and one handshake", () => {
  const { endpoint, send } = cookieExchange();
  const { cookie: legacyCookie, answer } = send();
  assertEquals([answer![0], answer![13]], [HANDSHAKE, HandshakeType.HELLO_VERIFY_REQUEST]);
  assertEquals(legacyCookie.length, 32);
  const isAskedAgain = (...args: Parameters<typeof send>) => {
    const { entry, answer } = send(...args);
    return entry === undefined && answer?.[13] === HandshakeType.HELLO_VERIFY_REQUEST;
  };
  const second = { messageSeq: 1 };
  assert(isAskedAgain({ legacyCookie }, { ...second, address: "b" }));
  assert(isAskedAgain({ legacyCookie, random: new Uint8Array(32) }, second));
  assert(isAskedAgain({ legacyCookie, cipherSuites: [0xc02b] }, second));
  assert(isAskedAgain({ legacyCookie }, { messageSeq: 2 }));
  assert(isAskedAgain({ legacyCookie }, { ...second, now: EPOCH_MS + 10_001 }));
  assert(isAskedAgain({ legacyCookie: legacyCookie.map((byte) => byte ^ 1) }, second));
  assert(isAskedAgain({ legacyCookie: legacyCookie.subarray(1) }, second));
  assertEquals(endpoint.associationCount, 0);
  const { entry } = send({ legacyCookie }, second);
  assert(entry !== undefined);
  send({ legacyCookie }, second);
  assertEquals([endpoint.associationCount, endpoint.drops.get("used-cookie")], [1, 1]);
  entry.association.close(EPOCH_MS);
});

Deno.test("a flood of ClientHellos of 1.2 without a cookie leaves nothing", () => {
  const { endpoint, send } = cookieExchange();
  for (let i = 0; i < 2_000; i++) send({}, { address: `host ${i}` });
  assertEquals([endpoint.associationCount, endpoint.halfOpenCount], [0, 0]);
});

Deno.test("a client that restarts at its address takes the place of its old association once it is proved", () => {
  const pair = new DtlsPair(in12({ client: { connectionId: null } })).handshake();
  pair.simulation.advance(100);
  const { endpoint } = pair.server;
  const old = pair.server.association!;
  const again = new DtlsPair(in12({ client: { connectionId: null }, seed: 7 }));
  const now = pair.simulation.now;
  // The new client speaks to the old endpoint.
  let entry;
  for (let turn = 0; turn < 6; turn++) {
    for (let sent; (sent = again.client.pollTransmit(now)) !== undefined;) {
      entry = endpoint.handleDatagram(sent, "client", now) ?? entry;
    }
    // The old client is not locked out until then.
    if (entry?.association.hasOpenedRecord !== true) {
      const bytes = pair.client.sealApplicationData(utf8Bytes("still here"));
      assertEquals(endpoint.handleDatagram(bytes, "client", now)?.association, old);
    }
    for (let answer; (answer = endpoint.pollTransmit()) !== undefined;) {
      again.client.handleDatagram(answer.bytes, now);
    }
    for (let sent; (sent = entry?.association.pollTransmit(now)) !== undefined;) {
      again.client.handleDatagram(sent, now);
    }
  }
  assertEquals([again.client.state, old.state], ["connected", "connected"]);
  assert(entry !== undefined && entry.association !== old);
  endpoint.settle(entry);
  assertEquals(endpoint.pollReplaced()?.association, old);
  assertEquals(old.state, "closed");
  entry.association.close(now);
  again.client.close(now);
});
