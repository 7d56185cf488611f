// Messages that break the protocol, each with the alert that the RFC names for it; and what is zeroed when all is over.

import { assert, assertEquals } from "@std/assert";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { concatBytes } from "../../src/base/bytes.ts";
import { encodeEncryptedExtensions } from "../../src/dtls/certificate_messages.ts";
import {
  AlertDescription,
  ContentType,
  ExtensionType,
  HandshakeType,
} from "../../src/dtls/code_points.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import type { GroupName, KeyExchange } from "../../src/dtls/crypto/provider.ts";
import { encodeKeyShares, encodeProtocolNames } from "../../src/dtls/extensions.ts";
import {
  decodeClientHello,
  decodeServerHello,
  encodeServerHello,
  type ServerHello,
} from "../../src/dtls/hello_messages.ts";
import { DtlsEndpoint, NamedGroup } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_CREDENTIAL, SERVER_CREDENTIAL } from "../harness/credentials.ts";
import { DtlsPair, type PairOptions, SERVER_DEFAULTS } from "../harness/dtls_pair.ts";
import { handshakeMessage, plaintextRecord, TICKET_BODY } from "../harness/dtls_records.ts";
import { editedHello, MUTUAL, Scripted } from "../harness/dtls_scripted.ts";
import { delay, type LinkNode } from "../harness/link.ts";
import { Random } from "../harness/random.ts";

const { ALERT, HANDSHAKE, APPLICATION_DATA, ACK } = ContentType;
const {
  UNEXPECTED_MESSAGE,
  BAD_CERTIFICATE,
  ILLEGAL_PARAMETER,
  DECODE_ERROR,
  DECRYPT_ERROR,
  PROTOCOL_VERSION,
  HANDSHAKE_FAILURE,
  MISSING_EXTENSION,
  UNSUPPORTED_EXTENSION,
} = AlertDescription;

for (const from of ["client", "server"] as const) {
  Deno.test(
    `a Finished of the ${from} that does not match is a decrypt_error, whatever its length`,
    () => {
      for (
        const [change, alert] of [
          [(body: Uint8Array) => body.map((byte, i) => i === 31 ? byte ^ 1 : byte), DECRYPT_ERROR],
          [(body: Uint8Array) => new Uint8Array(body.length), DECRYPT_ERROR],
          [(body: Uint8Array) => body.subarray(1), DECRYPT_ERROR],
          [() => new Uint8Array(0), DECRYPT_ERROR],
        ] as const
      ) {
        const scripted = new Scripted(from);
        const { type, body } = scripted.messages.at(-1)!;
        scripted.say(...scripted.messages.slice(0, -1), { type, body: change(body) });
        assertEquals(scripted.outcome, alert);
      }
    },
  );

  Deno.test(
    `every message of the ${from} cut short, or with a byte too ` +
      `many, is a decode_error or a wrong signature`,
    () => {
      const count = new Scripted(from).messages.length;
      for (let at = 0; at < count; at++) {
        for (const by of [-1, 1]) {
          const scripted = new Scripted(from);
          const { type, body } = scripted.messages[at]!;
          const bad = by < 0 ? body.subarray(0, -1) : concatBytes(body, new Uint8Array(1));
          scripted.say(...scripted.messages.slice(0, at), { type, body: bad });
          const alert = type === HandshakeType.FINISHED ? DECRYPT_ERROR : DECODE_ERROR;
          assertEquals(scripted.outcome, alert, `${type} ${by}`);
        }
      }
    },
  );

  Deno.test(`a chain of the ${from} that is too long is a bad_certificate, an extension in it unsupported`, () => {
    const { certificate } = from === "client" ? CLIENT_CREDENTIAL : SERVER_CREDENTIAL;
    const body = (count: number, extensions: Uint8Array) =>
      new ByteWriter(4_096).u8(0).vector(3, (writer) => {
        for (let i = 0; i < count; i++) writer.opaque(3, certificate).opaque(2, extensions);
      }).finish();
    const status = new Uint8Array([0, 5, 0, 1, 1]);
    for (
      const [bytes, alert] of [
        [body(9, new Uint8Array(0)), BAD_CERTIFICATE],
        [body(1, status), UNSUPPORTED_EXTENSION],
        [body(1, concatBytes(status, status)), DECODE_ERROR],
        [
          concatBytes(new Uint8Array([1, 7]), body(1, new Uint8Array(0)).subarray(1)),
          ILLEGAL_PARAMETER,
        ],
      ] as const
    ) {
      const scripted = new Scripted(from);
      const before = scripted.messages.findIndex(({ type }) => type === HandshakeType.CERTIFICATE);
      const message = { type: HandshakeType.CERTIFICATE, body: bytes };
      assertEquals(scripted.say(...scripted.messages.slice(0, before), message).outcome, alert);
    }
  });

  Deno.test(`what only the other side sends, or nobody, is an unexpected_message from the ${from}`, () => {
    const { CLIENT_HELLO, SERVER_HELLO, END_OF_EARLY_DATA, KEY_UPDATE, NEW_SESSION_TICKET } =
      HandshakeType;
    for (const type of [0, CLIENT_HELLO, SERVER_HELLO, END_OF_EARLY_DATA, KEY_UPDATE, 12, 254]) {
      const scripted = new Scripted(from).say({ type, body: new Uint8Array(40) });
      assertEquals(scripted.outcome, UNEXPECTED_MESSAGE);
    }
    const ticket = new Scripted(from).say({ type: NEW_SESSION_TICKET, body: new Uint8Array(9) });
    assertEquals(ticket.outcome, UNEXPECTED_MESSAGE);
  });

  Deno.test(`an unknown content type, an alert without content, from the ${from}`, () => {
    for (const type of [20, 24, 25, 27, 99]) {
      const scripted = new Scripted(from);
      scripted.record(type, new Uint8Array(3));
      assertEquals(scripted.outcome, UNEXPECTED_MESSAGE);
    }
    const empty = new Scripted(from);
    empty.record(ALERT, new Uint8Array(0));
    assertEquals(empty.outcome, UNEXPECTED_MESSAGE);
    const long = new Scripted(from);
    long.record(ALERT, new Uint8Array(3));
    assertEquals(long.outcome, DECODE_ERROR);
  });
}

Deno.test("the server's Certificate must not be empty: decode_error", () => {
  const client = new Scripted("server");
  const before = client.messages.findIndex(({ type }) => type === HandshakeType.CERTIFICATE);
  const message = { type: HandshakeType.CERTIFICATE, body: new Uint8Array([0, 0, 0, 0]) };
  assertEquals(client.say(...client.messages.slice(0, before), message).outcome, DECODE_ERROR);
});

Deno.test("EncryptedExtensions: only what was offered and belongs there", () => {
  const names = (...list: string[]) => encodeProtocolNames(list);
  const cases: readonly (readonly [number, Uint8Array, number | string])[] = [
    [ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION, names("b"), "handshaking"],
    [ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION, names("c"), ILLEGAL_PARAMETER],
    [ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION, names("a", "b"), ILLEGAL_PARAMETER],
    [ExtensionType.SERVER_NAME, new Uint8Array(0), "handshaking"],
    [ExtensionType.SERVER_NAME, new Uint8Array(1), DECODE_ERROR],
    [ExtensionType.KEY_SHARE, new Uint8Array(2), ILLEGAL_PARAMETER],
    [ExtensionType.EARLY_DATA, new Uint8Array(0), UNSUPPORTED_EXTENSION],
    [0x7777, new Uint8Array(0), UNSUPPORTED_EXTENSION],
  ];
  for (const [type, data, outcome] of cases) {
    const client = new Scripted("server", { client: { alpn: ["a", "b"], connectionId: null } });
    const body = encodeEncryptedExtensions(new Map([[type, data]]));
    client.say({ type: HandshakeType.ENCRYPTED_EXTENSIONS, body });
    assertEquals(client.outcome, outcome, `${type}`);
  }
});

Deno.test("a CertificateRequest has an empty context in the handshake", () => {
  const client = new Scripted("server");
  const request = { type: HandshakeType.CERTIFICATE_REQUEST, body: new Uint8Array([1, 5, 0, 0]) };
  client.say(client.real(HandshakeType.ENCRYPTED_EXTENSIONS), request);
  assertEquals(client.outcome, ILLEGAL_PARAMETER);
});

/** What a client says to a changed ServerHello (`messageSeq` 1) or HelloRetryRequest (0). */
function clientOn(
  messageSeq: 0 | 1,
  change: (hello: ServerHello) => ServerHello,
  options: PairOptions = {},
): number | string {
  const edit = editedHello(HandshakeType.SERVER_HELLO, messageSeq, (body) => {
    const hello = change(decodeServerHello(body));
    const { random, legacySessionIdEcho, cipherSuite, extensions } = hello;
    const bytes = encodeServerHello(random, legacySessionIdEcho, cipherSuite, extensions);
    bytes.set([hello.legacyVersion >> 8, hello.legacyVersion & 255]);
    bytes[34 + 1 + legacySessionIdEcho.length + 2] = hello.compressionMethod;
    return bytes;
  });
  const client = { versions: ["1.3"], ...options.client } as const;
  const pair = new DtlsPair({ ...options, client, toClient: [edit, delay(10)] });
  pair.simulation.advance(100);
  const alert = pair.sentBy("client").findLast((bytes) => bytes[0] === ALERT);
  return alert?.[14] ?? pair.client.state;
}

function withExtension(
  hello: ServerHello,
  type: number,
  data: Uint8Array | undefined,
): ServerHello {
  const extensions = new Map(hello.extensions);
  if (data === undefined) extensions.delete(type);
  else extensions.set(type, data);
  return { ...hello, extensions };
}

Deno.test("a ServerHello and a HelloRetryRequest that the client did not ask for", () => {
  for (const messageSeq of [0, 1] as const) {
    const on = (change: (hello: ServerHello) => ServerHello) => clientOn(messageSeq, change);
    assertEquals(on((hello) => hello), "connected");
    assertEquals(on((hello) => ({ ...hello, cipherSuite: 0x1304 })), ILLEGAL_PARAMETER);
    assertEquals(on((hello) => ({ ...hello, compressionMethod: 1 })), ILLEGAL_PARAMETER);
    assertEquals(on((hello) => ({ ...hello, legacyVersion: 0xfefc })), ILLEGAL_PARAMETER);
    // "DTLS 1.3 clients MUST abort the handshake with an "illegal_parameter" alert if the field is not empty."
    const echo = new Uint8Array([1, 2]);
    assertEquals(on((hello) => ({ ...hello, legacySessionIdEcho: echo })), ILLEGAL_PARAMETER);
    const version = ExtensionType.SUPPORTED_VERSIONS;
    assertEquals(on((hello) => withExtension(hello, version, undefined)), PROTOCOL_VERSION);
    const dtls12 = new Uint8Array([0xfe, 0xfd]);
    assertEquals(on((hello) => withExtension(hello, version, dtls12)), ILLEGAL_PARAMETER);
    const unknown = new Uint8Array(0);
    assertEquals(on((hello) => withExtension(hello, 0x7777, unknown)), UNSUPPORTED_EXTENSION);
  }
  // What was offered, but belongs into EncryptedExtensions.
  const alpn = encodeProtocolNames(["a"]);
  const misplaced = clientOn(1, (hello) => withExtension(hello, 16, alpn), {
    client: { alpn: ["a"] },
  });
  assertEquals(misplaced, ILLEGAL_PARAMETER);
  // A connection ID for a client that offered none.
  const id = (hello: ServerHello) =>
    withExtension(hello, ExtensionType.CONNECTION_ID, new Uint8Array([1, 9]));
  assertEquals(clientOn(1, id, { client: { connectionId: null } }), UNSUPPORTED_EXTENSION);
});

Deno.test("the suite of the HelloRetryRequest is the suite of the ServerHello", () => {
  const outcome = clientOn(1, (hello) => ({ ...hello, cipherSuite: 0x1303 }));
  assertEquals(outcome, ILLEGAL_PARAMETER);
});

Deno.test("a HelloRetryRequest must ask for a change, and one that makes sense", () => {
  const { COOKIE, KEY_SHARE } = ExtensionType;
  const group = (value: number) => new Uint8Array([0, value]);
  const on = (change: (hello: ServerHello) => ServerHello) => clientOn(0, change);
  assertEquals(on((hello) => withExtension(hello, COOKIE, undefined)), ILLEGAL_PARAMETER);
  // A group that has a share already, and one that was not offered.
  assertEquals(
    on((hello) => withExtension(hello, KEY_SHARE, group(NamedGroup.X25519))),
    ILLEGAL_PARAMETER,
  );
  assertEquals(on((hello) => withExtension(hello, KEY_SHARE, group(0x19))), ILLEGAL_PARAMETER);
  assertEquals(on((hello) => withExtension(hello, COOKIE, new Uint8Array([0, 0]))), DECODE_ERROR);
});

Deno.test(
  '"clients MUST abort the handshake with an "unexpected_message" ' +
    'alert in response to any second HelloRetryRequest"',
  () => {
    let retry: Uint8Array | undefined;
    const twice: LinkNode = (passage) => {
      retry ??= passage.bytes.slice();
      if (passage.bytes[18] !== 1) return [passage];
      const second = retry.slice();
      second[18] = 1;
      second[10] = 9;
      return [{ ...passage, bytes: second }];
    };
    const pair = new DtlsPair({ toClient: [twice, delay(10)] });
    pair.simulation.advance(100);
    const alert = pair.sentBy("client").findLast((bytes) => bytes[0] === ALERT);
    assertEquals(alert?.[14], UNEXPECTED_MESSAGE);
  },
);

/** What an endpoint answers to a ClientHello with changes, as an alert's number; 0 for anything else. */
function endpointOn(change: (body: Uint8Array) => Uint8Array): number {
  const pair = new DtlsPair({ client: { versions: ["1.3"] } });
  pair.simulation.settle();
  const body = pair.sentBy("client")[0]!.slice(25);
  const entropy = new Random(1).entropy();
  const endpoint = new DtlsEndpoint({ ...SERVER_DEFAULTS, entropy, versions: ["1.3"] }, EPOCH_MS);
  const message = handshakeMessage(HandshakeType.CLIENT_HELLO, 0, change(body));
  endpoint.handleDatagram(plaintextRecord(HANDSHAKE, message), "a", EPOCH_MS);
  assertEquals(endpoint.associationCount, 0);
  const answer = endpoint.pollTransmit()!.bytes;
  return answer[0] === ALERT ? answer[14]! : 0;
}

/** A ClientHello's body with other legacy fields and extensions. */
function hello(
  body: Uint8Array,
  fields: {
    cookie?: number[];
    compression?: number[];
    extensions?: [number, Uint8Array | undefined][];
  },
): Uint8Array {
  const { random, cipherSuites, extensions } = decodeClientHello(body);
  const all = new Map(extensions);
  for (const [type, data] of fields.extensions ?? []) {
    if (data === undefined) all.delete(type);
    else all.set(type, data);
  }
  const writer = new ByteWriter().u16(0xfefd).bytes(random).u8(0);
  writer.opaque(1, new Uint8Array(fields.cookie ?? []));
  writer.vector(2, () => cipherSuites.forEach((suite) => writer.u16(suite)));
  writer.opaque(1, new Uint8Array(fields.compression ?? [0]));
  writer.vector(2, () => all.forEach((data, type) => writer.u16(type).opaque(2, data)));
  return writer.finish();
}

Deno.test("ClientHellos that break the rules draw the alert that the RFC names, and leave nothing", () => {
  const share = encodeKeyShares([{ group: 0x0018, publicKey: new Uint8Array(97).fill(4) }]);
  const { SUPPORTED_GROUPS, KEY_SHARE, SUPPORTED_VERSIONS, SIGNATURE_ALGORITHMS } = ExtensionType;
  const cases: readonly (readonly [Parameters<typeof hello>[1], number])[] = [
    [{}, 0],
    [{ cookie: [1] }, ILLEGAL_PARAMETER],
    [{ compression: [0, 1] }, ILLEGAL_PARAMETER],
    [{ compression: [1] }, ILLEGAL_PARAMETER],
    [
      { extensions: [[SUPPORTED_GROUPS, new Uint8Array([0, 2, 0, 29])], [KEY_SHARE, share]] },
      ILLEGAL_PARAMETER,
    ],
    [{ extensions: [[SUPPORTED_GROUPS, undefined]] }, MISSING_EXTENSION],
    [{ extensions: [[KEY_SHARE, undefined]] }, MISSING_EXTENSION],
    [{ extensions: [[SIGNATURE_ALGORITHMS, undefined]] }, MISSING_EXTENSION],
    [{ extensions: [[SUPPORTED_VERSIONS, undefined]] }, PROTOCOL_VERSION],
    [{ extensions: [[SUPPORTED_VERSIONS, new Uint8Array([2, 0xfe, 0xfd])]] }, PROTOCOL_VERSION],
    [{
      extensions: [[SUPPORTED_GROUPS, new Uint8Array([0, 2, 0, 30])], [
        KEY_SHARE,
        new Uint8Array(2),
      ]],
    }, HANDSHAKE_FAILURE],
    [{ extensions: [[SUPPORTED_GROUPS, new Uint8Array([0, 3, 0, 29, 0])]] }, DECODE_ERROR],
  ];
  for (const [fields, alert] of cases) {
    assertEquals(endpointOn((body) => hello(body, fields)), alert, JSON.stringify(fields));
  }
  assertEquals(endpointOn((body) => body.subarray(0, -1)), DECODE_ERROR);
  assertEquals(endpointOn((body) => concatBytes(body, new Uint8Array(1))), DECODE_ERROR);
});

Deno.test("a handshake message after the handshake is under the newest keys, from its first piece to its last", () => {
  const ticket = TICKET_BODY;
  const type = HandshakeType.NEW_SESSION_TICKET;
  const whole = handshakeMessage(type, 6, ticket);
  const halves = [
    handshakeMessage(type, 6, ticket, 0, 20),
    handshakeMessage(type, 6, ticket, 20, 20),
  ];
  for (
    const [pieces, alert] of [
      [[[whole, 2]], UNEXPECTED_MESSAGE],
      [[[halves[0]!, 2], [halves[1]!, 3]], UNEXPECTED_MESSAGE],
      [[[halves[0]!, 3], [halves[1]!, 3]], undefined],
    ] as const
  ) {
    const pair = new DtlsPair().handshake();
    pair.simulation.advance(100);
    for (const [content, epoch] of pieces) {
      const form = { epoch, number: 60 + content.length + content[8]!, type: HANDSHAKE, content };
      pair.client.handleDatagram(pair.kit("server", epoch).seal(form), pair.simulation.now);
    }
    pair.simulation.settle();
    const line = pair.transcript().at(-1)!;
    if (alert === undefined) assert(line.includes("ACK 3:"), line);
    else assertEquals(line.split("ALERT ")[1], `${alert}`);
  }
});

Deno.test("an unprotected ACK is noise once the peer has shown its keys", () => {
  const ack = plaintextRecord(ACK, new Uint8Array([0, 0]), 30);
  for (const from of ["client", "server"] as const) {
    const scripted = new Scripted(from);
    scripted.record(ACK, new Uint8Array([0, 0]));
    const before = scripted.pair.sent.length;
    scripted.end.handleDatagram(ack, scripted.pair.simulation.now);
    scripted.pair.simulation.settle();
    assertEquals(scripted.end.drops.get("unexpected-plaintext"), 1);
    assertEquals(scripted.pair.sent.length, before);
  }
});

Deno.test("application data that nobody fetches is dropped beyond a limit", () => {
  const pair = new DtlsPair({ client: { limits: { eventsMax: 5 } } }).handshake();
  pair.simulation.advance(50);
  for (let i = 0; i < 8; i++) {
    const data = pair.server.association!.sealApplicationData(new Uint8Array([i]));
    pair.client.handleDatagram(data, pair.simulation.now);
  }
  pair.simulation.settle();
  assertEquals(pair.received("client").length, 5);
  assertEquals(pair.client.drops.get("event-queue-full"), 3);
});

Deno.test("the secrets of the handshake are zeroed with it, those of the association with its end", () => {
  for (const end of ["completes", "fails"] as const) {
    const secrets = new Map<string, Uint8Array>();
    const keyLog = (label: string, _: Uint8Array, secret: Uint8Array) => secrets.set(label, secret);
    const options = end === "fails" ? { ...MUTUAL, client: {} } : MUTUAL;
    for (const side of ["client", "server"] as const) {
      secrets.clear();
      const pair = new DtlsPair({ ...options, [side]: { ...options[side], keyLog } });
      pair.handshake();
      pair.simulation.advance(20);
      const zeroed = () =>
        [...secrets].filter(([, secret]) => secret.every((byte) => byte === 0))
          .map(([label]) => label).sort();
      assertEquals(secrets.size, 5);
      const ofHandshake = ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"];
      if (end === "completes") assertEquals(zeroed(), ofHandshake);
      pair.client.close(pair.simulation.now);
      pair.server.close(pair.simulation.now);
      assertEquals(zeroed().length, 5);
    }
  }
});

Deno.test("private keys of key exchanges are zeroed with the handshake, whatever came of it", () => {
  let live = 0;
  const keyExchange = (group: GroupName, randomness: Uint8Array): KeyExchange => {
    const exchange = nodeProvider.keyExchange(group, randomness);
    live++;
    return {
      group,
      publicKey: exchange.publicKey,
      sharedSecret: (share) => exchange.sharedSecret(share),
      destroy: () => live--,
    };
  };
  const provider = Object.create(nodeProvider, { keyExchange: { value: keyExchange } });
  // A client that closes before it has an answer, and one that is asked for a share in another group.
  const unanswered = new DtlsPair({ client: { provider } });
  unanswered.client.pollTransmit(unanswered.simulation.now);
  assertEquals(live, 1);
  unanswered.client.close(unanswered.simulation.now);
  assertEquals(live, 0);
  const groups = [NamedGroup.SECP256R1];
  const retried = new DtlsPair({ client: { provider }, server: { provider, groups } }).handshake();
  assertEquals(retried.client.state, "connected");
  retried.simulation.advance(20);
  assertEquals(live, 0);
});

Deno.test("a record of application data may be empty, and padded", () => {
  const pair = new DtlsPair({ client: { connectionId: null } }).handshake();
  pair.simulation.advance(50);
  const form = { epoch: 3, type: APPLICATION_DATA, content: new Uint8Array(0) };
  const kit = pair.kit("client", 3);
  for (const [number, paddingBytes] of [[5, 0], [6, 200]] as const) {
    pair.server.handleDatagram(kit.seal({ ...form, number, paddingBytes }), pair.simulation.now);
  }
  pair.simulation.settle();
  assertEquals(pair.received("server"), [new Uint8Array(0), new Uint8Array(0)]);
});
