// What DTLS implementations got wrong, a test for each class, named after it and where it happened.

import { assert, assertEquals } from "@std/assert";
import { ByteReader } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { encodeAck } from "../../src/dtls/ack.ts";
import {
  encodeCertificateVerify,
  encodeEncryptedExtensions,
} from "../../src/dtls/certificate_messages.ts";
import {
  AlertDescription,
  ContentType,
  ExtensionType,
  HandshakeType,
} from "../../src/dtls/code_points.ts";
import { writeExtensions } from "../../src/dtls/extensions.ts";
import { HandshakeAssembler, readHandshakeFragment } from "../../src/dtls/handshake_fragment.ts";
import { decodeClientHello, encodeClientHello } from "../../src/dtls/hello_messages.ts";
import { type DtlsAssociation, DtlsEndpoint, SignatureScheme } from "../../src/dtls/mod.ts";
import { DTLS_LIMITS } from "../../src/dtls/limits.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import {
  CLIENT_CREDENTIAL,
  credential,
  OTHER_CLIENT_CREDENTIAL,
  P256_SERVER_CREDENTIAL,
  SERVER_CREDENTIAL,
} from "../harness/credentials.ts";
import { DtlsPair, SERVER_DEFAULTS } from "../harness/dtls_pair.ts";
import { describeRecord, handshakeMessage, plaintextRecord } from "../harness/dtls_records.ts";
import { editedHello, MUTUAL, Scripted } from "../harness/dtls_scripted.ts";
import { delay, duplicate, jitter, type LinkNode, loss } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { forEachSeed } from "../harness/simulation.ts";

const { HANDSHAKE, ACK, APPLICATION_DATA, CHANGE_CIPHER_SPEC } = ContentType;
const { UNEXPECTED_MESSAGE, DECRYPT_ERROR, ILLEGAL_PARAMETER, DECODE_ERROR } = AlertDescription;

/** A ClientHello as the default client sends it, to be changed. */
function helloOf(pair: DtlsPair, nth: 0 | 1) {
  const [record] = pair.see("client", pair.sentBy("client")[nth]!);
  const fragment = readHandshakeFragment(new ByteReader(record!.content));
  return { body: fragment.body, hello: decodeClientHello(fragment.body) };
}

Deno.test("replay window moved by an unauthenticated or early-epoch record (CVE-2016-2181)", () => {
  const pair = new DtlsPair({ client: { connectionId: null } }).handshake();
  pair.simulation.advance(50);
  const server = pair.server.association!;
  const far = pair.kit("client", 3).seal({
    epoch: 3,
    number: 30_000,
    type: APPLICATION_DATA,
    content: new Uint8Array(20),
  });
  far[far.length - 1]! ^= 1;
  server.handleDatagram(far, pair.simulation.now);
  server.handleDatagram(
    plaintextRecord(HANDSHAKE, new Uint8Array(20), 2 ** 47),
    pair.simulation.now,
  );
  const form = { epoch: 2, number: 30_000, type: HANDSHAKE, content: new Uint8Array(20) };
  server.handleDatagram(pair.kit("server", 2).seal(form), pair.simulation.now);
  pair.send("client", new Uint8Array([1]));
  pair.simulation.advance(50);
  assertEquals(pair.received("server"), [new Uint8Array([1])]);
});

Deno.test("handshake buffering without a bound (CVE-2016-2179, CVE-2014-3506, CVE-2022-29189)", () => {
  const assembler = new HandshakeAssembler(DTLS_LIMITS);
  let keptBytes = 0;
  for (let messageSeq = 0; messageSeq < 70_000; messageSeq += 1) {
    const fragment = {
      type: 11,
      messageBytes: 16_000,
      messageSeq,
      offset: 0,
      body: new Uint8Array(1),
    };
    if (assembler.add(fragment, 0) !== "discarded") keptBytes += fragment.messageBytes;
  }
  assert(keptBytes <= 2 * DTLS_LIMITS.handshakeMessageBytesMax, `${keptBytes}`);
  // Pieces of one message with holes between them.
  const holes = new HandshakeAssembler(DTLS_LIMITS);
  let ranges = 0;
  for (let offset = 0; offset < 32_000; offset += 2) {
    const fragment = {
      type: 11,
      messageBytes: 32_000,
      messageSeq: 0,
      offset,
      body: new Uint8Array(1),
    };
    if (holes.add(fragment, 0) !== "discarded") ranges++;
  }
  assertEquals(ranges, DTLS_LIMITS.fragmentRangesMax);
});

Deno.test(
  "a message larger than the limit is refused: by an alert where " +
    "the peer is authenticated, else in silence",
  () => {
    const server = new Scripted("client");
    const body = new Uint8Array(DTLS_LIMITS.handshakeMessageBytesMax + 1);
    server.record(HANDSHAKE, handshakeMessage(HandshakeType.CERTIFICATE, 2, body, 0, 10));
    assertEquals(server.outcome, ILLEGAL_PARAMETER);
  },
);

Deno.test("buffering of records of future epochs (CVE-2026-54874)", () => {
  const server = new Scripted("client");
  for (let i = 0; i < 1_000; i++) server.record(APPLICATION_DATA, new Uint8Array(1_000), 3);
  assertEquals(server.end.drops.get("unknown-epoch"), 1_000);
  // The handshake goes on, and nothing of that comes out of it.
  server.say(...server.messages);
  assertEquals(server.outcome, "connected");
  assertEquals(server.pair.received("server"), []);
});

Deno.test("zero-length fragment loops for ever (CVE-2022-29190)", () => {
  const server = new Scripted("client");
  const { type, body } = server.messages[0]!;
  const empty = handshakeMessage(type, 2, body, 0, 0);
  // It brings nothing, and is no fault: the handshake goes on.
  server.record(HANDSHAKE, concatBytes(empty, empty, empty));
  server.say(...server.messages);
  assertEquals(server.outcome, "connected");
  const none = new Scripted("client");
  none.record(HANDSHAKE, new Uint8Array(0));
  assertEquals(none.outcome, UNEXPECTED_MESSAGE);
  const client = new DtlsPair().client;
  client.handleDatagram(plaintextRecord(HANDSHAKE, concatBytes(empty, empty)), EPOCH_MS);
  assertEquals(client.state, "handshaking");
});

Deno.test("fragments that disagree on length, underflow, overlap (CVE-2014-0195, CVE-2026-33845)", () => {
  const body = new Uint8Array(50);
  const other = new Uint8Array(50).fill(1);
  const first = () => handshakeMessage(HandshakeType.CERTIFICATE, 2, body, 0, 20);
  const cases: readonly (readonly [Uint8Array, number])[] = [
    // Another length, another type, other bytes where they overlap.
    [handshakeMessage(HandshakeType.CERTIFICATE, 2, new Uint8Array(51), 10, 20), ILLEGAL_PARAMETER],
    [handshakeMessage(HandshakeType.FINISHED, 2, body, 10, 20), ILLEGAL_PARAMETER],
    [handshakeMessage(HandshakeType.CERTIFICATE, 2, other, 10, 20), ILLEGAL_PARAMETER],
    // Past the end of the message: offset 40, 20 bytes of 50.
    [
      concatBytes(new Uint8Array([11, 0, 0, 50, 0, 2, 0, 0, 40, 0, 0, 20]), new Uint8Array(20)),
      DECODE_ERROR,
    ],
    // Longer than its record.
    [
      concatBytes(new Uint8Array([11, 0, 0, 50, 0, 2, 0, 0, 0, 0, 0, 50]), new Uint8Array(20)),
      DECODE_ERROR,
    ],
  ];
  for (const [second, alert] of cases) {
    const server = new Scripted("client");
    server.record(HANDSHAKE, first());
    server.record(HANDSHAKE, second);
    assertEquals(server.outcome, alert);
  }
});

Deno.test("plaintext (epoch 0) application data accepted (CVE-2020-24585)", () => {
  const data = plaintextRecord(APPLICATION_DATA, new Uint8Array([1, 2, 3]), 9);
  for (const from of ["client", "server"] as const) {
    const scripted = new Scripted(from);
    scripted.end.handleDatagram(data, scripted.pair.simulation.now);
    // Nor in the epoch of the handshake, whose keys belong to nobody who is authenticated.
    assertEquals(scripted.outcome, "handshaking");
    scripted.record(APPLICATION_DATA, new Uint8Array(3));
    assertEquals(scripted.outcome, UNEXPECTED_MESSAGE);
    assertEquals(scripted.pair.received(from === "client" ? "server" : "client"), []);
  }
  const pair = new DtlsPair().handshake();
  for (const end of [pair.client, pair.server.association!]) {
    end.handleDatagram(data, pair.simulation.now);
    assertEquals(end.drops.get("unexpected-plaintext"), 1);
  }
  pair.settle();
  assertEquals([pair.received("client"), pair.received("server")], [[], []]);
});

Deno.test("a record or message that spans a key change (CVE-2023-6937)", () => {
  // EncryptedExtensions and more behind the ServerHello, in its plaintext record: it never counts.
  const appended: LinkNode = (passage) => {
    if (passage.bytes[13] !== HandshakeType.SERVER_HELLO || passage.bytes[18] !== 1) {
      return [passage];
    }
    const lengthBytes = passage.bytes[11]! << 8 | passage.bytes[12]!;
    const content = passage.bytes.subarray(13, 13 + lengthBytes);
    const forged = handshakeMessage(HandshakeType.ENCRYPTED_EXTENSIONS, 2, new Uint8Array(2));
    const record = plaintextRecord(HANDSHAKE, concatBytes(content, forged), 5);
    return [{ ...passage, bytes: concatBytes(record, passage.bytes.subarray(13 + lengthBytes)) }];
  };
  const pair = new DtlsPair({ toClient: [appended, delay(10)] }).handshake();
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
  assertEquals(pair.clientKeyLog, pair.serverKeyLog);

  // A message begun in plaintext is not completed by a protected record.
  const client = new Scripted("server");
  const real = client.real(HandshakeType.ENCRYPTED_EXTENSIONS);
  const begun = handshakeMessage(HandshakeType.CERTIFICATE, 3, new Uint8Array(60).fill(7), 0, 30);
  client.end.handleDatagram(plaintextRecord(HANDSHAKE, begun, 6), client.pair.simulation.now);
  client.say(real, ...client.messages.slice(1));
  assertEquals(client.outcome, "connected");

  // A protected message cannot begin in epoch 2 and end in epoch 3 either.
  const server = new Scripted("client");
  server.say(...server.messages.slice(0, -1));
  const { body } = server.messages.at(-1)!;
  server.record(HANDSHAKE, handshakeMessage(HandshakeType.FINISHED, server.nextSeq, body, 0, 10));
  server.record(
    HANDSHAKE,
    handshakeMessage(HandshakeType.FINISHED, server.nextSeq, body, 10, 22),
    3,
  );
  assertEquals(server.outcome, "handshaking");
});

Deno.test("a record shorter than its tag kills the association (CVE-2026-75806)", () => {
  const pair = new DtlsPair({ client: { connectionId: null } }).handshake();
  pair.simulation.advance(50);
  for (let length = 0; length < 40; length++) {
    for (const first of [0x2f, 0x2b, 0x27, 0x23]) {
      const bytes = new Uint8Array(length).fill(0);
      if (length > 0) bytes[0] = first;
      if (length > 5 && (first & 4) !== 0) bytes[first & 8 ? 4 : 3] = length - (first & 8 ? 5 : 4);
      for (const end of [pair.client, pair.server.association!]) {
        end.handleDatagram(bytes, pair.simulation.now);
        assertEquals(end.state, "connected");
      }
    }
  }
});

Deno.test("the list of an ACK: truncated integers, before authentication (CVE-2026-6679, CVE-2026-5264)", () => {
  const lists = [
    new Uint8Array(0),
    new Uint8Array([0]),
    new Uint8Array([0, 15, ...new Uint8Array(15)]),
    new Uint8Array([0, 16, ...new Uint8Array(15)]),
    new Uint8Array([0, 0, 0]),
    new Uint8Array([255, 255, ...new Uint8Array(100)]),
  ];
  const huge = new Uint8Array([0, 16, ...new Uint8Array(16).fill(255)]);
  for (const content of [...lists, huge]) {
    const server = new Scripted("client");
    server.end.handleDatagram(plaintextRecord(ACK, content, 20), server.pair.simulation.now);
    assertEquals(server.outcome, "handshaking");
    assertEquals(server.end.drops.total(), 1);
    server.record(ACK, content);
    assertEquals(server.outcome, content === huge ? ILLEGAL_PARAMETER : DECODE_ERROR);
  }
  // A number that no record has is not one that it could be cut down to.
  const server = new Scripted("client");
  server.record(
    ACK,
    encodeAck([{ epoch: 2, recordNumber: 2 ** 32 }, { epoch: 2, recordNumber: 2 ** 48 }]),
  );
  server.pair.simulation.advance(1_500);
  const finished = server.pair.transcript().filter((line) => /^S .*FINISHED/.test(line));
  assertEquals(finished.length, 2);
});

Deno.test("retransmission from a stale offset sends other memory (CVE-2026-84782, CVE-2013-6450)", () => {
  const more = Array.from({ length: 5 }, (_, i) => new Random(i).bytes(900));
  forEachSeed(10, (seed) => {
    const network = () => [loss(0.3), delay(10), jitter(20)];
    const pair = new DtlsPair({
      seed,
      client: { credentials: [credential(CLIENT_CREDENTIAL, more)] },
      server: { clientCertificate: "required", credentials: [credential(SERVER_CREDENTIAL, more)] },
      toServer: network(),
      toClient: network(),
    }).handshake();
    pair.simulation.advance(20_000);
    const bytesOf = new Map<string, number>();
    for (const { from, bytes } of pair.sent) {
      if (from === "server" && bytes[13] === HandshakeType.SERVER_HELLO && bytes[18] === 0) {
        continue;
      }
      for (const { type, content } of pair.see(from, bytes)) {
        if (type !== HANDSHAKE) continue;
        const { messageSeq, offset, body } = readHandshakeFragment(new ByteReader(content));
        body.forEach((byte, i) => {
          const name = `${from} ${messageSeq} ${offset + i}`;
          assertEquals(bytesOf.get(name) ?? byte, byte);
          bytesOf.set(name, byte);
        });
      }
    }
    assert(bytesOf.size > 9_000);
    pair.client.close(0);
    pair.server.close(0);
  });
});

Deno.test("return routability skipped (CVE-2022-34293, CVE-2022-2576)", () => {
  const pair = new DtlsPair().handshake();
  const [first, second] = pair.sentBy("client");
  const entropy = new Random(9).entropy();
  const endpoint = new DtlsEndpoint({ ...SERVER_DEFAULTS, entropy }, EPOCH_MS);
  for (const bytes of [first!, second!]) {
    for (let i = 0; i < 100; i++) {
      assertEquals(endpoint.handleDatagram(bytes, `address ${i}`, EPOCH_MS), undefined);
    }
  }
  assertEquals([endpoint.associationCount, endpoint.halfOpenCount], [0, 0]);
});

Deno.test(
  "missing or reordered CertificateVerify accepted (CVE-2022-29222, " +
    "CVE-2026-55962, CVE-2020-2655, CVE-2026-2645)",
  () => {
    const { CERTIFICATE, CERTIFICATE_VERIFY, FINISHED, ENCRYPTED_EXTENSIONS, CERTIFICATE_REQUEST } =
      HandshakeType;
    const all = {
      client: [CERTIFICATE, CERTIFICATE_VERIFY, FINISHED],
      server: [
        ENCRYPTED_EXTENSIONS,
        CERTIFICATE_REQUEST,
        CERTIFICATE,
        CERTIFICATE_VERIFY,
        FINISHED,
      ],
    };
    for (const from of ["client", "server"] as const) {
      const script = (types: readonly number[]) => {
        const scripted = new Scripted(from);
        return scripted.say(...types.map((type) => scripted.real(type))).outcome;
      };
      assertEquals(script(all[from]), "connected");
      for (let at = 0; at < all[from].length; at++) {
        const without = all[from].toSpliced(at, 1);
        // Without the request, which may be left out, the signature is over another transcript; the last may come yet.
        const outcome = script(without);
        const isRequest = all[from][at] === CERTIFICATE_REQUEST;
        if (at === all[from].length - 1) assertEquals(outcome, "handshaking");
        else assertEquals(outcome, isRequest ? DECRYPT_ERROR : UNEXPECTED_MESSAGE);
        for (let to = at + 1; to < all[from].length; to++) {
          const swapped = all[from].slice();
          [swapped[at], swapped[to]] = [swapped[to]!, swapped[at]!];
          const alert = script(swapped);
          assert(alert === UNEXPECTED_MESSAGE || alert === DECRYPT_ERROR, `${from} ${at} ${to}`);
        }
      }
    }
  },
);

Deno.test("a CertificateVerify of another key, another side or another transcript is a decrypt_error", () => {
  for (const from of ["client", "server"] as const) {
    const real = new Scripted(from);
    const types = real.messages.map(({ type }) => type);
    const at = types.indexOf(HandshakeType.CERTIFICATE_VERIFY);
    const forged = (signature: Uint8Array, scheme: number = SignatureScheme.ED25519) => {
      const scripted = new Scripted(from);
      const verify = { type: types[at]!, body: encodeCertificateVerify({ scheme, signature }) };
      return scripted.say(...scripted.messages.slice(0, at), verify).outcome;
    };
    const key = credential(OTHER_CLIENT_CREDENTIAL).key;
    assertEquals(forged(key.sign("ed25519", new Uint8Array(130))), DECRYPT_ERROR);
    assertEquals(forged(new Uint8Array(64)), DECRYPT_ERROR);
    assertEquals(forged(new Uint8Array(0)), DECRYPT_ERROR);
    // A scheme that the certificate's key is not of, and one that was not offered.
    assertEquals(forged(new Uint8Array(64), SignatureScheme.RSA_PSS_RSAE_SHA256), DECRYPT_ERROR);
    assertEquals(forged(new Uint8Array(64), 0x0401), ILLEGAL_PARAMETER);
  }
});

Deno.test("credential type that was not negotiated (CVE-2026-55960)", () => {
  // server_certificate_type and client_certificate_type (RFC 7250): this client offers neither.
  for (const type of [19, 20]) {
    const client = new Scripted("server");
    const extensions = new Map([[type, new Uint8Array([2])]]);
    client.say({
      type: HandshakeType.ENCRYPTED_EXTENSIONS,
      body: encodeEncryptedExtensions(extensions),
    });
    assertEquals(client.outcome, AlertDescription.UNSUPPORTED_EXTENSION);
  }
  // A certificate that the server did not ask for.
  const server = new Scripted("client", { client: { connectionId: null } });
  const chain = new ByteWriter().u8(0).vector(
    3,
    (writer) => writer.opaque(3, CLIENT_CREDENTIAL.certificate).u16(0),
  ).finish();
  server.say({ type: HandshakeType.CERTIFICATE, body: chain });
  assertEquals(server.outcome, UNEXPECTED_MESSAGE);
});

Deno.test("AEAD nonce used twice (CVE-2026-26014)", () => {
  forEachSeed(10, (seed) => {
    const network = () => [loss(0.3), duplicate(0.2, 300), delay(10), jitter(30)];
    const pair = new DtlsPair({ ...MUTUAL, seed, toServer: network(), toClient: network() });
    pair.handshake();
    for (let i = 0; i < 20; i++) {
      pair.send("client", new Uint8Array([i]));
      pair.send("server", new Uint8Array([i]));
    }
    pair.simulation.advance(20_000);
    pair.client.close(pair.simulation.now);
    const seen = new Map<string, string>();
    for (const { from, bytes } of pair.sent) {
      for (const record of pair.see(from, bytes)) {
        if (record.epoch === 0) continue;
        const name = `${from} ${record.epoch} ${record.number}`;
        assertEquals(seen.get(name), undefined, describeRecord(record));
        seen.set(name, "");
      }
    }
    assert(seen.size > 40);
    pair.settle();
    pair.server.close(0);
  });
});

Deno.test("client random of zeros (CVE-2020-11501)", () => {
  const randoms = [1, 2, 3].map((seed) => {
    const pair = new DtlsPair({ seed }).handshake();
    const [first, second] = [helloOf(pair, 0).hello.random, helloOf(pair, 1).hello.random];
    assertEquals(first, second, "RFC 8446 section 4.1.2: the second ClientHello has the same");
    const server = pair.see("server", pair.sentBy("server")[1]!)[0]!;
    const serverRandom = server.content.subarray(14, 46);
    return [first.toString(), serverRandom.toString()];
  }).flat();
  assertEquals(new Set(randoms).size, 6);
  assert(!randoms.includes(new Uint8Array(32).toString()));
});

Deno.test("(EC)DHE dropped; no key_share after HelloRetryRequest (CVE-2025-11935, CVE-2026-3230)", () => {
  // The server: a second ClientHello without a share, or with none for a common group.
  for (const share of [undefined, new Uint8Array([0, 0])]) {
    const edit = editedHello(HandshakeType.CLIENT_HELLO, 1, (body) => {
      const hello = decodeClientHello(body);
      const extensions = new Map(hello.extensions);
      if (share === undefined) extensions.delete(ExtensionType.KEY_SHARE);
      else extensions.set(ExtensionType.KEY_SHARE, share);
      return encodeClientHello({ ...hello, extensions });
    });
    const pair = new DtlsPair({ toServer: [edit, delay(10)] });
    pair.settle();
    const last = pair.clientEvents.at(-1);
    const alert = share === undefined ? "missing_extension" : "illegal_parameter";
    assert(last?.kind === "failed" && last.error.message.endsWith(alert));
  }
  // The client: a ServerHello without a share, and one for a group that was not offered.
  for (const group of [undefined, 0x0018]) {
    const edit = editedHello(HandshakeType.SERVER_HELLO, 1, (body) => {
      const extensions = new Map<number, Uint8Array>([[43, new Uint8Array([0xfe, 0xfc])]]);
      if (group !== undefined) {
        const share = new ByteWriter().u16(group).opaque(2, new Uint8Array(97).fill(4));
        extensions.set(51, share.finish());
      }
      const writer = new ByteWriter().bytes(body.subarray(0, 38));
      writeExtensions(writer, extensions);
      return writer.finish();
    });
    const pair = new DtlsPair({ toClient: [edit, delay(10)] });
    pair.simulation.advance(100);
    const last = pair.clientEvents.at(-1);
    assert(last?.kind === "failed" && "reason" in last.error);
    assertEquals(
      last.error.reason,
      group === undefined ? "missing-extension" : "illegal-parameter",
    );
    pair.settle();
  }
});

Deno.test("duplicate extensions or key shares (CVE-2025-11936, CVE-2025-11933)", () => {
  const pair = new DtlsPair().handshake();
  const { hello, body } = helloOf(pair, 0);
  const endpoint = new DtlsEndpoint(
    { ...SERVER_DEFAULTS, entropy: new Random(9).entropy() },
    EPOCH_MS,
  );
  const answerTo = (clientHello: Uint8Array): Uint8Array => {
    const message = handshakeMessage(HandshakeType.CLIENT_HELLO, 0, clientHello);
    endpoint.handleDatagram(plaintextRecord(HANDSHAKE, message), "a", EPOCH_MS);
    return endpoint.pollTransmit()!.bytes;
  };
  assertEquals(answerTo(body)[0], HANDSHAKE);
  for (const type of hello.extensions.keys()) {
    const data = hello.extensions.get(type)!;
    const twice = new ByteWriter().bytes(
      encodeClientHello(hello),
    );
    const bytes = twice.u16(type).opaque(2, data).finish();
    const lengthAt = bytes.length - 4 - data.length - [...hello.extensions.values()]
      .reduce((sum, one) => sum + 4 + one.length, 0) -
      2;
    const length = bytes.length - lengthAt - 2;
    bytes.set([length >> 8, length & 255], lengthAt);
    assertEquals(answerTo(bytes).subarray(13), new Uint8Array([2, DECODE_ERROR]));
  }
  const share = hello.extensions.get(ExtensionType.KEY_SHARE)!.subarray(2);
  const shares = new ByteWriter().opaque(2, concatBytes(share, share)).finish();
  const doubled = new Map([...hello.extensions, [ExtensionType.KEY_SHARE, shares] as const]);
  const answer = answerTo(encodeClientHello({ ...hello, extensions: doubled }));
  assertEquals(answer.subarray(13), new Uint8Array([2, ILLEGAL_PARAMETER]));
});

Deno.test("ChangeCipherSpec loop or injection (CVE-2020-12457, CVE-2014-0224)", () => {
  const ccs = plaintextRecord(CHANGE_CIPHER_SPEC, new Uint8Array([1]), 3);
  const many = concatBytes(...Array.from({ length: 80 }, () => ccs));
  const flood: LinkNode = ({ bytes, at }) =>
    [ccs, many, bytes, many].map((one) => ({ bytes: one, at: at + 10 }));
  const pair = new DtlsPair({ toServer: [flood], toClient: [flood] }).handshake();
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
  assertEquals(pair.elapsedMs, 50);
  const connected = pair.client;
  for (const epoch of [0, 1, 2, 3]) {
    connected.handleDatagram(
      plaintextRecord(CHANGE_CIPHER_SPEC, new Uint8Array([1]), 3, epoch),
      EPOCH_MS,
    );
  }
  assertEquals(connected.state, "connected");
});

Deno.test("ECDSA r or s zero or out of range (CVE-2022-21449)", () => {
  const order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551".match(/../g)!
    .map((byte) => Number.parseInt(byte, 16));
  const integers = [[0], [0, ...order]];
  for (const r of integers) {
    for (const s of integers) {
      const client = new Scripted("server", {
        client: { connectionId: null },
        server: { credentials: [credential(P256_SERVER_CREDENTIAL)] },
      });
      const inner = [2, r.length, ...r, 2, s.length, ...s];
      const signature = new Uint8Array([0x30, inner.length, ...inner]);
      const scheme = SignatureScheme.ECDSA_SECP256R1_SHA256;
      const type = HandshakeType.CERTIFICATE_VERIFY;
      client.say(...client.messages.slice(0, 2), {
        type,
        body: encodeCertificateVerify({ scheme, signature }),
      });
      assertEquals(client.outcome, DECRYPT_ERROR);
    }
  }
});

Deno.test("an error path leaks a counter or wedges the server (CVE-2022-39368, CVE-2020-27222)", () => {
  const endpoint = new DtlsPair({
    endpoint: { halfOpenMax: 2 },
    server: { clientCertificate: "required" },
  });
  const { server } = endpoint;
  // Each of these fails after the server has begun to keep something for it.
  for (let seed = 0; seed < 30; seed++) {
    const client =
      new DtlsPair({ seed, client: { credentials: [credential(OTHER_CLIENT_CREDENTIAL)] } }).client;
    exchange(client, server, EPOCH_MS + seed);
    assertEquals(server.association!.state, "closing");
    server.handleTimeout(EPOCH_MS + seed + 5_001);
    assertEquals([server.endpoint.halfOpenCount, server.endpoint.associationCount], [0, 0]);
  }
  const good = new DtlsPair({ client: { credentials: [credential(CLIENT_CREDENTIAL)] } }).client;
  exchange(good, server, EPOCH_MS + 10_000);
  assertEquals([good.state, server.association!.state], ["connected", "connected"]);
});

/** Moves datagrams both ways until neither end has any. */
function exchange(client: DtlsAssociation, server: DtlsPair["server"], now: number): void {
  for (let rounds = 0; rounds < 10; rounds++) {
    for (let bytes; (bytes = client.pollTransmit(now)) !== undefined;) {
      server.handleDatagram(bytes, now);
    }
    while (server.pollEvent() !== undefined);
    for (let bytes; (bytes = server.pollTransmit(now)) !== undefined;) {
      client.handleDatagram(bytes, now);
    }
  }
}

Deno.test("connection ID of wrong length or unknown (CVE-2022-46393)", () => {
  const connectionId = new Uint8Array([1, 2, 3, 4]);
  const pair = new DtlsPair({ client: { connectionId } }).handshake();
  pair.simulation.advance(50);
  const kits = { client: pair.kit("client", 3), server: pair.kit("server", 3) };
  const serverId = pair.server.association!.receiveConnectionId;
  const form = { epoch: 3, type: APPLICATION_DATA, content: new Uint8Array(5) };
  const ids = (good: Uint8Array) => [
    new Uint8Array(0),
    good.subarray(1),
    concatBytes(good, new Uint8Array(1)),
    good.map((byte) => byte ^ 1),
    new Uint8Array(255),
  ];
  for (const [i, id] of ids(serverId).entries()) {
    const record = kits.client.seal({ ...form, number: 50 + i, connectionId: id });
    pair.server.handleDatagram(record, pair.simulation.now);
    pair.server.association!.handleDatagram(record, pair.simulation.now);
  }
  for (const [i, id] of ids(connectionId).entries()) {
    pair.client.handleDatagram(
      kits.server.seal({ ...form, number: 50 + i, connectionId: id }),
      pair.simulation.now,
    );
  }
  assertEquals([pair.received("client"), pair.received("server")], [[], []]);
  // A ClientHello whose extension is malformed.
  const { hello } = helloOf(pair, 0);
  const endpoint = new DtlsEndpoint(
    { ...SERVER_DEFAULTS, entropy: new Random(9).entropy() },
    EPOCH_MS,
  );
  const extensions = new Map([
    ...hello.extensions,
    [ExtensionType.CONNECTION_ID, new Uint8Array([4, 1])] as const,
  ]);
  const body = encodeClientHello({ ...hello, extensions });
  const message = handshakeMessage(HandshakeType.CLIENT_HELLO, 0, body);
  endpoint.handleDatagram(plaintextRecord(HANDSHAKE, message), "a", EPOCH_MS);
  const answer = endpoint.pollTransmit()!.bytes;
  assert(equalBytes(answer.subarray(13), new Uint8Array([2, DECODE_ERROR])));
});
